"""Two scorers on the same rows: the difference of their means, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.comparisons.student_t import quantile, upper_tail
from dllm2rec.errors import InputError

Vector = npt.NDArray[np.float64]

N_DRAWS = 10_000
LEVEL = 0.95  # of intervals
TAIL = (1 + LEVEL) / 2
POWER = 0.8  # of the smallest difference that is called detectable


@dataclass(frozen=True)
class PairedDifference:
    """By how much a scorer's mean is above another's on the same rows.

    Attributes:
        difference: of the means over rows and seeds.
        low, high: the interval that holds it with 95 %.
        p: two-sided, of no difference.
        test: "permutation" (signs of rows) or "t" (rows and seeds).
        effect: Cohen's d of paired differences, their mean over their standard deviation.
        detectable: the smallest difference that would be seen, at the 5 % level, 8 times in 10.
        n_rows: R.
    """

    difference: float
    low: float
    high: float
    p: float
    test: str
    effect: float
    detectable: float
    n_rows: int


def paired_difference(
    scorer: Sequence[Vector],
    reference: Sequence[Vector],
    *,
    users: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> PairedDifference:
    """Compare the values of a metric, row by row.

    With one training on each side the rows are what varies. The interval is the percentile interval
    of a bootstrap of rows (10,000 draws), p that of a sign-flip permutation: (1 + draws at least
    as far from 0) / (1 + draws).

    With several seeds on a side, these vary as well: each draw takes rows for the mean over seeds,
    and S - 1 of the S seeds with replacement for the mean of a side, which has the variance of a
    mean of S. Few seeds say little of how far others would be. So the interval is stretched about
    the difference by t / z, and p is that of the difference over its standard error
    sqrt(var(rows) / R + var(seeds) / S + ...) in Student's t, both with the degrees of freedom of
    Welch and Satterthwaite.

    With `users` these are drawn, each with all of its rows, as rows of one user are alike: with
    s(u) the sum of a user's differences, n(u) their number and d the mean over rows, a draw of U
    users has the mean d + sum (s(u) - d n(u)) / R. That is the ratio estimator of cluster samples
    to first order, and exactly the bootstrap of rows where each user has one. Signs are flipped by
    user, and U takes the place of R in the degrees of freedom.

    Args:
        scorer: the values of each seed, each (R,).
        reference: the same of what it is compared with; each side has one seed or more.
        users: a number for the user of each row, >= 0, int64 (R,); None draws rows.
        seed: of the draws; one seed has one result, whatever the number of threads.

    Raises:
        InputError: fewer than two rows (or users), or not the same number on both sides.
        NonFiniteError: NaN or infinity among the values.
    """
    columns = [np.ascontiguousarray(values, np.float64) for values in (*scorer, *reference)]
    n_rows = len(columns[0])
    if not scorer or not reference or any(c.shape != (n_rows,) for c in columns) or n_rows < 2:
        sizes = ", ".join(str(len(column)) for column in columns)
        raise InputError(f"values of {sizes} rows, expected the same, at least two")
    sides = columns[: len(scorer)], columns[len(scorer) :]
    mine, other = (np.mean(side, axis=0) if len(side) > 1 else side[0] for side in sides)
    differences = mine - other
    difference, spread = float(differences.mean()), float(differences.std(ddof=1))
    # Where all rows differ by the same, the deviation is 0 but for the last bits.
    spread = spread if spread > 1e-12 * abs(difference) else 0.0
    effect = difference / spread if spread else 0.0
    seeds = [_variance_of_mean(side) for side in sides if len(side) > 1]
    sums, moved = _by_user(differences, users)
    n_units = len(sums)
    of_rows = spread**2 / n_rows
    if moved is not None:
        of_rows = n_units / (n_units - 1) * float((moved**2).sum()) / n_rows**2
    variance = of_rows + sum(part for part, _ in seeds)
    error = math.sqrt(variance)
    df = math.inf
    if seeds and error:
        parts = [(of_rows, n_units - 1), *seeds]
        df = variance**2 / sum(part**2 / free for part, free in parts if part)
    if moved is None:
        means = _bootstrap_sums(differences, seed) / n_rows
    else:
        means = difference + _bootstrap_sums(moved, seed) / n_rows
    if seeds:
        rng = np.random.default_rng([seed, 3])  # the kernels' streams are 1 and 2
        means += _moved_by_seeds(sides[0], rng) - _moved_by_seeds(sides[1], rng)
        means = difference + (means - difference) * quantile(TAIL, df) / quantile(TAIL, math.inf)
        p = 2 * upper_tail(abs(difference) / error, df) if error else float(difference == 0)
    else:
        p = _permutation(sums, seed)
    low, high = _percentiles(means)
    detectable = (quantile(TAIL, df) + quantile(POWER, df)) * error
    test = "t" if seeds else "permutation"
    return PairedDifference(difference, low, high, p, test, effect, detectable, n_rows)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of a family so that one false finding in it has the level's probability.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: the k-th smallest of m is
    multiplied by m - k + 1; none is below one that was smaller, none above 1.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.ones(len(p_values))
    largest = 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted.tolist()


def _variance_of_mean(side: Sequence[Vector]) -> tuple[float, int]:
    """The variance of a mean over seeds, and its degrees of freedom."""
    means = [float(values.mean()) for values in side]
    return float(np.var(means, ddof=1)) / len(means), len(means) - 1


def _by_user(
    differences: Vector, users: npt.NDArray[np.int64] | None
) -> tuple[Vector, Vector | None]:
    """The differences summed by user, and how far each user moves their mean; None by row."""
    if users is None:
        return differences, None
    if users.shape != differences.shape:
        raise InputError(f"users {users.shape}, expected one for each of {len(differences)} rows")
    sizes = np.bincount(users)
    there = sizes > 0
    if int(there.sum()) < 2:
        raise InputError("rows of one user, expected at least two users")
    if sizes.max() == 1:
        return differences, None
    sums: Vector = np.bincount(users, weights=differences)[there].astype(np.float64)
    return sums, sums - differences.mean() * sizes[there]


def _bootstrap_sums(values: Vector, seed: int) -> Vector:
    """Sums of as many values drawn with replacement, (N_DRAWS,)."""
    distinct, counts = np.unique(values, return_counts=True)
    return _core.bootstrap_sums(distinct, counts.astype(np.uint64), n_draws=N_DRAWS, seed=seed)


def _percentiles(means: Vector) -> tuple[float, float]:
    low, high = np.quantile(means, [1 - TAIL, TAIL])
    return float(low), float(high)


def _permutation(differences: Vector, seed: int) -> float:
    sizes, counts = np.unique(np.abs(differences), return_counts=True)
    drawn = _core.sign_sums(sizes, counts.astype(np.uint64), n_draws=N_DRAWS, seed=seed)
    # Sums that are equal in truth may differ in their last bits.
    rounding = 1e-12 * float(np.abs(differences).sum())
    as_far = np.count_nonzero(np.abs(drawn) >= abs(float(differences.sum())) - rounding)
    return (1 + int(as_far)) / (1 + N_DRAWS)


def _moved_by_seeds(side: Sequence[Vector], rng: np.random.Generator) -> Vector:
    """How far other seeds would move the mean of a side: S - 1 of S drawn, (N_DRAWS,)."""
    means = np.array([values.mean() for values in side])
    if len(means) == 1:
        return np.zeros(N_DRAWS)
    times = rng.multinomial(len(means) - 1, [1 / len(means)] * len(means), size=N_DRAWS)
    moved: Vector = times @ (means - means.mean()) / (len(means) - 1)
    return moved
