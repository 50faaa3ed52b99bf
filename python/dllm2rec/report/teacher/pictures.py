"""The pictures of a teacher's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dllm2rec.report.curves import Curves
from dllm2rec.report.drawing import HUES, drawn
from dllm2rec.report.teacher.quality import Bin
from dllm2rec.runtime.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dllm2rec.report.teacher.report import TeacherReport

GREY = "#9aa0a6"


def pictures(report: TeacherReport) -> dict[str, Curves]:
    """Draw what there is, by the name of the section that it belongs to.

    `report.curves.can_draw` says whether it can.
    """
    found = {}
    if report.curves:
        title = f"HR by length of list, {report.compared_on} rows"
        found["quality"] = Curves(title, _hit_curves(report.curves))
    if report.places:
        title = f"hit rate by place, {report.calibrated_on} rows"
        found["places"] = Curves(title, _bins(report.places, "place of the list"))
    if report.distances:
        title = f"hit rate by distance, {report.calibrated_on} rows"
        labels = "places by distance, the smallest left"
        found["distances"] = Curves(title, _bins(report.distances, labels))
    if report.beside:
        title = (
            f"who has the target among the first {report.beside[0].k}, {report.compared_on} rows"
        )
        found["beside"] = Curves(title, _who_is_right(report))
    if report.slices:
        title = f"HR by popularity of the target, {report.compared_on} rows"
        found["slices"] = Curves(title, _by_slice(report))
    if report.shares:
        title = f"what lists and targets are, {report.compared_on} rows"
        found["shares"] = Curves(title, _by_share(report))
    return found


def _colours(names: Sequence[str]) -> dict[str, str]:
    """The teacher's hue, grey for popularity, others for students."""
    students = [name for name in names if name not in ("teacher", "popularity")]
    hues = dict(
        zip(students, [HUES[1 + n % (len(HUES) - 1)] for n in range(len(students))], strict=True)
    )
    return {"teacher": HUES[0], "popularity": GREY, **hues}


def calibration_pictures(places: Sequence[Bin], distances: Sequence[Bin]) -> list[Curves]:
    """Draw how often a place holds the target, by place and by distance, where there are any."""
    found = [Curves("hit rate by place", _bins(places, "place of the list"))] if places else []
    if distances:
        labels = "places by distance, the smallest left"
        found.append(Curves("hit rate by distance", _bins(distances, labels)))
    return found


def _hit_curves(curves: dict[str, list[float]]) -> str:
    def draw(axes: Axes) -> None:
        colours = _colours([*curves])
        for name, values in curves.items():
            at = range(1, len(values) + 1)
            axes.plot(at, values, color=colours[name], label=visible(name), linewidth=1.6)
        axes.set(xlabel="items of the list that count", ylabel="hit rate", ylim=(0, None))
        axes.grid(alpha=0.25)

    return drawn(draw)


def _bins(bins: Sequence[Bin], label: str) -> str:
    def draw(axes: Axes) -> None:
        at = np.arange(1, len(bins) + 1)
        rates = np.array([one.rate for one in bins])
        errors = np.sqrt(rates * (1 - rates) / np.array([one.places for one in bins]))
        axes.bar(at, rates, color=HUES[0], yerr=errors, error_kw={"elinewidth": 1, "alpha": 0.6})
        axes.set(xlabel=label, ylabel="share that is the target", ylim=(0, None))
        axes.set_xticks(at[:: -(-len(bins) // 10)])  # ten numbers at most: more would overlap
        axes.grid(alpha=0.25, axis="y")

    return drawn(draw)


def _who_is_right(report: TeacherReport) -> str:
    def draw(axes: Axes) -> None:
        names = [visible(one.student) for one in report.beside]
        parts = {
            "both": ([one.both for one in report.beside], HUES[2]),
            "teacher alone": ([one.teacher_only for one in report.beside], HUES[0]),
            "student alone": ([one.student_only for one in report.beside], HUES[1]),
        }
        rows = np.array([one.rows for one in report.beside])
        left = np.zeros(len(rows))
        for label, (counts, colour) in parts.items():
            share = np.array(counts) / rows
            axes.barh(np.arange(len(rows)), share, left=left, color=colour, label=label, height=0.6)
            left += share
        axes.set_yticks(np.arange(len(rows)), names)
        axes.invert_yaxis()
        axes.set(xlabel="share of rows")
        axes.grid(alpha=0.25, axis="x")

    return drawn(draw, height=1.8 + 0.35 * len(report.beside))


def _by_slice(report: TeacherReport) -> str:
    parts = [one for one in report.slices if one.rows]
    names = [*parts[0].metrics]
    key = next(iter(parts[0].metrics["teacher"]))
    values = {name: [one.metrics[name][key] for one in parts] for name in names}
    labels = [f"{_short(one.label)}\n{one.rows:,} rows" for one in parts]
    return _grouped(values, labels, key)


def _by_share(report: TeacherReport) -> str:
    labels = [_short(label) for label in next(iter(report.shares.values()))]
    values = {name: [*shares.values()] for name, shares in report.shares.items()}
    hues = dict(zip(values, (GREY, HUES[1], HUES[0]), strict=True))
    return _grouped(values, labels, "share", hues)


def _grouped(
    values: dict[str, list[float]],
    labels: Sequence[str],
    what: str,
    colours: dict[str, str] | None = None,
) -> str:
    def draw(axes: Axes) -> None:
        hues = _colours([*values]) if colours is None else colours
        width = 0.8 / len(values)
        for n, (name, heights) in enumerate(values.items()):
            at = np.arange(len(labels)) + (n - (len(values) - 1) / 2) * width
            axes.bar(at, heights, width, color=hues[name], label=visible(name))
        axes.set_xticks(np.arange(len(labels)), labels)
        axes.set(ylabel=what, ylim=(0, None))
        axes.grid(alpha=0.25, axis="y")

    return drawn(draw)


def _short(label: str) -> str:
    return label.partition(":")[0]
