"""Popularity, window counts and the teacher's row: against slow twins and published figures."""

from __future__ import annotations

import dataclasses
from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.layouts.detect_layout import recognise
from dllm2rec.data.logs.layouts.read_layout import read_log
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.data.protocol.model import Protocol
from dllm2rec.data.protocol.prepare import prepare
from dllm2rec.errors import InputError
from dllm2rec.evaluate import pair_scores, window_counts
from dllm2rec.evaluate.baselines import baseline_rows, popularity_counts, teacher_quality
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.window_counts import CONSTANTS, POWERS, fit_window_counts
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.reference import baselines as slow

N_ITEMS = 7
WINDOW_ROWS = st.lists(
    st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=5), min_size=1, max_size=8
)


def dataset_of(
    train: list[list[int]], validation: list[list[int]], test: list[list[int]]
) -> SequenceDataset:
    """Rows as window files have them: each list is a history and its target."""
    everything = train + validation + test
    lengths = np.array([len(row) for row in everything], dtype=np.int64)
    ends = np.cumsum(lengths) - 1
    rows = Rows(ends - lengths + 1, ends)
    first, second = len(train), len(train) + len(validation)
    return SequenceDataset(
        name="windows",
        catalogue=Catalogue([str(item) for item in range(N_ITEMS)]),
        events=np.array([item for row in everything for item in row], dtype=np.uint32),
        max_length=4,
        train=rows.take(slice(0, first)),
        validation=rows.take(slice(first, second)),
        test=rows.take(slice(second, None)),
        has_users=False,
    )


def pairs_of(dataset: SequenceDataset, rows: Rows) -> list[slow.Row]:
    windows = dataset.windows(rows)
    return [
        (sequence[:length].tolist(), int(target))
        for sequence, length, target in zip(
            windows.sequences, windows.lengths, windows.targets, strict=True
        )
    ]


@given(WINDOW_ROWS, WINDOW_ROWS)
def test_popularity_counts_equal_the_slow_twin(train, test):
    dataset = dataset_of(train, [[0, 1]], test)
    counts = popularity_counts(dataset, dataset.test)
    scores = slow.popularity_scores(pairs_of(dataset, dataset.train), N_ITEMS)
    for row, target in enumerate(dataset.targets(dataset.test)):
        assert (counts.greater[row], counts.equal[row]) == slow.rank_counts(scores, int(target))


@pytest.mark.slow
@settings(deadline=None)
@given(WINDOW_ROWS, WINDOW_ROWS, st.sampled_from(POWERS), st.sampled_from(CONSTANTS))
def test_window_counts_equal_the_slow_twin(train, test, power, constant):
    dataset = dataset_of(train, test[:1], test)
    fitted = dataclasses.replace(fit_window_counts(dataset), power=power, constant=constant)
    counts = fitted.rank_counts(dataset.test)
    fit_rows = pairs_of(dataset, dataset.train.followed_by(prefix_rows(dataset)))
    for row, (history, target) in enumerate(pairs_of(dataset, dataset.test)):
        scores = slow.window_count_scores(fit_rows, history, N_ITEMS, power, constant)
        # Sums in another order may differ in the last bits: what is that near may count either way.
        above, _ = slow.rank_counts(scores, target, tolerance=1e-7 if target in history else 1e-12)
        _, near = slow.rank_counts(scores, target, tolerance=1e-6 if target in history else 1e-12)
        assert above <= counts.greater[row] <= above + near
        assert counts.greater[row] + counts.equal[row] <= above + near
        assert 0 <= counts.equal[row] <= near


LONG_ROWS = st.lists(  # of histories longer than the window of four
    st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=9), min_size=1, max_size=8
)


def histories_of(dataset: SequenceDataset, rows: Rows) -> list[list[int]]:
    pointers = zip(rows.start, rows.end, strict=True)
    return [dataset.events[start:end].tolist() for start, end in pointers]


