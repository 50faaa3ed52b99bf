"""The page of a comparison: one file that needs no network and no other."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.comparisons.comparison import Comparison
from dllm2rec.comparisons.conclusion import conclusion
from dllm2rec.comparisons.pictures import pictures
from dllm2rec.comparisons.texts import COST_HEADS, HEADS, cells, cost_cells, family
from dllm2rec.report.curves import can_draw
from dllm2rec.report.fill_template import fill_template
from dllm2rec.storage.atomic_file import replace_text

TEMPLATE = "compare.html"


def write_comparison_page(found: Comparison, page: str | Path) -> Path:
    """Write a comparison as a page, replacing what is there.

    Pictures need matplotlib; without it the page has the same figures as numbers.

    Args:
        found: what `compare` returned; with `costs`, quality stands against them.
        page: the file.

    Raises:
        ResourceError: it cannot be written.
    """
    path = Path(page)
    replace_text(path, render(found))
    return path


def render(found: Comparison) -> str:
    """Return the page; all that comes from data or files is escaped."""
    return fill_template(
        TEMPLATE,
        found=found,
        conclusion=conclusion(found),
        family=family(found),
        heads=HEADS,
        tables=[
            (metric, [(row.name, cells(row)) for row in found.of_metric(metric)])
            for metric in found.metrics
        ],
        cost_heads=COST_HEADS,
        costs=[(name, cost_cells(cost)) for name, cost in found.costs.items()],
        pictures=pictures(found) if can_draw() else [],
        can_draw=can_draw(),
    )
