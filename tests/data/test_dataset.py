"""The dataset: windows against a loop, pointers that are checked, a fingerprint that notices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.errors import InputError


def rows_of(*pairs: tuple[int, int]) -> Rows:
    starts, ends = zip(*pairs, strict=True) if pairs else ((), ())
    return Rows(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64))


def small_dataset(**changes: object) -> SequenceDataset:
    values: dict[str, object] = {
        "name": "small",
        "catalogue": Catalogue([f"sku-{n}" for n in range(6)], [f"title {n}" for n in range(6)]),
        "events": np.array([0, 1, 2, 3, 4, 5, 0, 2], dtype=np.uint32),
        "max_length": 3,
        "train": rows_of((0, 1), (0, 4), (5, 6)),
        "validation": rows_of((0, 2)),
        "test": rows_of((5, 7)),
        "has_users": True,
    }
    return SequenceDataset(**(values | changes))


def test_windows_are_the_last_items_before_the_target_padded_on_the_right():
    windows = small_dataset().windows(rows_of((0, 1), (0, 4), (5, 7)))
    assert windows.sequences.dtype == np.uint32
    assert windows.sequences.tolist() == [[0, 6, 6], [1, 2, 3], [5, 0, 6]]
    assert windows.lengths.tolist() == [1, 3, 2]
    assert windows.targets.tolist() == [1, 4, 2]


def test_windows_of_no_rows_have_the_right_shape():
    windows = small_dataset().windows(rows_of())
    assert windows.sequences.shape == (0, 3)
    assert len(windows) == 0


@given(st.data())
def test_windows_equal_a_loop_over_rows(data):
    events = np.array(data.draw(st.lists(st.integers(0, 5), min_size=2, max_size=30)), np.uint32)
    length = data.draw(st.integers(1, 6))
    pair = st.integers(1, len(events) - 1).flatmap(
        lambda end: st.tuples(st.integers(0, end - 1), st.just(end))
    )
    rows = rows_of(*data.draw(st.lists(pair, max_size=8)))
    empty = rows_of()
    dataset = small_dataset(
        events=events, max_length=length, train=rows, validation=empty, test=empty
    )
    windows = dataset.windows(rows)
    for row, (start, end) in enumerate(zip(rows.start, rows.end, strict=True)):
        history = list(events[max(start, end - length) : end])
        assert windows.sequences[row].tolist() == history + [6] * (length - len(history))
        assert windows.lengths[row] == len(history)
        assert windows.targets[row] == events[end]


@pytest.mark.parametrize("pair", [(-1, 2), (2, 2), (3, 2)])
def test_rows_refuse_an_empty_or_negative_history(pair):
    with pytest.raises(InputError, match=r"rows\[1\].*expected 0 <= start < end"):
        rows_of((0, 1), pair)


def test_rows_refuse_other_types():
    with pytest.raises(InputError, match="expected int64"):
        Rows(np.array([0], dtype=np.int32), np.array([1], dtype=np.int64))
    with pytest.raises(InputError, match="expected as many"):
        Rows(np.zeros(2, dtype=np.int64), np.ones(1, dtype=np.int64))


def test_rows_take_and_join():
    rows = rows_of((0, 1), (0, 2), (0, 3))
    assert rows.take(np.array([2, 0])).end.tolist() == [3, 1]
    assert rows.followed_by(rows.take(slice(0, 1))).end.tolist() == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": rows_of((0, 8))}, r"train\[0\]: target at event 8, expected one of 8"),
        ({"test": rows_of((0, 1), (0, 9))}, r"test\[1\]"),
        ({"events": np.array([0, 6], dtype=np.uint32)}, r"events\[1\]: item 6, expected 0\.\.5"),
        ({"events": np.array([0, 1], dtype=np.int64)}, "expected uint32"),
        ({"max_length": 0}, "expected at least 1"),
    ],
)
def test_dataset_refuses_what_points_nowhere(changes, message):
    with pytest.raises(InputError, match=message):
        small_dataset(**changes)


def test_windows_refuse_rows_of_another_dataset():
    with pytest.raises(InputError, match=r"rows\[0\]"):
        small_dataset().windows(rows_of((0, 100)))


def test_catalogue_finds_items_and_names_the_nearest():
    catalogue = Catalogue(["sku-alpha", "sku-beta", "other"])
    assert catalogue.index_of("sku-beta") == 1
    with pytest.raises(InputError, match=r"'sku-bata'.*nearest: 'sku-beta'"):
        catalogue.index_of("sku-bata")
    with pytest.raises(InputError, match="no similar id"):
        catalogue.index_of("☃")


@pytest.mark.parametrize(
    ("ids", "titles", "message"),
    [
        ([], None, "no items"),
        (["a", "b", "a"], None, "'a' twice"),
        (["a", "b"], ["A"], "1 titles for 2 items"),
    ],
)
def test_catalogue_refuses_what_is_ambiguous(ids, titles, message):
    with pytest.raises(InputError, match=message):
        Catalogue(ids, titles)


def test_target_counts_are_those_of_train_alone():
    assert small_dataset().target_counts().tolist() == [1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"events": np.array([0, 1, 2, 3, 4, 5, 0, 1], dtype=np.uint32)},
        {"max_length": 4},
        {"train": rows_of((0, 1), (1, 4), (5, 6))},
        {"test": rows_of((5, 6))},
        {"has_users": False},
        {"catalogue": Catalogue([f"sku-{n}" for n in range(6)])},
        {"catalogue": Catalogue([f"sku-{n}" for n in range(6)], ["title 0", *"12345"])},
        {"catalogue": Catalogue([f"SKU-{n}" for n in range(6)], [f"title {n}" for n in range(6)])},
    ],
)
def test_fingerprint_changes_with_whatever_a_teacher_rests_on(changes):
    assert small_dataset(**changes).fingerprint() != small_dataset().fingerprint()


def test_fingerprint_tells_texts_apart_that_join_alike():
    one = small_dataset(catalogue=Catalogue(["ab", "c", "d", "e", "f", "g"]))
    other = small_dataset(catalogue=Catalogue(["a", "bc", "d", "e", "f", "g"]))
    assert one.fingerprint() != other.fingerprint()


def test_fingerprint_does_not_depend_on_name_or_notes():
    dataset = small_dataset()
    renamed = dataclasses.replace(dataset, name="other", notes=["a note"])
    assert renamed.fingerprint() == dataset.fingerprint()
    # Fixed for good: a teacher folder written today must fit tomorrow.
    assert dataset.fingerprint()[:16] == "309c53a364461ab8"