@given(WINDOW_ROWS, LONG_ROWS)
def test_popularity_without_seen_items_equals_the_slow_twin(train, test):
    dataset = dataset_of(train, [[0, 1]], test)
    counts = popularity_counts(dataset, dataset.test, exclude_seen=True)
    scores = slow.popularity_scores(pairs_of(dataset, dataset.train), N_ITEMS)
    for row, history in enumerate(histories_of(dataset, dataset.test)):
        target = int(dataset.targets(dataset.test)[row])
        left = slow.without_seen(scores, history, target)
        assert (counts.greater[row], counts.equal[row]) == slow.rank_counts(left, target)


@pytest.mark.slow
@settings(deadline=None)
@given(WINDOW_ROWS, LONG_ROWS, st.sampled_from(POWERS), st.sampled_from(CONSTANTS))
def test_window_counts_without_seen_items_equal_the_slow_twin(train, test, power, constant):
    dataset = dataset_of(train, test[:1], test)
    fitted = fit_window_counts(dataset, exclude_seen=True)
    fitted = dataclasses.replace(fitted, power=power, constant=constant)
    counts = fitted.rank_counts(dataset.test)
    fit_rows = pairs_of(dataset, dataset.train.followed_by(prefix_rows(dataset)))
    histories = histories_of(dataset, dataset.test)
    for row, (window, target) in enumerate(pairs_of(dataset, dataset.test)):
        scores = slow.plain_scores(fit_rows, window, N_ITEMS, power, constant)
        left = slow.without_seen(scores, histories[row], target)
        above, near = slow.rank_counts(left, target, tolerance=1e-12)
        assert above <= counts.greater[row] <= above + near
        assert counts.greater[row] + counts.equal[row] <= above + near
        assert 0 <= counts.equal[row] <= near


def test_a_teacher_without_seen_items_moves_up_and_misses_what_it_does_not_know():
    # Histories 5 1, 2 2 and 3; the target 3 of the last repeats its history.
    dataset = dataset_of([[0, 1]], [[0, 2]], [[5, 1, 6], [2, 2, 4], [3, 3]])
    teacher = TeacherKnowledge(
        ranking=np.array([[1, 2]], dtype=np.uint32),
        ranking_test=np.array([[1, 5, 6], [4, 2, 0], [3, 0, 1]], dtype=np.uint32),
    )
    plain = teacher_quality(teacher, dataset, ks=(1, 3))["test"]
    masked = teacher_quality(teacher, dataset, ks=(1, 3), exclude_seen=True)["test"]
    assert (plain["hr@1"], plain["hr@3"]) == (pytest.approx(2 / 3), 1)
    assert masked["hr@1"] == masked["ndcg@3"] == 1
    only_seen = dataclasses.replace(teacher, ranking_test=np.tile(np.uint32([1, 5, 2]), (3, 1)))
    assert teacher_quality(only_seen, dataset, ks=(3,), exclude_seen=True)["test"]["hr@3"] == 0


def test_every_baseline_of_a_table_keeps_to_its_header():
    """By hand: 1 is the most popular item, and every test row has met it."""
    train = [[0, 1]] * 3 + [[0, 2]] * 2 + [[4, 3]]
    dataset = dataset_of(train, [[1, 0, 2]], [[1, 0, 2], [1, 5, 3]])
    teacher = TeacherKnowledge(
        ranking=np.array([[1, 2]] * 6, dtype=np.uint32),
        ranking_test=np.array([[1, 2], [1, 3]], dtype=np.uint32),
    )
    names = ["popularity", "window counts", "teacher"]
    tables = {}
    for exclude_seen in (False, True):
        rows = baseline_rows(dataset, teacher, (1, 2), exclude_seen=exclude_seen)
        assert [row.name for row in rows] == names
        tables[exclude_seen] = {row.name: row.test["hr@1"] for row in rows}
    assert tables[False] == {"popularity": 0, "window counts": 0.5, "teacher": 0}
    # 3 is behind 2 for popularity and for window counts, whose window 1 5 says nothing.
    assert tables[True] == {"popularity": 0.5, "window counts": 0.5, "teacher": 1}


