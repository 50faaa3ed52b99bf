"""What the trainings of a table come to: a row for each cell, and the mean gain of the method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dllm2rec.rerun.paper.cells import DISTILLED, PARTS, UNTRAINED, Cell
from dllm2rec.rerun.paper.gains import BySeed, Interval, interval, mean_gains, paired_gains
from dllm2rec.rerun.paper.plan import Plan, Recipes, Record, Weights, plan
from dllm2rec.rerun.paper.train_job import METRICS


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        part: one of `PARTS`.
        dataset: its name.
        student: as `STUDENTS` calls it; empty for what is not trained.
        method: what it learns from the teacher, or the name of what is not trained.
        weights: those that validation chose; None where there are none.
        metrics: each test metric over the seeds.
        against: the method that it is compared with; None for none.
        gains: of each metric over that method, as a share, paired by seed.
        n_failed: seeds whose training diverged.
    """

    part: str
    dataset: str
    student: str
    method: str
    weights: Weights | None
    metrics: dict[str, Interval]
    against: str | None
    gains: dict[str, Interval]
    n_failed: int = 0

    @property
    def is_noise(self) -> bool:
        """Whether no gain or loss is beyond the noise of seeds."""
        return all(gain.holds_zero for gain in self.gains.values())


@dataclass(frozen=True)
class PaperTable:
    """The table as far as it is trained.

    Attributes:
        folder: where its trainings are kept.
        n_seeds: how many each cell is to have.
        rows: in the order of parts, datasets and students.
        n_cells: how many figures the mean gain is over: students x datasets x metrics.
        mean_gain: of DLLM2Rec over the same student alone; None before a seed of all is there.
        n_left: trainings that are missing, about.
    """

    folder: str
    n_seeds: int
    rows: tuple[Row, ...]
    n_cells: int
    mean_gain: Interval | None
    n_left: int

    def of_part(self, part: str) -> list[Row]:
        """The rows of one part."""
        return [row for row in self.rows if row.part == part]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints and `table.json` holds."""
        rows = [
            {
                **asdict(row),
                "weights": None if row.weights is None else row.weights._asdict(),
                "is_at_edge": row.weights is not None and row.weights.is_at_edge,
                "is_noise": row.is_noise if row.gains else None,
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}


def make_table(
    folder: str, cells: Sequence[Cell], recipes: Recipes, done: Mapping[str, Record]
) -> PaperTable:
    """Put together what is done; cells of which nothing is known yet have no row."""
    plans = {cell: plan(cell, recipes, done) for cell in cells}
    tests = {cell: _tests(one, done) for cell, one in plans.items()}
    rows: list[Row] = []
    counted: list[BySeed] = []
    for cell in sorted(cells, key=lambda one: PARTS.index(one.part)):
        if cell.method == UNTRAINED:
            rows += _untrained_rows(cell, plans[cell], done)
            continue
        gains = _gains(cell, tests)
        if cell.part == "students" and cell.method == DISTILLED:
            counted += [gains[name] for name in METRICS]
        if any(tests[cell].values()):
            rows.append(_row(cell, plans[cell], tests[cell], gains, done))
    return PaperTable(
        folder,
        recipes.n_seeds,
        tuple(rows),
        len(counted),
        interval(mean_gains(counted)),
        n_left(plans.values()),
    )


def n_left(plans: Iterable[Plan]) -> int:
    """How many trainings are missing: those that are ready, each once, and those to come."""
    plans = list(plans)
    ready = {job.key for one in plans for job in one.ready}
    return len(ready) + sum(one.n_later for one in plans)


def _tests(one: Plan, done: Mapping[str, Record]) -> dict[str, dict[int, float]]:
    """Each metric by seed, of the seeds that are there."""
    found: dict[str, dict[int, float]] = {name: {} for name in METRICS}
    for job in one.jobs:
        for name, value in done.get(job.key, {}).get("test", {}).items():
            found[name][job.config.train.seed] = value
    return found


def _gains(cell: Cell, tests: Mapping[Cell, Mapping[str, BySeed]]) -> dict[str, dict[int, float]]:
    if cell.against is None:
        return {name: {} for name in METRICS}
    part = "default" if cell.part == "default" else "students"
    theirs = tests[Cell(part, cell.dataset, cell.student, cell.against)]
    return {name: paired_gains(tests[cell][name], theirs[name]) for name in METRICS}


def _row(
    cell: Cell,
    one: Plan,
    tests: Mapping[str, BySeed],
    gains: Mapping[str, BySeed],
    done: Mapping[str, Record],
) -> Row:
    return Row(
        cell.part,
        cell.dataset,
        cell.student,
        cell.method,
        one.weights if cell.against is not None else None,
        _intervals(tests),
        cell.against,
        _intervals(gains),
        sum("failed" in done.get(job.key, {}) for job in one.jobs),
    )


def _intervals(by_metric: Mapping[str, BySeed]) -> dict[str, Interval]:
    found = {name: interval(list(values.values())) for name, values in by_metric.items()}
    return {name: one for name, one in found.items() if one is not None}


def _untrained_rows(cell: Cell, one: Plan, done: Mapping[str, Record]) -> list[Row]:
    """A row for each scorer that needs no training."""
    names = done.get(one.jobs[0].key, {}).get("rows", {})
    return [
        Row(
            cell.part,
            cell.dataset,
            "",
            name,
            None,
            _intervals({key: {0: value} for key, value in metrics.items()}),
            None,
            {},
        )
        for name, metrics in names.items()
    ]
