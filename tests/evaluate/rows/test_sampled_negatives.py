"""Sampled metrics: drawn from full ranks as from the items themselves, and labelled."""

from __future__ import annotations

import numpy as np
import pytest

from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.evaluate.rows.sampled_negatives import measure_sampled, sampled_counts
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from dllm2rec.evaluate.seen_items import seen_pairs
from tests.evaluate.rows.test_per_row_file import scored_rows
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset()


def test_draws_have_the_frequencies_of_a_slow_twin_that_draws_the_items() -> None:
    rng = np.random.default_rng(0)
    scores = np.array([5, 5, 5, 7, 7, 9, 1, 1, 2, 3])  # the target is item 0
    n_rows, n_negatives = 20_000, 4
    drawn = rng.permuted(np.tile(np.arange(1, 10), (n_rows, 1)), axis=1)[:, :n_negatives]
    above = (scores[drawn] > scores[0]).sum(axis=1)
    level = (scores[drawn] == scores[0]).sum(axis=1)
    counts = RankCounts(np.full(n_rows, 3), np.full(n_rows, 2))
    found = sampled_counts(counts, np.full(n_rows, 9), n_negatives, np.random.default_rng(1))
    for others in range(n_negatives + 1):
        for ties in range(n_negatives + 1):
            twin = np.mean((above == others) & (level == ties))
            ours = np.mean((found.greater == others) & (found.equal == ties))
            assert ours == pytest.approx(twin, abs=0.015)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_all_candidates_drawn_are_the_full_ranking(exclude_seen: bool) -> None:
    dataset = cycle_dataset(noise=0)  # every history has as many items
    rows = dataset.test
    row, _ = seen_pairs(dataset, rows)
    others = np.full(len(rows), N_ITEMS - 1)
    others -= np.bincount(row, minlength=len(rows)) if exclude_seen else 0
    fewest = int(others.min())
    rng = np.random.default_rng(2)
    greater = rng.integers(0, fewest, len(rows))
    counts = RankCounts(greater, rng.integers(0, fewest - greater + 1))
    identity = RowsIdentity.of(dataset, "test", exclude_seen=exclude_seen)
    scored = ScoredRows(identity, (Scorer("own", counts),))
    found = measure_sampled(scored, dataset, fewest, seed=0).table([1, 5])
    assert found.rows[0].metrics == rank_metrics(counts, [1, 5])
    with pytest.raises(ConfigError, match=rf"expected 1\.\.{fewest}, the fewest"):
        measure_sampled(scored, dataset, fewest + 1, seed=0)


def test_every_print_says_that_metrics_are_sampled() -> None:
    scored = scored_rows()
    lists = [one.name for one in scored.scorers if one.depth is not None]
    assert lists
    table = measure_sampled(scored, DATASET, 5, seed=3).table([1, 5])
    assert "SAMPLED METRICS" in repr(table)
    json = table.as_json()
    assert "SAMPLED METRICS" in json["title"]
    assert json["ranking"] == "each target among 5 uniformly drawn items, seed 3"
    assert any("older papers" in note for note in json["notes"])
    for name in lists:  # what stands above a target that no list holds is not known
        assert name not in [row["name"] for row in json["rows"]]
        assert any(name in note for note in json["notes"])


def test_a_seed_draws_again_the_same_and_no_scorer_changes_another() -> None:
    scored = scored_rows()
    whole = [one for one in scored.scorers if one.depth is None]
    first = measure_sampled(scored, DATASET, 5, seed=3).table([1, 5])
    assert first == measure_sampled(scored, DATASET, 5, seed=3).table([1, 5])
    assert first.rows != measure_sampled(scored, DATASET, 5, seed=4).table([1, 5]).rows
    alone = ScoredRows(scored.identity, (whole[-1],))
    again = measure_sampled(alone, DATASET, 5, seed=3).table([1, 5]).rows[0]
    assert again.metrics == first.rows[-1].metrics
