"""From pytest-benchmark's JSON to one table of ratios and one plot."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.errors import InputError

OURS = "dllm2rec"


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
    except (OSError, ValueError, KeyError, TypeError) as err:
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


def plot(rows: list[Row], path: Path) -> Path | None:
    """Draw the ratios on a log axis, one line a bench; None without matplotlib or ratios."""
    drawn = [row for row in rows if row.ratios]
    if importlib.util.find_spec("matplotlib") is None or not drawn:
        return None
    from matplotlib.figure import Figure  # no pyplot: no state, no display

    peers = sorted({peer for row in drawn for peer in row.ratios})
    figure = Figure(figsize=(9, 1.4 + 0.24 * len(drawn)), layout="constrained")
    axes = figure.add_subplot()
    for peer in peers:
        places = [n for n, row in enumerate(drawn) if peer in row.ratios]
        axes.plot([drawn[n].ratios[peer] for n in places], places, "o", label=peer, markersize=5)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(drawn)), [row.group for row in drawn], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times as long as dllm2rec (right of the line: dllm2rec is faster)")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=130)
    return path
