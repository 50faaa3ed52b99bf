"""The table in words and figures, for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator

from dllm2rec.rerun.paper.cells import PARTS
from dllm2rec.rerun.paper.gains import Interval
from dllm2rec.rerun.paper.table import PaperTable, Row
from dllm2rec.rerun.paper.train_job import METRICS

TITLES = {
    "students": "The paper's students, without and with DLLM2Rec",
    "ablations": "Ablations, against DLLM2Rec with all its parts",
    "baselines": "Baselines, against the student alone",
    "controls": "Teachers that know nothing, against the student alone",
    "default": "The default recipe, and what needs no training",
}
_METRICS = [name.upper() for name in METRICS]
_GAINS = [f"{name} gain" for name in _METRICS]
HEADS = ["dataset", "student", "method", *_METRICS, *_GAINS, "weights", "seeds"]
_NOTE = (
    "Means over seeds ± the deviation of one; gains are paired by seed, with their 95 % interval "
    "(Student's t over seeds). Weights: of the lists and of the vectors, chosen on validation with "
    "the first seed."
)


def cells_of(row: Row) -> list[str]:
    """The texts of a row, under `HEADS`."""
    weights = ""
    if row.weights is not None:
        edge = ", largest tried" if row.weights.is_at_edge else ""
        weights = f"{row.weights.ranking:g}, {row.weights.embedding:g}{edge}"
    seeds = max((one.n_seeds for one in row.metrics.values()), default=0)
    failed = f", {row.n_failed} diverged" if row.n_failed else ""
    return [
        row.dataset,
        row.student,
        row.method,
        *(_metric(row.metrics.get(name)) for name in METRICS),
        *(gain_text(row.gains.get(name)) for name in METRICS),
        weights,
        f"{seeds if row.student else ''}{failed}",
    ]


def gain_text(gain: Interval | None) -> str:
    """`+52 % [48, 56]`; empty where there is none."""
    if gain is None:
        return ""
    text = f"{100 * gain.mean:+.1f} %"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} [{100 * gain.low:.1f}, {100 * gain.high:.1f}]"


def lines(table: PaperTable) -> Iterator[str]:
    """What the table comes to, a sentence each."""
    if table.mean_gain is not None:
        yield (
            f"mean gain of DLLM2Rec over the same student alone: {gain_text(table.mean_gain)} "
            f"({table.n_cells} cells, {table.mean_gain.n_seeds} seeds)"
        )
    controls = table.of_part("controls")
    if controls:
        beyond = [row for row in controls if not row.is_noise]
        names = "; ".join(f"{row.dataset} {row.student} {row.method}" for row in beyond)
        said = f"beyond noise in {len(beyond)} of {len(controls)} cells"
        yield f"teachers that know nothing: {said}{f' ({names})' if names else ''}"
    edges = [row for row in table.rows if row.weights is not None and row.weights.is_at_edge]
    if edges:
        yield f"in {len(edges)} rows the weight chosen is the largest tried: more may do better"
    if table.n_left:
        yield f"about {table.n_left} trainings are missing; run the command again to go on"


def markdown(table: PaperTable) -> str:
    """The table as a page."""
    parts = ["# The paper's table", ""]
    parts += [f"- {line}" for line in lines(table)]
    parts += ["", _NOTE]
    for part in PARTS:
        rows = table.of_part(part)
        if rows:
            parts += ["", f"## {TITLES[part]}", ""]
            parts += [_line(HEADS), _line(["---"] * len(HEADS))]
            parts += [_line(cells_of(row)) for row in rows]
    return "\n".join(parts) + "\n"


def _line(texts: list[str]) -> str:
    escaped = (text.replace("|", "\\|") for text in texts)
    return f"| {' | '.join(escaped)} |"


def _metric(one: Interval | None) -> str:
    if one is None:
        return "-"
    return f"{one.mean:.4f}" if one.deviation is None else f"{one.mean:.4f} ± {one.deviation:.4f}"
