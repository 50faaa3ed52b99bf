"""The pictures of a comparison: differences with their intervals, and quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dllm2rec.comparisons.comparison import ComparedScorer, Comparison
from dllm2rec.report.curves import Curves
from dllm2rec.report.drawing import HUES, drawn
from dllm2rec.runtime.visible import visible
from dllm2rec.tracking.metric_table import TAUGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY, LEVEL = "#9aa0a6", 0.05
ALONE, TAUGHT_HUE, TEACHER = HUES[0], HUES[1], HUES[2]
# What a picture calls a kind of scorer, and its hue: those of the reports.
KINDS = {"student": ALONE, "student + teacher": TAUGHT_HUE, "teacher": TEACHER, "no training": GREY}


def pictures(found: Comparison) -> list[Curves]:
    """Draw what there is, by the first metric; `report.curves.can_draw` says whether it can."""
    metric = found.metrics[0]
    rows = found.of_metric(metric)
    drawings = [Curves(f"{metric}: difference from {found.against}", _differences(rows))]
    timed = [row for row in rows if _ms(found, row) is not None]
    if timed:
        drawings.append(Curves(f"{metric} against the time of an answer", _costs(found, rows)))
    return drawings


def kind_of(row: ComparedScorer) -> str:
    """Which of `KINDS` a scorer is."""
    if row.name.partition(" (")[0] == "teacher":
        return "teacher"
    if not row.seeds:
        return "no training"
    taught = TAUGHT.replace(" ", "")
    return "student + teacher" if taught in row.name else "student"


def _ms(found: Comparison, row: ComparedScorer) -> float | None:
    cost = found.costs.get(row.name)
    return None if cost is None else cost.answer_ms


def _differences(rows: Sequence[ComparedScorer]) -> str:
    shown = [row for row in rows if row.difference is not None]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linewidth=1)
        for place, row in enumerate(shown):
            one, hue = row.difference, KINDS[kind_of(row)]
            assert one is not None  # noqa: S101 - for mypy
            sure = row.p_holm is not None and row.p_holm <= LEVEL
            axes.plot([one.low, one.high], [place, place], color=hue, linewidth=2.2)
            # Filled where the difference is sure, hollow where it is not.
            axes.plot(
                [one.difference], [place], "o", color=hue, markerfacecolor=hue if sure else "none"
            )
        axes.set_yticks(range(len(shown)), [visible(row.name) for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set(xlabel="difference, 95 % interval")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.25, axis="x")

    return drawn(draw, height=1.1 + 0.4 * len(shown))


def _costs(found: Comparison, rows: Sequence[ComparedScorer]) -> str:
    """Students and, where its time is known, the teacher; what has no time is a line across."""

    def draw(axes: Axes) -> None:
        told = set()
        for row in rows:
            ms, kind = _ms(found, row), kind_of(row)
            if ms is None:
                axes.axhline(row.value, color=KINDS[kind], linewidth=1, linestyle=(0, (2, 3)))
                axes.annotate(
                    visible(row.name),
                    (0.99, row.value),
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="bottom",
                    color=KINDS[kind],
                )
                continue
            label = kind if kind not in told else None
            told.add(kind)
            error = row.deviation or 0.0
            axes.errorbar([ms], [row.value], [error], fmt="o", color=KINDS[kind], label=label)
            axes.annotate(
                visible(row.name.removesuffix(TAUGHT.replace(" ", ""))),
                (ms, row.value),
                (7, 4),
                textcoords="offset points",
            )
        axes.set_xscale("log")
        # Plain numbers: powers would be set as formulas, which these pictures do not read.
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.margins(x=0.35, y=0.15)
        axes.set(xlabel="milliseconds per answer (log scale)", ylabel=found.metrics[0])
        axes.grid(alpha=0.25, axis="y")

    return drawn(draw)
