"""What a run has won and what to know before it is believed; page and terminal say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dllm2rec.runs.run_manifest import RunManifest, read_run
from dllm2rec.runs.run_result import RunResult, read_result
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import TAUGHT, ResultRow

# What stands in the table without having been trained.
UNTRAINED = ("popularity", "window counts")
METRIC_TEXT = SELECTION.upper()
# A gain below this is about what another seed may change: then one seed is too few.
SMALL_GAIN = 0.1
# Settings that a grid may hold, by section and field of the configuration.
GRIDS = (("student", "dropout"), ("distillation", "ranking_weight"))

Kind = Literal["below", "last epoch", "one seed", "edge"]


@dataclass(frozen=True)
class Caution:
    """One thing to know before figures are compared.

    Attributes:
        kind: `below` what needs no training, best at the `last epoch`, only `one seed` where a gain
            is small, or chosen at the `edge` of a grid.
        student: whom it is about; "" for the run.
        text: what is said of the student or the run, without a full stop.
    """

    kind: Kind
    student: str
    text: str


@dataclass(frozen=True)
class Bar:
    """One row of the chart.

    Attributes:
        name: as in the table.
        value: the test metric.
        deviation: over seeds, None for one.
        kind: `untrained`, `teacher`, `alone` or `taught`.
    """

    name: str
    value: float
    deviation: float | None
    kind: Literal["untrained", "teacher", "alone", "taught"]


@dataclass(frozen=True)
class Conclusion:
    """What a finished run says, by the metric that selects, on the test rows.

    Attributes:
        student: the one with the best validation metric, taught ones first; None without students.
        reached: its test metric.
        teacher: the teacher's, None where it has no lists for the test rows.
        alone: the best student of those that were trained without the teacher by validation, and
            its test metric; None where there is none or `student` is it.
        untrained: the better of popularity and window counts, and its test metric.
        bars: every row of the table, in its order.
        cautions: what to know before the figures are compared.
        cost_ratio: how often the time of a row that `student` scores among many goes into that of
            one list of the teacher; None where the latter is not known.
    """

    student: str | None
    reached: float | None
    teacher: float | None
    alone: tuple[str, float] | None
    untrained: tuple[str, float] | None
    bars: tuple[Bar, ...]
    cautions: tuple[Caution, ...]
    cost_ratio: float | None = None

    def unready(self) -> dict[str, str]:
        """Students whose figures are not yet those of a trained one, and why."""
        why: dict[str, list[str]] = {}
        for one in self.cautions:
            if one.kind in ("below", "last epoch"):
                why.setdefault(one.student, []).append(one.text)
        return {student: " and ".join(texts) for student, texts in why.items()}

    def lines(self) -> list[str]:
        """The cautions, a sentence each; a student's reasons to train longer are one."""
        unready = [
            f"{student} {reasons} ({SELECTION}): train longer or with other settings before its "
            "figures are compared"
            for student, reasons in self.unready().items()
        ]
        edges: dict[str, list[str]] = {}
        for one in self.cautions:
            if one.kind == "edge":
                edges.setdefault(one.text, []).append(one.student)
        return [
            *unready,
            *(one.text for one in self.cautions if one.kind == "one seed"),
            *(f"{' and '.join(students)}: {text}" for text, students in edges.items()),
        ]

    def sentence(self) -> str:
        """What was won, in one sentence; no percentage of a student that is not yet trained."""
        if self.student is None or self.reached is None:
            return "No student has been trained."
        unready = self.unready()
        if self.student in unready:
            reached = f"{self.student} reaches {METRIC_TEXT} {self.reached:.4f} on the test rows"
            return f"{reached}; no gain is told yet, see below."
        parts = [self._against_teacher()]
        if self.alone is not None and self.alone[1] > 0 and self.alone[0] not in unready:
            name, value = self.alone
            base = self.student.removesuffix(TAUGHT)
            other = "" if name == base else ", the best without the teacher"
            parts.append(f"{_signed(self.reached / value - 1)} over {name} alone{other}")
        text = ", ".join(parts)
        if self.untrained is not None and self.untrained[1] > 0:
            name, value = self.untrained
            text += f"; above {name} by {_percent(self.reached / value - 1)}"
        return f"{text}."

    def _against_teacher(self) -> str:
        reached = f"{self.student} reaches {METRIC_TEXT} {self.reached:.4f} on the test rows"
        if not self.teacher or self.reached is None:
            return reached
        share = self.reached / self.teacher
        cost = ""
        if self.cost_ratio is not None:  # the student's rows were scored many at a time
            cost = f" at {_fraction(self.cost_ratio)} of its time, scoring in batches"
        if share > 1:
            above = f"is above its teacher by {_percent(share - 1)} ({METRIC_TEXT})"
            return f"{self.student} {above}{cost}"
        return f"{self.student} reaches {100 * share:.0f} % of the teacher's {METRIC_TEXT}{cost}"

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"sentence": self.sentence(), "cautions": self.lines()}


def _percent(share: float) -> str:
    """A share as people read it: one digit after the point while it is small."""
    return f"{100 * share:.1f} %" if abs(share) < 0.1 else f"{100 * share:.0f} %"


