"""Metrics where a case has one relevant item or many: each is a line or two, expected over ties.

Relevant items that tie are a group: with g items above it, s items in it, m of them relevant, each
of its orders has the same probability. All metrics follow in closed form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics

Int64Vector = npt.NDArray[np.int64]
Float64Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RelevantCounts:
    """Where each relevant item of each case stands among the candidates.

    A case is a row or a user. Each has at least one relevant item.

    Attributes:
        case: of each relevant item, ascending from 0 without gaps, int64 (M,).
        greater: items that score strictly above it, int64 (M,); beyond every K for one that is not
            listed.
        equal: other items with exactly its score, int64 (M,).
    """

    case: Int64Vector
    greater: Int64Vector
    equal: Int64Vector

    @property
    def n_cases(self) -> int:
        """How many cases there are."""
        return int(self.case[-1]) + 1 if self.case.size else 0

    def n_relevant(self) -> Int64Vector:
        """How many relevant items each case has, int64 (n_cases,)."""
        return np.bincount(self.case, minlength=self.n_cases).astype(np.int64)


def relevance_metrics(counts: RelevantCounts, ks: int | Iterable[int]) -> dict[str, float]:
    """Average the metrics over cases; for one relevant item a case they are `rank_metrics`.

    With n relevant items of a case, H of them among the first K:

    - `hr@K`: 1 if H > 0; `recall@K`: H / n; `precision@K`: H / K, however short the list;
    - `ndcg@K`: sum over hits of 1 / log2(rank + 1), over the same sum of the ranks 1..min(n, K);
    - `map@K`: sum over hits of (hits up to it) / rank, over min(n, K);
    - `mrr@K`: 1 / rank of the first hit.

    Args:
        counts: of at least one case.
        ks: list length or lengths, each >= 1.

    Returns:
        These for each k; `tie_rate` and `mean_tie_size`, over relevant items.

    Raises:
        InputError: no cases, or a k below 1.
    """
    if counts.case.size == counts.n_cases:
        return rank_metrics(RankCounts(counts.greater, counts.equal), ks)
    groups = tie_groups(counts)
    metrics: dict[str, float] = {}
    for k in one_or_more(ks, int):
        sums = groups.sums(k)
        ideal = np.minimum(sums.n, k)
        gains = np.append(0.0, np.cumsum(discounts(k)))
        found = {
            "hr": sums.any_hit,
            "ndcg": sums.gain / gains[ideal],
            "mrr": sums.first,
            "recall": sums.hits / sums.n,
            "precision": sums.hits / k,
            "map": sums.precisions / ideal,
        }
        metrics |= {f"{name}@{k}": float(np.mean(values)) for name, values in found.items()}
    metrics["tie_rate"] = float(np.mean(counts.equal > 0))
    metrics["mean_tie_size"] = float(np.mean(counts.equal + 1))
    return metrics


def discounts(k: int) -> Float64Vector:
    """What a hit at each rank 1..k gains: 1 / log2(rank + 1)."""
    gains: Float64Vector = 1 / np.log2(np.arange(2, k + 2))
    return gains


@dataclass(frozen=True, eq=False)
class CaseSums:
    """What the first K places of each case hold, expected over ties, float64 (n_cases,) each.

    Attributes:
        k: how many places.
        n: relevant items of the case.
        hits: relevant items among the K.
        any_hit: the probability that there is one.
        gain: sum over hits of 1 / log2(rank + 1).
        first: 1 / rank of the first hit, 0 where there is none.
        precisions: sum over hits of (hits up to it) / rank.
    """

    k: int
    n: Int64Vector
    hits: Float64Vector
    any_hit: Float64Vector
    gain: Float64Vector
    first: Float64Vector
    precisions: Float64Vector


@dataclass(frozen=True, eq=False)
class TieGroups:
    """Relevant items of a case that have one score, (G,) each but `n`; the best of a case first.

    Attributes:
        case: whose they are.
        above: items above the group.
        size: items in the group, others included.
        relevant: relevant items in it.
        before: relevant items of the case above it.
        is_first: whether it is the case's first.
        n: relevant items of each case, (n_cases,).
    """

    case: Int64Vector
    above: Int64Vector
    size: Int64Vector
    relevant: Int64Vector
    before: Int64Vector
    is_first: npt.NDArray[np.bool_]
    n: Int64Vector

    def sums(self, k: int) -> CaseSums:
        """What the first `k` places hold.

        Raises:
            InputError: `k` is below 1.
        """
        if k < 1:
            raise InputError(f"k = {k}, expected at least 1")
        within = np.clip(k - self.above, 0, self.size)  # places of the group among the first k
        share = self.relevant / self.size
        begin = np.minimum(self.above, k)
        end = begin + within
        return CaseSums(
            k=k,
            n=self.n,
            hits=self._of_cases(share * within),
            any_hit=self._any(within),
            gain=self.gain(discounts(k)),
            first=self._first(within),
            precisions=self._of_cases(share * self._precisions(begin, end, k)),
        )

    def gain(self, discount: Float64Vector) -> Float64Vector:
        """Sum what hits at the ranks 1..k gain, of each case; `discount` says it of each rank."""
        total, k = np.append(0.0, np.cumsum(discount)), len(discount)
        begin, end = np.minimum(self.above, k), np.minimum(self.above + self.size, k)
        return self._of_cases(self.relevant / self.size * (total[end] - total[begin]))

    def _of_cases(self, values: Float64Vector) -> Float64Vector:
        sums = np.bincount(self.case, weights=values, minlength=len(self.n))
        return sums.astype(np.float64)

    def _precisions(self, begin: Int64Vector, end: Int64Vector, k: int) -> Float64Vector:
        """Sum over a group's places t of the precision there, if a relevant item stands at t.

        That is (before + 1 + (m - 1)(t - 1) / (s - 1)) / (above + t), and (t - 1) / (above + t) is
        1 - (above + 1) / (above + t).
        """
        harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, k + 1)))
        each = (self.relevant - 1) / np.maximum(self.size - 1, 1)
        constant = self.before + 1 - each * (self.above + 1)
        total: Float64Vector = constant * (harmonic[end] - harmonic[begin]) + each * (end - begin)
        return total

    def _any(self, within: Int64Vector) -> Float64Vector:
        """The probability that a case has a hit: that no group of it lies beyond K with all of m.

        Of the C(s, t) sets that may stand at the t places within, C(s - m, t) have no relevant
        item; the ratio is the product over i < m of (s - t - i) / (s - i).
        """
        missed = np.ones(len(within))
        for i in range(int(self.relevant.max())):
            factor = (self.size - within - i) / np.maximum(self.size - i, 1)
            missed = np.where(i < self.relevant, missed * np.maximum(factor, 0), missed)
        none: Float64Vector = np.ones(len(self.n))
        np.multiply.at(none, self.case, missed)
        return 1 - none

    def _first(self, within: Int64Vector) -> Float64Vector:
        """The expected 1 / rank of a case's first hit, which stands in its first group."""
        first = np.flatnonzero(self.is_first)
        above, size, m = self.above[first], self.size[first], self.relevant[first]
        places = within[first]
        chance = m / size  # that the first relevant item is the group's item t
        total = np.zeros(len(first))
        for t in range(1, int(places.max(initial=0)) + 1):
            total += np.where(t <= places, chance / (above + t), 0)
            left = np.maximum(size - t, 1)
            chance = chance * np.maximum(size - t - m + 1, 0) / left
        return total


def tie_groups(counts: RelevantCounts) -> TieGroups:
    """Put the relevant items of a case that tie together."""
    order = np.lexsort((counts.greater, counts.case))
    case, above = counts.case[order], counts.greater[order]
    begins = np.ones(len(case), np.bool_)
    begins[1:] = (case[1:] != case[:-1]) | (above[1:] != above[:-1])
    # Items that are not listed share a place beyond every K, and are each for themselves.
    begins |= counts.equal[order] == 0
    first = np.flatnonzero(begins)
    relevant = np.diff(np.append(first, len(case)))
    n = counts.n_relevant()
    starts = np.cumsum(n) - n
    of_group = case[first]
    return TieGroups(
        case=of_group,
        above=above[first],
        size=counts.equal[order][first] + 1,
        relevant=relevant,
        before=first - starts[of_group],
        is_first=first == starts[of_group],
        n=n,
    )
