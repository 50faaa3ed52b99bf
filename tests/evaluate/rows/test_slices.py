"""Kinds of rows: against slow twins, and every row in one group of each slicing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics, row_values
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from dllm2rec.evaluate.rows.slices import _by_quantile, slice_rows, slicings
from tests.evaluate.rows.test_per_row_file import scored_rows
from tests.support.worlds import cycle_dataset

DATASET = cycle_dataset()


def test_the_groups_of_every_slicing_have_every_row_once() -> None:
    scored = scored_rows()
    tables = slice_rows(scored, DATASET, [5])
    names = ["target popularity", "repeats", "history length", "user activity", "teacher"]
    assert [one.name for one in tables] == names
    for one in tables:
        assert sum(one.n_rows) == len(DATASET.test)
        assert min(one.n_rows) > 0
        for label, scorer in zip(scored.labels(), scored.scorers, strict=True):
            parts = [part["ndcg@5"] for part in one.metrics[label]]
            whole = row_values(scorer.counts, "ndcg@5").mean()
            assert np.average(parts, weights=one.n_rows) == pytest.approx(whole)
        json = one.as_json()
        assert [group["n_rows"] for group in json["groups"]] == list(one.n_rows)


def test_kinds_of_rows_are_those_of_a_slow_twin() -> None:
    # Users of a log whose first event is bought again, and rows with histories of several lengths.
    dataset = cycle_dataset(noise=0.5, n_train_users=40)
    rows = dataset.validation.followed_by(dataset.test)
    listed = RankCounts(np.arange(len(rows)) % 6, np.zeros(len(rows), np.int64))
    found = {one.name: one for one in slicings(dataset, rows, Scorer("teacher", listed, depth=5))}
    targets = dataset.targets(rows).tolist()
    trained = dataset.targets(dataset.train).tolist()
    for row, (start, end) in enumerate(zip(rows.start.tolist(), rows.end.tolist(), strict=True)):
        history = dataset.events[start:end].tolist()
        assert found["repeats"].group[row] == (targets[row] in history)
        is_cold = targets[row] not in trained
        assert (found["target popularity"].group[row] == 0) == is_cold
        assert found["teacher"].group[row] == (listed.greater[row] < 5)
    active = found["user activity"]
    own = [int((dataset.train.start == start).sum()) for start in rows.start]
    labels = [active.labels[group] for group in active.group]
    assert labels == [f"{n} train rows" for n in own]
    lengths = found["history length"]
    assert {lengths.labels[g] for g in lengths.group} == {"8 events", "9 events"}


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_quantiles_keep_equal_values_together_and_in_order(values: list[int]) -> None:
    slicing = _by_quantile("length", "events", np.array(values), "event")
    assert 1 <= len(slicing.labels) <= 4
    assert sorted(set(slicing.group.tolist())) == list(range(len(slicing.labels)))
    groups = [
        {v for v, g in zip(values, slicing.group, strict=True) if g == n}
        for n in range(len(slicing.labels))
    ]
    for lower, upper in pairwise(groups):
        assert max(lower) < min(upper)


def test_a_group_without_rows_is_left_out() -> None:
    dataset = cycle_dataset(noise=0.0)
    counts = RankCounts(
        np.zeros(len(dataset.test), np.int64), np.zeros(len(dataset.test), np.int64)
    )
    identity = RowsIdentity.of(dataset, "test", exclude_seen=False)
    repeats = slice_rows(ScoredRows(identity, (Scorer("one", counts),)), dataset, 5)[1]
    assert repeats.labels == ("new: not in the history",)
    assert repeats.metrics["one"] == (rank_metrics(counts, [5]),)


def test_windows_have_no_users_to_be_cut_by() -> None:
    windows = replace(DATASET, has_users=False)
    names = [one.name for one in slicings(windows, windows.test, None)]
    assert names == ["target popularity", "repeats", "history length"]


def test_rows_of_another_dataset_are_refused() -> None:
    with pytest.raises(InputError, match="expected those of"):
        slice_rows(scored_rows(), cycle_dataset(seed=1))
