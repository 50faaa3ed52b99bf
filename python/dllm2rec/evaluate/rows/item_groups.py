"""Items by how often they are a train target: cold, tail, middle and head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def popularity_groups(counts: npt.NDArray[np.int64]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Put each item into a group: cold, or tail, middle or head, about a third of the targets each.

    Items that are a target equally often are of one group.

    Args:
        counts: how often each item is the target of a train row, (N,).

    Returns:
        What the groups are called, and the group of each item, (N,).
    """
    ordered, total = np.sort(counts), int(counts.sum())
    sums = np.concatenate([[0], np.cumsum(ordered)])
    below, to = (sums[np.searchsorted(ordered, counts, side=side)] for side in ("left", "right"))
    # The head is what no third of the targets stands above: one dominating item is a head.
    group = np.where(3 * (total - to) < total, 3, np.where(3 * (below + to) < 2 * total, 1, 2))
    group[counts == 0] = 0
    names = ["cold: never a train target"]
    for number, name in enumerate(("tail", "middle", "head"), start=1):
        inside = np.unique(counts[group == number])
        span = (
            " to ".join(f"{n:,}" for n in dict.fromkeys(inside[[0, -1]])) if len(inside) else "no"
        )
        names.append(f"{name}: {span} train target{'' if span == '1' else 's'}")
    return names, group
