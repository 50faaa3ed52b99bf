"""The curves of a run as images inside the page; matplotlib draws them, the `report` extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dllm2rec.report.drawing import HUES, drawn
from dllm2rec.report.facts import Epochs
from dllm2rec.runtime.visible import visible
from dllm2rec.tracking.metric_names import EPOCH_METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = ("--", "-")  # alone, taught


@dataclass(frozen=True)
class Curves:
    """One figure: `image` is an SVG as a data URI, which a page shows without any other file."""

    title: str
    image: str


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw_curves(trainings: Sequence[Epochs]) -> list[Curves]:
    """Draw each loss part and validation HR@20 and NDCG@20 over epochs, one line a training.

    Call `can_draw` first.
    """
    keys = dict.fromkeys(key for one in trainings for r in one.records for key in r)
    losses = [key for key in keys if key.startswith("loss_")]
    wanted = [*reversed(EPOCH_METRICS), "loss", *(losses if len(losses) > 1 else [])]
    shown = [key for key in wanted if key in keys]
    return [Curves(_title(key), _image(key, trainings)) for key in shown]


def load_plots_ahead() -> None:
    """Load matplotlib and its fonts, while a run still waits for something else."""
    if can_draw():
        draw_curves([Epochs("first", ({"epoch": 1.0, "loss": 1.0}, {"epoch": 2.0, "loss": 0.5}))])


def _title(key: str) -> str:
    if not key.startswith("loss"):
        return f"validation {key}"
    part = key.removeprefix("loss").strip("_")
    return f"train loss: {part}" if part else "train loss"


def _image(key: str, trainings: Sequence[Epochs]) -> str:
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for style, training in zip(_styles(trainings), trainings, strict=True):
            series = training.series(key)
            if not series:
                continue
            axes.plot(
                [epoch for epoch, _ in series],
                [value for _, value in series],
                color=style.colour,
                linestyle=style.dash,
                linewidth=1.6 if style.label else 0.8,
                alpha=1.0 if style.label else 0.45,
                marker="o" if len(series) == 1 else None,
                label=style.label or None,
            )
        axes.set(xlabel="epoch", ylabel=key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)

    return drawn(draw)


class _Style(NamedTuple):
    """How a training is drawn; one without a label is thin and not in the legend."""

    colour: str
    dash: str
    label: str


def _styles(trainings: Sequence[Epochs]) -> list[_Style]:
    """A hue for each student, dashed where it was taught; of its trainings the chosen one is named.

    Names are short: settings and seeds are in the tables below the curves.
    """
    hues: dict[str, str] = {}
    named: set[str] = set()
    styles = []
    for training in trainings:
        name = (training.student or training.name).lstrip("_")
        base, taught, _ = name.partition("+dllm2rec")
        hue = hues.setdefault(base, HUES[len(hues) % len(HUES)])
        is_named = training.is_chosen and name not in named
        named |= {name} if is_named else set()
        label = visible(f"{base} + dllm2rec" if taught else base) if is_named else ""
        styles.append(_Style(hue, DASHES[bool(taught)], label))
    return styles
