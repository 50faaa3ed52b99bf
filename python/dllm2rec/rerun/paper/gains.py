"""Means over seeds with their interval, and gains that are paired by seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dllm2rec.comparisons.student_t import quantile

LEVEL = 0.95

# A metric of each seed.
BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Interval:
    """A mean over seeds.

    Attributes:
        mean: over the seeds.
        deviation: of a seed, with n - 1; None for one seed.
        low, high: the 95 % interval of the mean, Student's t with n - 1; None for one seed.
        n_seeds: n.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    n_seeds: int

    @property
    def holds_zero(self) -> bool:
        """Whether nothing is a value that it does not exclude; one seed excludes none."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high


def interval(values: Sequence[float]) -> Interval | None:
    """The mean of some seeds, and how sure it is; None without any."""
    n = len(values)
    if n == 0:
        return None
    mean = statistics.fmean(values)
    if n == 1:
        return Interval(mean, None, None, None, 1)
    deviation = statistics.stdev(values)
    half = quantile((1 + LEVEL) / 2, n - 1) * deviation / math.sqrt(n)
    return Interval(mean, deviation, mean - half, mean + half, n)


def paired_gains(ours: BySeed, theirs: BySeed) -> dict[int, float]:
    """By how much ours is above theirs, as a share of theirs, for each seed that both have.

    A seed with 0 on their side has no such share and is left out.
    """
    return {seed: ours[seed] / theirs[seed] - 1 for seed in ours if theirs.get(seed)}


def mean_gains(cells: Sequence[BySeed]) -> list[float]:
    """The mean over cells of the gains of each seed that all of them have."""
    if not cells:
        return []
    seeds = [seed for seed in cells[0] if all(seed in cell for cell in cells)]
    return [statistics.fmean(cell[seed] for cell in cells) for seed in seeds]