def test_window_items_come_last():
    # 1 follows 0 always, yet a window that has it already ranks it below all other items.
    dataset = dataset_of([[0, 1]] * 5 + [[2, 3]], [[0, 1]], [[0, 1], [1, 0, 1], [0, 6]])
    counts = fit_window_counts(dataset).rank_counts(dataset.test)
    assert counts.greater.tolist() == [0, N_ITEMS - 2, 2]
    # Items 2, 4, 5 and 6 were never a target: with 0 in the window, 6 ties with three.
    assert counts.equal.tolist() == [0, 0, 3]


def test_newer_items_count_more():
    train = [[0, 1], [2, 3]]
    dataset = dataset_of(train, [[0, 1]], [[0, 2, 3], [2, 0, 3]])
    counts = fit_window_counts(dataset).rank_counts(dataset.test)
    assert counts.greater.tolist() == [0, 1]


def test_prefix_rows_are_counted():
    dataset = dataset_of([[0, 1, 2, 3]], [[0, 1]], [[0, 1]])
    counts = fit_window_counts(dataset).rank_counts(dataset.test)
    # Without the prefix (0 -> 1), item 1 would tie with all that never was a target.
    assert counts.greater.tolist() == [0]
    assert counts.equal.tolist() == [0]


def test_power_and_constant_are_those_of_the_best_validation_ndcg(monkeypatch):
    rng = np.random.default_rng(5)
    shares = np.array([32, 16, 8, 4, 2, 2, 1]) / 65
    rows = rng.choice(N_ITEMS, size=(80, 4), p=shares).tolist()
    dataset = dataset_of(rows[:30], rows[30:60], rows[60:])
    monkeypatch.setattr(window_counts, "NDCG_AT", 2)  # so that settings differ among seven items
    fitted = fit_window_counts(dataset)
    ndcg = {}
    for power in POWERS:
        for constant in CONSTANTS:
            other = dataclasses.replace(fitted, power=power, constant=constant)
            counts = other.rank_counts(dataset.validation)
            pairs = list(zip(counts.greater.tolist(), counts.equal.tolist(), strict=True))
            ndcg[power, constant] = slow.expected_ndcg(pairs, 2)
    assert len({round(value, 9) for value in ndcg.values()}) > 1
    assert ndcg[fitted.power, fitted.constant] == pytest.approx(max(ndcg.values()), abs=1e-9)


@pytest.mark.parametrize(("entries", "cells"), [(1, 1), (7, 30), (10**6, N_ITEMS)])
def test_tiles_do_not_change_the_counts(monkeypatch, entries, cells):
    rng = np.random.default_rng(3)
    rows = rng.integers(0, N_ITEMS, (40, 5)).tolist()
    dataset = dataset_of(rows[:20], rows[20:25], rows[25:])
    fitted = fit_window_counts(dataset)
    whole = fitted.rank_counts(dataset.test)
    monkeypatch.setattr(pair_scores, "_TILE_ENTRIES", entries)
    monkeypatch.setattr(pair_scores, "_TILE_CELLS", cells)
    tiled = fitted.rank_counts(dataset.test)
    np.testing.assert_array_equal(tiled.greater, whole.greater)
    np.testing.assert_array_equal(tiled.equal, whole.equal)


def test_window_counts_refuse_to_choose_without_rows():
    dataset = dataset_of([[0, 1]], [], [[0, 1]])
    with pytest.raises(InputError, match="no validation rows"):
        fit_window_counts(dataset)
    with pytest.raises(InputError, match="no train rows"):
        fit_window_counts(dataset_of([], [[0, 1]], [[0, 1]]))


