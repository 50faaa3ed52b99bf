"""Metrics of many relevant items: against every order of the ties, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.errors import InputError
from dllm2rec.evaluate.many_targets import RelevantCounts, relevance_metrics
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics

NAMES = ("hr", "ndcg", "mrr", "recall", "precision", "map")
N_ITEMS = 5


def of_one_order(hits: list[bool], n: int, k: int) -> list[float]:
    """The definitions, for one list without ties."""
    found = hits[:k]
    dcg = sum(1 / np.log2(rank + 2) for rank, hit in enumerate(found) if hit)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(n, k)))
    precisions = [sum(found[: rank + 1]) / (rank + 1) for rank, hit in enumerate(found) if hit]
    first = found.index(True) + 1 if any(found) else np.inf
    total = sum(found)
    return [any(found), dcg / ideal, 1 / first, total / n, total / k, sum(precisions) / min(n, k)]


def expected(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Their mean over all orders that the scores allow."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean(
        [of_one_order([i in relevant for i in order], len(relevant), k) for order in orders], axis=0
    )


def counted(cases: list[tuple[np.ndarray, np.ndarray]]) -> RelevantCounts:
    found = [
        (number, int((scores > scores[item]).sum()), int((scores == scores[item]).sum()) - 1)
        for number, (scores, relevant) in enumerate(cases)
        for item in relevant
    ]
    return RelevantCounts(*(np.array(part, np.int64) for part in zip(*found, strict=True)))


@settings(deadline=None, max_examples=40)  # machines are shared
@given(st.integers(1, N_ITEMS + 2), st.integers(0, 2**32 - 1))
def test_metrics_are_the_mean_over_all_orders_of_the_ties(k, seed):
    rng = np.random.default_rng(seed)
    cases = [
        (rng.integers(0, 3, N_ITEMS), rng.choice(N_ITEMS, rng.integers(1, 5), replace=False))
        for _ in range(3)
    ]
    metrics = relevance_metrics(counted(cases), k)
    wanted = np.mean([expected(*case, k) for case in cases], axis=0)
    assert [metrics[f"{name}@{k}"] for name in NAMES] == pytest.approx(wanted, abs=1e-12)


def test_one_relevant_item_a_case_is_what_rank_metrics_says_to_the_bit():
    rng = np.random.default_rng(0)
    greater, equal = rng.integers(0, 30, 50), rng.integers(0, 4, 50)
    metrics = relevance_metrics(RelevantCounts(np.arange(50), greater, equal), (1, 5, 10))
    assert metrics == rank_metrics(RankCounts(greater, equal), (1, 5, 10))
    twice = RelevantCounts(np.repeat(np.arange(2), [1, 2]), np.array([4, 0, 1]), np.zeros(3, int))
    alone = relevance_metrics(RelevantCounts(np.zeros(1, int), np.array([4]), np.zeros(1, int)), 5)
    both = relevance_metrics(twice, 5)
    assert all(both[f"{n}@5"] == pytest.approx((alone[f"{n}@5"] + 1) / 2) for n in ("hr", "ndcg"))


def test_an_item_that_is_not_listed_is_a_miss_and_a_perfect_list_has_one():
    beyond = 1 << 40
    counts = RelevantCounts(
        np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, beyond, beyond]), np.zeros(5, np.int64)
    )
    metrics = relevance_metrics(counts, 3)
    assert metrics["recall@3"] == pytest.approx((1 + 1 / 3) / 2)
    assert metrics["precision@3"] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert metrics["map@3"] == pytest.approx((1 + (1 / 3) / 3) / 2)
    assert metrics["mrr@3"] == pytest.approx((1 + 1 / 3) / 2)
    assert (metrics["tie_rate"], metrics["mean_tie_size"]) == (0.0, 1.0)
    lost = RelevantCounts(np.zeros(2, np.int64), np.full(2, beyond), np.zeros(2, np.int64))
    assert {relevance_metrics(lost, 3)[f"{name}@3"] for name in NAMES} == {0.0}


def test_no_cases_and_no_places_are_refused():
    none = RelevantCounts(*(np.zeros(0, np.int64) for _ in range(3)))
    with pytest.raises(InputError, match="at least one"):
        relevance_metrics(none, 5)
    two = RelevantCounts(np.zeros(2, np.int64), np.arange(2), np.zeros(2, np.int64))
    with pytest.raises(InputError, match="k = 0, expected at least 1"):
        relevance_metrics(two, 0)