def _fraction(ratio: float) -> str:
    """1/9,000: two digits of the ratio; below 1 a multiple."""
    if ratio < 1:
        return f"{1 / ratio:.2g} times"
    digits = max(0, len(str(round(ratio))) - 2)
    return f"1/{round(ratio, -digits):,.0f}"


def _signed(share: float) -> str:
    return f"{'+' if share >= 0 else ''}{_percent(share)}"


def conclude(run: str | Path) -> Conclusion:
    """Say what a finished run has won.

    Args:
        run: its folder.

    Raises:
        ArtifactError: it is no run, or one that has not ended.
    """
    return conclusion_of(read_result(Path(run)), read_run(Path(run)))


def conclusion_of(result: RunResult, manifest: RunManifest) -> Conclusion:
    """The same from what was read."""
    rows = {row.name: row for row in result.rows if SELECTION in row.test}
    students = [row for row in rows.values() if "epoch" in row.detail]
    taught = [row for row in students if row.name.endswith(TAUGHT)]
    alone = [row for row in students if not row.name.endswith(TAUGHT)]
    best = _best(taught) or _best(alone)
    beside = _best(alone) if taught else None
    untrained = [(name, rows[name].test[SELECTION]) for name in UNTRAINED if name in rows]
    return Conclusion(
        student=None if best is None else best.name,
        reached=None if best is None else best.test[SELECTION],
        teacher=rows["teacher"].test[SELECTION] if "teacher" in rows else None,
        alone=None if beside is None else (beside.name, beside.test[SELECTION]),
        untrained=max(untrained, key=lambda one: one[1], default=None),
        bars=tuple(
            Bar(name, row.test[SELECTION], row.deviation.get(SELECTION), _kind(row))
            for name, row in rows.items()
        ),
        cautions=(
            *_unready(students, untrained, _last_epoch(manifest)),
            *_one_seed(best, beside, untrained, manifest.n_seeds),
            *_edges(students, manifest.config),
        ),
        cost_ratio=_cost_ratio(best, manifest.teacher_ms),
    )


def _cost_ratio(best: ResultRow | None, teacher_ms: float | None) -> float | None:
    answer_ms = None if best is None else best.detail.get("answer_ms")
    return teacher_ms / answer_ms if teacher_ms and answer_ms else None


def _kind(row: ResultRow) -> Literal["untrained", "teacher", "alone", "taught"]:
    if "epoch" not in row.detail:
        return "teacher" if row.name == "teacher" else "untrained"
    return "taught" if row.name.endswith(TAUGHT) else "alone"


def _best(rows: Sequence[ResultRow]) -> ResultRow | None:
    """The best by validation: the test rows choose nothing."""
    return max(rows, key=lambda row: row.validation.get(SELECTION, 0.0), default=None)


def _unready(
    students: Sequence[ResultRow], untrained: Sequence[tuple[str, float]], last: int | None
) -> Iterator[Caution]:
    """Students below what needs no training, and those whose best epoch was the last there was."""
    for row in students:
        above = [name for name, value in untrained if value > row.test[SELECTION]]
        if above:
            yield Caution("below", row.name, f"is below {' and '.join(above)}")
        if last is not None and row.detail["epoch"] >= last:
            # After another reason the verb has been said.
            verb = "" if above else "is "
            yield Caution("last epoch", row.name, f"{verb}best at its last epoch")


def _last_epoch(manifest: RunManifest) -> int | None:
    train = manifest.config.get("train")
    epochs = train.get("max_epochs") if isinstance(train, dict) else None
    return epochs if isinstance(epochs, int) else None


def _one_seed(
    best: ResultRow | None,
    beside: ResultRow | None,
    untrained: Sequence[tuple[str, float]],
    n_seeds: int,
) -> Iterator[Caution]:
    """One seed where a gain that the sentence tells is small."""
    if best is None or n_seeds > 1:
        return
    figures = [value for _, value in untrained]
    figures += [] if beside is None else [beside.test[SELECTION]]
    reached = best.test[SELECTION]
    if any(value > 0 and abs(reached / value - 1) < SMALL_GAIN for value in figures):
        yield Caution(
            "one seed",
            "",
            f"one seed, and a difference below {100 * SMALL_GAIN:.0f} %: another seed may change "
            "it; train with --seeds 3 to see by how much",
        )


def _edges(students: Sequence[ResultRow], config: dict[str, Any]) -> Iterator[Caution]:
    """Values that validation chose at an end of their grid, beyond which there is more to try."""
    for section, field in GRIDS:
        part = config.get(section)
        grid = part.get(field) if isinstance(part, dict) else None
        if not isinstance(grid, (list, tuple)) or len(grid) < 2:
            continue
        # 1 is all of a soft target, 0 none of it: nothing lies beyond.
        for row in students:
            chosen = row.detail.get(field)
            if chosen is None or (field == "ranking_weight" and not row.name.endswith(TAUGHT)):
                continue
            for end, word, bound in ((max(grid), "larger", 1.0), (min(grid), "smaller", 0.0)):
                if chosen == end and end != bound:
                    yield Caution(
                        "edge",
                        row.name,
                        f"validation chose {field} {chosen:g}, at the edge of its grid; {word} "
                        "ones were not tried",
                    )