def test_teacher_quality_is_that_of_its_lists():
    dataset = dataset_of([[0, 1]], [[0, 2]], [[0, 3], [0, 4]])
    teacher = TeacherKnowledge(
        ranking=np.array([[1, 2]], dtype=np.uint32),
        ranking_test=np.array([[5, 3], [5, 6]], dtype=np.uint32),
    )
    quality = teacher_quality(teacher, dataset, ks=(1, 2, 20))
    assert quality.keys() == {"test"}
    assert quality["test"]["hr@1"] == 0
    assert quality["test"]["hr@2"] == 0.5
    assert quality["test"]["ndcg@2"] == pytest.approx(0.5 / np.log2(3))
    assert "hr@20" not in quality["test"]


# Published with pessimistic ties; ours are expected over ties, a little above.
POPULARITY = {"games": (0.0144, 0.0063), "toys": (0.0140, 0.0065), "ml1m": (0.0267, 0.0093)}
WINDOW_COUNTS = {
    "games": (0.0690, 0.0332, 0.5, 0.0),
    "toys": (0.1241, 0.0709, 0.5, 5.0),
    "ml1m": (0.2210, 0.0972, 1.0, 20.0),
}
TEACHER = {"games": (0.0871, 0.0374), "toys": (0.1260, 0.0479), "ml1m": (0.0786, 0.0267)}


@pytest.mark.real
@pytest.mark.parametrize("name", POPULARITY)
def test_real_popularity_and_teacher_are_the_published_ones(real_data, name):
    dataset = load_dataset(real_data / name)
    metrics = rank_metrics(popularity_counts(dataset, dataset.test), [20])
    assert (metrics["hr@20"], metrics["ndcg@20"]) == pytest.approx(POPULARITY[name], abs=0.001)
    teacher = load_teacher(real_data / name / "teacher", dataset)
    quality = teacher_quality(teacher, dataset)["test"]
    assert (quality["hr@20"], quality["ndcg@20"]) == pytest.approx(TEACHER[name], abs=0.0003)


@pytest.mark.real
@pytest.mark.parametrize("name", WINDOW_COUNTS)
def test_real_window_counts_are_the_published_ones(real_data, name):
    dataset = load_dataset(real_data / name)
    hr, ndcg, power, constant = WINDOW_COUNTS[name]
    fitted = fit_window_counts(dataset)
    counts = fitted.rank_counts(dataset.test)
    chosen = rank_metrics(counts, [20])
    # Validation may prefer a neighbour of the published setting, never one that is worse on test.
    assert chosen["hr@20"] > hr - 0.001
    assert chosen["ndcg@20"] > ndcg - 0.001
    published = dataclasses.replace(fitted, power=power, constant=constant)
    metrics = rank_metrics(published.rank_counts(dataset.test), [20])
    assert (metrics["hr@20"], metrics["ndcg@20"]) == pytest.approx((hr, ndcg), abs=0.001)


def test_counting_ends_once_it_is_told_to() -> None:
    dataset = dataset_of([[0, 1, 2]], [[0, 1]], [[1, 2]])
    fitted = fit_window_counts(dataset)
    stop = Event()
    expected = fitted.rank_counts(dataset.test).greater
    assert np.array_equal(fitted.rank_counts(dataset.test, stop).greater, expected)
    stop.set()
    with pytest.raises(CancelledError):
        fitted.rank_counts(dataset.test, stop)
    with pytest.raises(CancelledError):
        fit_window_counts(dataset, stop)


@pytest.mark.real
def test_real_popularity_without_seen_items_is_that_of_other_libraries(real_data):
    log = read_log(recognise([real_data / "raw" / "ml100k"]), ratings=False)
    dataset = prepare(log, Protocol()).dataset
    found = {}
    for exclude_seen in (False, True):
        counts = popularity_counts(dataset, dataset.test, exclude_seen=exclude_seen)
        metrics = rank_metrics(counts, [20])
        found[exclude_seen] = metrics["hr@20"], metrics["ndcg@20"]
    assert found[False] == pytest.approx((0.0827, 0.0307), abs=5e-5)
    assert found[True] == pytest.approx((0.1214, 0.0547), abs=5e-5)
