"""The metrics as libraries and papers count them: one formula each, and how it differs from ours.

All take the same sums over the first K places of each case, expected over ties, so that what
differs is the definition alone. The libraries themselves leave tied scores to a sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.many_targets import (
    CaseSums,
    RelevantCounts,
    TieGroups,
    discounts,
    tie_groups,
)

Int64Vector = npt.NDArray[np.int64]

HSTU_MAX_K = 2500  # generative-recommenders lists no more, and gives a miss the next rank


@dataclass(frozen=True, eq=False)
class Listed:
    """Cases at one cut-off, as the formulas take them.

    Attributes:
        sums: what the first K places hold.
        groups: for what is not cut at K.
        lengths: places that each list has, K at most, float64 (n_cases,).
    """

    sums: CaseSums
    groups: TieGroups
    lengths: npt.NDArray[np.float64]

    @property
    def ideal(self) -> npt.NDArray[np.float64]:
        """The gain of a list that is all hits as far as there are relevant items."""
        gains = np.append(0.0, np.cumsum(discounts(self.sums.k)))
        best: npt.NDArray[np.float64] = gains[np.minimum(self.sums.n, self.sums.k)]
        return best

    @property
    def achievable(self) -> Int64Vector:
        """How many hits there can be: min(n, K)."""
        return np.minimum(self.sums.n, self.sums.k)


Formula = Callable[[Listed], dict[str, float]]


def _standard(listed: Listed) -> dict[str, float]:
    sums = listed.sums
    return _means(
        hr=sums.any_hit,
        ndcg=sums.gain / listed.ideal,
        mrr=sums.first,
        recall=sums.hits / sums.n,
        precision=sums.hits / sums.k,
        map=sums.precisions / listed.achievable,
    )


def _rectools(listed: Listed) -> dict[str, float]:
    sums = listed.sums
    fixed = discounts(sums.k).sum()
    return _standard(listed) | _means(ndcg=sums.gain / fixed, map=sums.precisions / sums.n)


def _lenskit(listed: Listed) -> dict[str, float]:
    sums, lengths = listed.sums, np.maximum(listed.lengths, 1)
    # Its rank weights clip the rank instead of adding 1, so that the first two places weigh alike.
    discount = 1 / np.log2(np.maximum(np.arange(1, sums.k + 1), 2))
    ideal = np.cumsum(discount)[listed.achievable - 1]
    return _standard(listed) | _means(
        ndcg=listed.groups.gain(discount) / ideal,
        recall=sums.hits / listed.achievable,
        precision=sums.hits / lengths,
        map=sums.precisions / np.minimum(sums.n, lengths),
    )


def _implicit(listed: Listed) -> dict[str, float]:
    sums, found = listed.sums, _standard(listed)
    micro = float(sums.hits.sum() / listed.achievable.sum())
    return {"ndcg": found["ndcg"], "precision": micro, "map": found["map"]}


def _hstu(listed: Listed) -> dict[str, float]:
    if (listed.sums.n > 1).any():
        return {}
    sums, deep = listed.sums, listed.groups.sums(HSTU_MAX_K)
    missed = (1 - deep.any_hit) / (HSTU_MAX_K + 1)
    return _means(hr=sums.any_hit, ndcg=sums.gain, mrr=deep.first + missed)


def _single_target(listed: Listed) -> dict[str, float]:
    if (listed.sums.n > 1).any():
        return {}
    return _means(hr=listed.sums.any_hit, ndcg=listed.sums.gain)


def _bigrec(listed: Listed) -> dict[str, float]:
    if (listed.sums.n > 1).any():
        return {}
    natural = listed.groups.gain(1 / np.log(np.arange(2, listed.sums.k + 2)))
    return _means(hr=listed.sums.any_hit, ndcg=natural / (1 / np.log(2)))


def _means(**values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {name: float(np.mean(of_cases)) for name, of_cases in values.items()}


DIALECTS: dict[str, Formula] = {
    "standard": _standard,
    "recbole": _standard,
    "rectools": _rectools,
    "replay": _standard,
    "lenskit": _lenskit,
    "implicit": _implicit,
    "hstu": _hstu,
    "dllm2rec": _single_target,
    "bigrec": _bigrec,
}
DIFFERENCES = {
    "standard": "what dllm2rec prints: NDCG and MAP over min(n, K), ties by expected value",
    "recbole": "the same formulas; rounds to 4 digits, ties as topk leaves them",
    "rectools": "NDCG over K places however few are relevant: 1 / 4.54 at K = 10; MAP over n",
    "replay": "the same formulas; ties as the lists have them",
    "lenskit": "NDCG by 1 / log2(max(rank, 2)); recall over min(n, K); precision by places listed",
    "implicit": "precision is all hits over all min(n, K); no HR, MRR and recall",
    "hstu": "MRR is not cut at K, a miss has 1 / 2501; one target a row",
    "dllm2rec": "the authors' code: HR and NDCG, ties as argsort leaves them; one target a row",
    "bigrec": "natural logarithms, which cancel; HR and NDCG; one target a row",
}


def dialect_metrics(
    counts: RelevantCounts,
    ks: int | Iterable[int],
    dialect: str = "standard",
    *,
    lengths: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Average the metrics over cases as a library or a paper does.

    Args:
        counts: where the relevant items of each case stand.
        ks: list length or lengths, each >= 1.
        dialect: one of `DIALECTS`.
        lengths: places of each list, (n_cases,); by default no list is short.

    Returns:
        Those of `hr@k`, `ndcg@k`, `mrr@k`, `recall@k`, `precision@k` and `map@k` that it has for
        such cases; none for several targets a case where it is for one only.

    Raises:
        ConfigError: an unknown dialect.
        InputError: no cases, or a k below 1.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"dialect {dialect!r}, expected one of {', '.join(DIALECTS)}")
    if not counts.n_cases:
        raise InputError("counts of 0 rows, expected at least one")
    formula = DIALECTS[dialect]
    groups = tie_groups(counts)
    metrics: dict[str, float] = {}
    for k in one_or_more(ks, int):
        sums = groups.sums(k)
        places = np.full(counts.n_cases, k) if lengths is None else np.minimum(lengths, k)
        found = formula(Listed(sums, groups, places.astype(np.float64)))
        metrics |= {f"{name}@{k}": value for name, value in found.items()}
    return metrics
