"""The baselines again, one row and one item at a time: the definition, not the speed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

Row = tuple[list[int], int]  # history, oldest first, and target


def popularity_scores(rows: list[Row], n_items: int) -> list[int]:
    """How often each item is a target."""
    return [sum(target == item for _, target in rows) for item in range(n_items)]


def window_count_scores(
    fit_rows: list[Row], history: list[int], n_items: int, power: float, constant: float
) -> list[float]:
    """Scores of every item after a history; window items last, in the order of their scores."""
    scores = plain_scores(fit_rows, history, n_items, power, constant)
    return [s if b not in history else s - 1e9 for b, s in enumerate(scores)]


def plain_scores(
    fit_rows: list[Row], history: list[int], n_items: int, power: float, constant: float
) -> list[float]:
    """The same without a rule for the window's items."""
    table = np.zeros((n_items, n_items))
    for window, target in fit_rows:
        for age, item in enumerate(reversed(window)):
            table[item, target] += 0.7**age
    popularity = np.bincount([target for _, target in fit_rows], minlength=n_items) / len(fit_rows)
    scores = 0.001 * popularity
    for age, item in enumerate(reversed(history)):
        row_sum = table[item].sum()
        if row_sum > 0:
            scores = scores + 0.7**age * table[item] / (row_sum**power + constant)
    return [float(s) for s in scores]


def without_seen(scores: list[float], history: list[int], target: int) -> list[float]:
    """The scores with those of seen items far below all others, but for the target's."""
    gone = set(history) - {target}
    return [float("-inf") if item in gone else score for item, score in enumerate(scores)]


def rank_counts(scores: list[float], target: int, tolerance: float = 0.0) -> tuple[int, int]:
    """How many items score above the target, and how many others level with it."""
    own = scores[target]
    greater = sum(score > own + tolerance for score in scores)
    level = sum(abs(score - own) <= tolerance for score in scores)
    return greater, level - 1


def expected_ndcg(counts: list[tuple[int, int]], k: int) -> float:
    """The mean over rows of the NDCG@k expected over the orders of ties."""
    total = Fraction(0)
    for greater, equal in counts:
        ranks = range(greater + 1, greater + equal + 2)
        gains = sum(Fraction(1 / np.log2(rank + 1)) for rank in ranks if rank <= k)
        total += gains / (equal + 1)
    return float(total / len(counts))
