"""Ranks, lists and metrics again, in slow and obvious NumPy: what the kernels are held to."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np


def rank_counts(scores, targets):
    """(greater, equal) of each row; `equal` leaves the target out."""
    counts = []
    for row, target in zip(np.asarray(scores, dtype=np.float64), targets, strict=True):
        if not (row < np.inf).all():
            raise ArithmeticError("NaN or +inf")
        if row[target] == -np.inf:
            raise ValueError("masked target")
        counts.append(((row > row[target]).sum(), (row == row[target]).sum() - 1))
    return tuple(np.array(counts, dtype=np.int64).reshape(-1, 2).T)


def top_n(scores, n):
    """Items and scores: score descending, then index ascending; missing places N and -inf."""
    n_rows, n_items = np.shape(scores)
    items = np.full((n_rows, n), n_items, dtype=np.uint32)
    values = np.full((n_rows, n), -np.inf, dtype=np.float32)
    for b, row in enumerate(np.asarray(scores, dtype=np.float64)):
        if not (row < np.inf).all():
            raise ArithmeticError("NaN or +inf")
        order = sorted(range(n_items), key=lambda item: (-row[item], item))
        best = [item for item in order if row[item] > -np.inf][:n]
        items[b, : len(best)] = best
        values[b, : len(best)] = row[best]
    return items, values


def matrix(users, items, bias=None, window=None, window_offset=0.0, bonuses=None):
    """The users x items matrix that the fused kernels never hold."""
    scores = np.asarray(users, dtype=np.float64) @ np.asarray(items, dtype=np.float64).T
    if bias is not None:
        scores = scores + bias
    if window is not None:
        offsets, listed = window
        for row in range(len(users)):
            for item in set(listed[offsets[row] : offsets[row + 1]]):
                scores[row, item] += window_offset
    if bonuses is not None:
        offsets, listed, values = bonuses
        for row in range(len(users)):
            for place in range(offsets[row], offsets[row + 1]):
                scores[row, listed[place]] += values[place]
    return scores


def metrics_over_all_orders(scores, target, k):
    """HR, NDCG and MRR of one row, averaged over every order that its scores allow."""
    candidates = [item for item in range(len(scores)) if scores[item] > -np.inf]
    found = []
    for order in permutations(candidates):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            rank = order.index(target) + 1
            hit = rank <= k
            found.append((hit, hit / np.log2(rank + 1), hit / rank))
    return np.mean(found, axis=0)
