"""Metrics from counts: the tie rule, the bounds, the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, list_metrics, rank_metrics
from dllm2rec.evaluate.ranking import rank_counts
from tests.reference import ranking as reference


@settings(deadline=None)  # machines are shared
@given(
    st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.0]), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(1, 7),
)
def test_metrics_are_the_mean_over_all_orders_of_ties(row, target, k):
    target %= len(row)
    row[target] = max(row[target], 0.0)
    metrics = rank_metrics(rank_counts([row], [target]), [k])
    hit, ndcg, mrr = reference.metrics_over_all_orders(row, target, k)
    assert metrics[f"hr@{k}"] == pytest.approx(hit, abs=1e-12)
    assert metrics[f"ndcg@{k}"] == pytest.approx(ndcg, abs=1e-12)
    assert metrics[f"mrr@{k}"] == pytest.approx(mrr, abs=1e-12)


@pytest.mark.parametrize("targets", [np.arange(1000), np.arange(1000) % 10, np.zeros(50, int)])
def test_a_constant_model_scores_as_chance_does(targets):
    counts = rank_counts(np.zeros((len(targets), 1000), np.float32), targets)
    metrics = rank_metrics(counts, [10])
    assert metrics["hr@10"] == pytest.approx(0.010)
    assert metrics["ndcg@10"] == pytest.approx(0.004544, abs=1e-6)
    assert metrics["tie_rate"] == 1.0
    assert metrics["mean_tie_size"] == 1000.0


def test_one_target_a_row_makes_recall_precision_and_map_follow():
    counts = RankCounts(np.array([0, 1, 4, 9]), np.zeros(4, np.int64))
    metrics = rank_metrics(counts, [1, 5])
    assert metrics["hr@1"] == metrics["recall@1"] == metrics["precision@1"] == 0.25
    assert metrics["hr@5"] == metrics["recall@5"] == 0.75
    assert metrics["precision@5"] == pytest.approx(0.15)
    assert metrics["mrr@5"] == metrics["map@5"] == pytest.approx((1 + 1 / 2 + 1 / 5) / 4)
    gains = 1 / np.log2(np.array([1, 2, 5]) + 1)
    assert metrics["ndcg@5"] == pytest.approx(gains.sum() / 4)
    assert (metrics["tie_rate"], metrics["mean_tie_size"]) == (0.0, 1.0)
    names = ("hr", "ndcg", "mrr", "recall", "precision", "map")
    keys = {f"{name}@{k}" for name in names for k in (1, 5)}
    assert set(metrics) == keys | {"tie_rate", "mean_tie_size"}
    assert all(type(value) is float for value in metrics.values())


def test_ties_are_reported_over_rows():
    counts = RankCounts(np.zeros(4, np.int64), np.array([0, 0, 3, 1]))
    metrics = rank_metrics(counts, [1])
    assert (metrics["tie_rate"], metrics["mean_tie_size"]) == (0.5, 2.0)


def test_list_metrics_take_the_place_in_the_list():
    ranking = [[7, 3, 9], [1, 2, 3], [5, 5, 9], [4, 10, 10]]
    metrics = list_metrics(ranking, [3, 9, 5, 4], [1, 3])
    assert metrics["hr@1"] == 0.5
    assert metrics["hr@3"] == 0.75
    assert metrics["mrr@3"] == pytest.approx((1 / 2 + 0 + 1 + 1) / 4)
    assert "tie_rate" not in metrics


@settings(deadline=None)  # machines are shared
@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_a_list_in_the_order_of_scores_gives_the_metrics_of_the_scores(k, seed):
    rng = np.random.default_rng(seed)
    scores, targets = rng.permuted(np.tile(np.arange(20.0), (9, 1)), axis=1), rng.integers(0, 20, 9)
    from_list = list_metrics(np.argsort(-scores, axis=1), targets, [k])
    from_scores = rank_metrics(rank_counts(scores, targets), [k])
    assert from_list == {key: from_scores[key] for key in from_list}


@pytest.mark.parametrize("k", [0, -3])
def test_a_list_length_below_one_is_refused(k):
    with pytest.raises(InputError, match=f"k = {k}, expected at least 1"):
        rank_metrics(RankCounts(np.zeros(1, np.int64), np.zeros(1, np.int64)), [k])


def test_no_rows_have_no_metrics():
    with pytest.raises(InputError, match="at least one"):
        rank_metrics(RankCounts(np.zeros(0, np.int64), np.zeros(0, np.int64)), [1])
    with pytest.raises(InputError, match="at least one"):
        list_metrics(np.zeros((0, 3), np.uint32), [], [1])


def test_counts_that_do_not_match_are_refused():
    with pytest.raises(InputError, match="expected the same"):
        rank_metrics(RankCounts(np.zeros(2, np.int64), np.zeros(3, np.int64)), [1])


@pytest.mark.parametrize(
    ("ranking", "targets", "ks"),
    [([[1, 2]], [1, 2], [1]), ([1, 2], [1, 2], [1]), ([[1, 2]], [1], [3]), ([[-1, 2]], [1], [1])],
)
def test_lists_that_do_not_fit_are_refused(ranking, targets, ks):
    with pytest.raises(InputError):
        list_metrics(ranking, targets, ks)
