"""From pytest-benchmark's JSON to one table of ratios and one plot."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.errors import InputError

OURS = "dllm2rec"
# A colour and a marker a peer: from Okabe and Ito, which differ to the colour-blind too.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333333")
STYLES = [(hue, marker) for marker in "os^Dv" for hue in HUES]


@dataclass(frozen=True)
class Row:
    """One piece of work.

    Attributes:
        group: kernel and shape, such as `weights/k10`.
        ours_s: our median, in seconds.
        ratios: how many times as long each peer took, median over median.
    """

    group: str
    ours_s: float
    ratios: Mapping[str, float]


def read_times(path: Path) -> dict[str, dict[str, float]]:
    """Read the medians in seconds, by group and peer.

    Raises:
        InputError: it is not what pytest-benchmark writes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        times: dict[str, dict[str, float]] = {}
        for bench in content["benchmarks"]:
            group = times.setdefault(str(bench["group"]), {})
            group[str(bench["extra_info"]["peer"])] = float(bench["stats"]["median"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as err:
        raise InputError(f"{err!r}, expected the JSON of pytest-benchmark", path=path) from err
    return times


def summary(times: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Divide each peer's median by ours; groups without ours are left out."""
    return [
        Row(
            group,
            peers[OURS],
            {peer: seconds / peers[OURS] for peer, seconds in peers.items() if peer != OURS},
        )
        for group, peers in sorted(times.items())
        if OURS in peers
    ]


def grouped(text: str) -> str:
    """A bench's name with the digits of its large numbers in threes: `64x17,408`."""
    return re.sub(r"\d{5,}", lambda found: f"{int(found[0]):,}", text)


def plot(rows: list[Row], path: Path) -> Path | None:
    """Draw the ratios on a log axis, one line a bench; None without matplotlib or ratios."""
    drawn = [row for row in rows if row.ratios]
    if importlib.util.find_spec("matplotlib") is None or not drawn:
        return None
    from matplotlib.figure import Figure  # no pyplot: no state, no display
    from matplotlib.ticker import LogLocator, NullLocator

    peers = sorted({peer for row in drawn for peer in row.ratios})
    # A legend line a peer, whatever the number of rows.
    height = max(1.4 + 0.24 * len(drawn), 1.0 + 0.21 * len(peers))
    figure = Figure(figsize=(10.5, height), layout="constrained")
    axes = figure.add_subplot()
    for peer, (colour, marker) in zip(peers, itertools.cycle(STYLES), strict=False):
        places = [n for n, row in enumerate(drawn) if peer in row.ratios]
        ratios = [drawn[n].ratios[peer] for n in places]
        axes.plot(ratios, places, marker, color=colour, label=peer, markersize=6, alpha=0.9)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(drawn)), [grouped(row.group) for row in drawn], fontsize=8)
    for place in [n for n, row in enumerate(drawn) if n and _kernel(row) != _kernel(drawn[n - 1])]:
        axes.axhline(place - 0.5, color="0.75", linewidth=0.8)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlabel("times as long as dllm2rec: right of the line dllm2rec is faster")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
    return path


def _kernel(row: Row) -> str:
    return row.group.partition("/")[0]
