"""The slices of a run's page: where its students are good, on some test rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dllm2rec.evaluate.rows.slices import SliceTable
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import TAUGHT

CHARTED = "target popularity"


def shown_slices(tables: Sequence[SliceTable], student: str) -> dict[str, Any]:
    """The slices as the page lays them out: a table each, and a chart of the first.

    Args:
        tables: what `gather_slices` returned.
        student: the best, which the chart shows beside the same one without a teacher.
    """
    if not tables:
        return {}
    laid_out = []
    for one in tables:
        rows = []
        for place, (label, n) in enumerate(zip(one.labels, one.n_rows, strict=True)):
            parts = [parts[place] for parts in one.metrics.values()]
            texts = [f"{part[SELECTION]:.4f}" if SELECTION in part else "-" for part in parts]
            top = max((text for text in texts if text != "-"), default="")
            rows.append((label, [(f"{n:,}", False), *((text, text == top) for text in texts)]))
        # Groups below each other: their labels are too long for heads of columns.
        heads = ["rows", *one.metrics]
        laid_out.append({"title": one.name, "protocol": one.how, "columns": heads, "rows": rows})
    n_rows = sum(tables[0].n_rows)
    return {"tables": laid_out, "bars": _bars(tables, student), "n_rows": n_rows}


def _bars(tables: Sequence[SliceTable], student: str) -> list[tuple[str, str, str, str]]:
    """Name, kind, length in percent of the longest, and the figure of each bar."""
    one = next(table for table in tables if table.name == CHARTED)
    alone = student.removesuffix(TAUGHT)
    kinds = {alone: "alone"} if alone == student else {alone: "alone", student: "taught"}
    names = {name: kind for name, kind in kinds.items() if name in one.metrics}
    values = [
        (f"{label.partition(':')[0]}: {name}", kind, one.metrics[name][place][SELECTION])
        for place, label in enumerate(one.labels)
        for name, kind in names.items()
    ]
    longest = max((value for _, _, value in values), default=0.0) or 1.0
    return [
        (name, kind, f"{100 * value / longest:.1f}", f"{value:.4f}") for name, kind, value in values
    ]
