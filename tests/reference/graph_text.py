"""Graph times text again, one row and one item at a time: the definition, not the speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.reference.baselines import Row


def scores(
    fit_rows: list[Row],
    history: list[int],
    cosines: Sequence[Sequence[float]],
    most_on: int,
    weights: tuple[float, float],
) -> list[float]:
    """Scores of every item after a history, without a rule for the items of its window.

    Args:
        fit_rows: whose newest items and targets are the edges.
        history: oldest first.
        cosines: of each item with each.
        most_on: how many followers of an item a second step goes on from.
        weights: of an edge, and of the item before the newest.
    """
    n_items = len(cosines)
    edges = [[0] * n_items for _ in range(n_items)]
    for window, target in fit_rows:
        edges[window[-1]][target] += 1
    found = [0.0] * n_items
    for _, target in fit_rows:
        found[target] += 0.001 / len(fit_rows)
    for item, weight in zip(history[:-3:-1], (1.0, weights[1]), strict=False):
        followers = [b for b in range(n_items) if edges[item][b]]
        onward = sorted(followers, key=lambda b: (-edges[item][b], b))[:most_on]
        highest = max(edges[item])
        for other in range(n_items):
            is_two_steps_away = any(edges[middle][other] for middle in onward)
            if edges[item][other]:
                edge = math.log(1 + edges[item][other]) / math.log(1 + highest)
            elif is_two_steps_away and other != item:
                edge = 0.0
            else:
                continue
            alike = max(cosines[item][other], 0.0)
            found[other] += weight * (0.001 + alike + weights[0] * edge)
    return found
