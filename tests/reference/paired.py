"""Paired statistics again, row by row in NumPy: what the kernels' draws are held to."""

from __future__ import annotations

import numpy as np


def bootstrap_means(values, n_draws, rng):
    """Means of as many rows drawn with replacement, (n_draws,)."""
    return np.array([rng.choice(values, len(values)).mean() for _ in range(n_draws)])


def sign_means(values, n_draws, rng):
    """Means with every row's sign drawn anew, (n_draws,)."""
    return np.array([(values * rng.choice([-1, 1], len(values))).mean() for _ in range(n_draws)])


def holm(p_values):
    """By its definition: the k-th smallest of m times m - k + 1, and at least the one before."""
    adjusted = {}
    before = 0.0
    for k, (p, number) in enumerate(sorted(zip(p_values, range(len(p_values)), strict=True))):
        before = max(before, min(1.0, p * (len(p_values) - k)))
        adjusted[number] = before
    return [adjusted[number] for number in range(len(p_values))]
