"""Prefix rows: what is added, what is not, and the published numbers on real data."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec.data import prefixes
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.prefixes import prefix_rows


def windows_dataset(rows: list[list[int]], n_items: int = 8) -> SequenceDataset:
    """Train rows as window files have them: each list is a history and its target."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ends = np.cumsum(lengths) - 1
    none = Rows(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    return SequenceDataset(
        name="windows",
        catalogue=Catalogue([str(item) for item in range(n_items)]),
        events=np.array([item for row in rows for item in row], dtype=np.uint32),
        max_length=10,
        train=Rows(ends - lengths + 1, ends),
        validation=none,
        test=none,
        has_users=False,
    )


def added(dataset: SequenceDataset) -> list[list[int]]:
    rows = prefix_rows(dataset)
    return [
        dataset.events[start : end + 1].tolist()
        for start, end in zip(rows.start, rows.end, strict=True)
    ]


def reference(rows: list[list[int]]) -> list[list[int]]:
    """The rule of the docstring, one row at a time."""
    candidates = [row[:stop] for row in rows for stop in range(2, len(row))]
    candidates.sort(key=len, reverse=True)  # stable, as the kept one is the first of the longest
    seen = {tuple(row[-3:]) for row in rows}
    kept = []
    for row in candidates:
        if len(row) > 2 and tuple(row[-3:]) not in seen:
            seen.add(tuple(row[-3:]))
            kept.append(row)
    pairs = {tuple(row[-2:]) for row in rows + kept}
    for row in candidates:
        if len(row) == 2 and tuple(row) not in pairs:
            pairs.add(tuple(row))
            kept.append(row)
    return kept


def test_every_early_position_is_added():
    assert added(windows_dataset([[0, 1, 2, 3, 4]])) == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]


def test_what_a_row_ends_with_is_not_added():
    # (0, 1 -> 2) ends the first row; (1 -> 2) ends it too.
    assert added(windows_dataset([[7, 0, 1, 2], [0, 1, 2, 3], [1, 2, 5]])) == [[7, 0], [7, 0, 1]]


def test_longest_history_stands_for_its_like():
    assert added(windows_dataset([[0, 1, 2, 4], [5, 0, 1, 2, 4]])) == [
        [5, 0],
        [5, 0, 1],
        [5, 0, 1, 2],
    ]


@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=7), max_size=12))
def test_prefix_rows_equal_the_rule_row_by_row(rows):
    dataset = windows_dataset(rows, n_items=4)
    assert sorted(added(dataset)) == sorted(reference(rows))


def test_log_with_a_row_at_every_position_yields_none():
    events = np.array([0, 1, 2, 3, 4, 5, 3, 2, 1], dtype=np.uint32)
    ends = np.array([1, 2, 3, 4, 6, 7, 8])
    starts = np.where(ends < 5, 0, 5)
    none = Rows(ends[:0], ends[:0])
    dataset = SequenceDataset(
        "log", Catalogue(list("abcdef")), events, 2, Rows(starts, ends), none, none, has_users=True
    )
    assert added(dataset) == []
    # Without the row that predicts event 2, its window gives that position back, history whole.
    short = SequenceDataset(
        "log",
        Catalogue(list("abcdef")),
        events,
        3,
        Rows(starts, ends).take(ends != 2),
        none,
        none,
        has_users=True,
    )
    assert added(short) == [[0, 1, 2]]


@pytest.mark.real
@pytest.mark.parametrize(("name", "count"), [("games", 185_150), ("ml1m", 429_365), ("toys", 0)])
def test_real_sets_yield_the_published_numbers(real_data, name, count):
    dataset = load_dataset(real_data / name)
    begin = time.perf_counter()
    assert len(prefix_rows(dataset)) == count
    assert time.perf_counter() - begin < 10  # 0.5 s where nothing else runs


def test_rows_at_every_position_are_told_without_a_look_at_the_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = windows_dataset([[1, 2, 3, 1], [4, 5], [2, 2, 1]])
    places = [[(0, 1), (0, 2), (0, 3)], [(4, 5)], [(6, 7), (6, 8)]]
    whole = np.array([pair for user in places for pair in user], np.int64)
    for block in (1, 2, 1 << 22):
        monkeypatch.setattr(prefixes, "_BLOCK", block)
        assert prefixes._every_position(Rows(*whole.T.copy()))
        for missing in range(len(whole)):
            some = Rows(*np.delete(whole, missing, 0).T.copy())
            last_of_user = missing in (2, 3, 5)
            assert prefixes._every_position(some) == last_of_user
    none = replace(dataset, train=Rows(*whole.T.copy()))
    assert len(prefix_rows(none)) == 0
    monkeypatch.setattr(prefixes, "_every_position", lambda _: False)
    assert len(prefix_rows(none)) == 0
