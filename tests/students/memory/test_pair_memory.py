"""The pair memory: counts, table and bonuses against the slow twin; bounds and refusals."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dllm2rec import _core
from dllm2rec.errors import InputError
from dllm2rec.students.memory import pair_memory
from dllm2rec.students.memory import similar_titles as similar_titles_module
from dllm2rec.students.memory.pair_memory import (
    MemoryForm,
    PairMemory,
    count_pairs,
    make_memory,
    read_memory,
    windows_of_lists,
    with_titles,
)
from dllm2rec.students.memory.similar_titles import similar_titles
from tests.reference import pair_memory as reference

TITLES = st.lists(
    st.sampled_from(["Zelda", "zelda", "The", "of", "Time", "a", "4", "Été", "(1994)"]), max_size=5
).map(" ".join)


@st.composite
def windows(draw, n_items):
    """Sequences, lengths and targets; places behind the length hold anything."""
    n_rows, length = draw(st.integers(0, 12)), draw(st.integers(1, 6))
    items = st.integers(0, n_items - 1)
    sequences = draw(hnp.arrays(np.uint32, (n_rows, length), elements=items))
    lengths = draw(hnp.arrays(np.uint32, n_rows, elements=st.integers(0, length)))
    for row, real in zip(sequences, lengths, strict=True):
        row[real:] = n_items
    return sequences, lengths, draw(hnp.arrays(np.uint32, n_rows, elements=items))


def dense(offsets, items, values, n_items):
    """A sparse table, (rows, N)."""
    table = np.zeros((len(offsets) - 1, n_items))
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    table[rows, items] = values
    return table


@pytest.mark.slow
@settings(deadline=None)  # machines are shared
@given(st.data(), st.integers(1, 9), st.sampled_from([1.0, 0.5, 0.85]), st.integers(1, 4))
def test_a_memory_equals_its_slow_twin(data, n_items, decay, most):
    rows = data.draw(windows(n_items))
    form = MemoryForm(decay, age_decay=0.7, power=0.5, scale=0.3, title_weight=2.0, weight=1.5)
    titles = data.draw(st.none() | st.lists(TITLES, min_size=n_items, max_size=n_items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_memory, "MOST_FOLLOWERS", most)
        patch.setattr(pair_memory, "MOST_AGES", 4)
        counted = count_pairs(rows, n_items, decay)
        if titles is not None:
            counted = with_titles(counted, similar_titles(titles))
        memory = make_memory(counted, form)
        asked = data.draw(windows(n_items))[:2]
        found = memory.bonuses(*asked)
    twin = reference.counts(*rows, n_items, decay, 4)
    np.testing.assert_allclose(counted.row_sums, twin.sum(axis=1), rtol=1e-12)
    table = reference.values(twin, 0.5, 0.3, most)
    if titles is not None:
        table += 2.0 * reference.cosines(titles, similar_titles_module.MOST_SIMILAR)
    mine = dense(memory.offsets, memory.items, memory.values, n_items)
    np.testing.assert_allclose(mine, table, rtol=1e-6)
    ages = [1.5 * 0.7**age for age in range(4)]
    gained = reference.bonuses(*asked, table, ages)
    np.testing.assert_allclose(dense(*found, n_items), gained, rtol=1e-5)
    assert all(
        (np.diff(found.items[begin:end].astype(int)) > 0).all()
        for begin, end in zip(found.offsets, found.offsets[1:], strict=False)
    )


def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    sequences = rng.integers(0, 700, (4000, 10)).astype(np.uint32)
    lengths = rng.integers(0, 11, 4000).astype(np.uint32)
    targets = rng.integers(0, 700, 4000).astype(np.uint32)
    results = []
    for n_threads in (1, 2, 8):
        _core.set_threads(n_threads)
        counted = count_pairs((sequences, lengths, targets), 700, 0.85)
        results.append((*counted, *make_memory(counted, MemoryForm()).bonuses(sequences, lengths)))
    _core.set_threads(os.cpu_count() or 1)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_the_strongest_followers_are_kept():
    n = 400
    targets = np.repeat(np.arange(1, n, dtype=np.uint32), np.arange(1, n) % 3 + 1)
    sequences = np.zeros((len(targets), 1), np.uint32)
    counted = count_pairs((sequences, np.ones(len(targets), np.uint32), targets), n, 1.0)
    assert len(counted.items) == pair_memory.MOST_FOLLOWERS
    assert counted.row_sums[0] == len(targets)
    left_out = np.setdiff1d(np.arange(1, n), counted.items)
    assert (left_out % 3 + 1).max() <= counted.counts.min()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"values": np.ones(2, np.float32)}, "as many"),
        ({"values": np.array([1, 2, np.nan], np.float32)}, "finite"),
        ({"items": np.array([1, 0, 4], np.uint32)}, "below 4"),
        ({"offsets": np.array([0, 2, 1, 3, 3])}, "fall at item 1"),
        ({"offsets": np.array([0, 1, 2, 2, 2])}, "rise from 0 to 3"),
        ({"offsets": np.array([], np.int64)}, "rise from 0 to 3"),
        ({"weight": 1e308}, "weight: 1e[+]308, expected 0..1,000,000"),
        ({"weight": float("nan")}, "weight: nan"),
        ({"age_decay": 1.5}, "age decay: 1.5, expected 0..1"),
    ],
)
def test_a_table_is_checked_whole_when_it_is_read(changes, message):
    table = {
        "offsets": np.array([0, 1, 2, 3, 3]),
        "items": np.array([1, 0, 3], np.uint32),
        "values": np.ones(3, np.float32),
    }
    form = {name: changes.get(name, 1.0) for name in ("weight", "age_decay")}
    if not message:
        assert read_memory(table | changes, form).n_items == 4
        return
    with pytest.raises(InputError, match=message):
        read_memory(table | changes, form)


def test_one_answer_costs_the_same_in_a_larger_catalogue():
    one, window = np.ones(1, np.uint32), np.zeros((1, 1), np.uint32)

    def seconds(n_items):
        offsets = np.minimum(np.arange(n_items + 1) * 20, 20 * n_items)
        items = np.tile(np.arange(20, dtype=np.uint32), n_items)
        memory = PairMemory(MemoryForm(), offsets, items, np.ones(len(items), np.float32))
        best = np.inf
        for _ in range(20):
            begin = time.perf_counter()
            assert len(memory.bonuses(window, one).items) == 20
            best = min(best, time.perf_counter() - begin)
        return best

    # Reading the whole table of the larger one takes milliseconds.
    assert seconds(300_000) < 10 * seconds(3_000) + 0.0005


def test_what_is_outside_the_catalogue_is_refused():
    one = np.ones(1, np.uint32)
    memory = make_memory(count_pairs((np.zeros((1, 1), np.uint32), one, one), 2, 1.0), MemoryForm())
    with pytest.raises(InputError, match="sequences"):
        memory.bonuses(np.full((1, 1), 2, np.uint32), one)
    with pytest.raises(InputError, match="lengths"):
        memory.bonuses(np.zeros((1, 1), np.uint32), 2 * one)
    with pytest.raises(InputError, match="targets"):
        count_pairs((np.zeros((1, 1), np.uint32), one, 2 * one), 2, 1.0)


def test_rows_without_items_gain_nothing():
    one = np.ones(1, np.uint32)
    memory = make_memory(count_pairs((np.zeros((1, 1), np.uint32), one, one), 2, 1.0), MemoryForm())
    found = memory.bonuses(*windows_of_lists([[], [0, 1, 0]]))
    assert found.offsets.tolist() == [0, 0, 1]
    assert found.items.tolist() == [1]
    assert memory.bonuses(*windows_of_lists([])).offsets.tolist() == [0]


def test_titles_are_compared_as_scikit_learn_weighs_words():
    titles = [
        "Mario Kart Wii",
        "mario kart 8",
        "Wii Remote",
        "Halo 3",
        "",
        "halo halo 4",
        "Été",
        "été",
    ]
    found = similar_titles(titles)
    got = dense(found.offsets, found.items, found.cosines, len(titles))
    np.testing.assert_allclose(got, reference.cosines(titles, len(titles)), rtol=1e-6)
    # sklearn 1.7: TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\w\w+")
    assert got[0, 1] == pytest.approx(0.8164966)
    assert got[6, 7] == 1
    assert not got[4].any()
    assert not got.diagonal().any()


def test_the_most_similar_titles_are_kept(monkeypatch):
    titles = ["blue pen", "blue pen", "blue ink", "blue pen set", "set"]
    monkeypatch.setattr(similar_titles_module, "MOST_SIMILAR", 1)
    found = similar_titles(titles)
    assert found.items.tolist() == [1, 0, 0, 0, 3]  # of equal ones the lowest
    monkeypatch.setattr(similar_titles_module, "MOST_PAIRS", 5)
    monkeypatch.setattr(similar_titles_module, "MOST_SIMILAR", 256)
    assert similar_titles(titles).items.tolist() == [1, 0, 0, 0, 3]


def test_words_of_most_titles_are_left_out_where_comparing_takes_long(monkeypatch):
    titles = ["red pen", "red ink", "red cup", "blue cup"]
    all_words = similar_titles(titles)
    assert np.diff(all_words.offsets).tolist() == [2, 2, 3, 1]
    monkeypatch.setattr(similar_titles_module, "MOST_PRODUCTS", 8)  # of cup 4, of red 9
    assert np.diff(similar_titles(titles).offsets).tolist() == [0, 0, 1, 1]


def test_a_pair_that_was_only_counted_or_only_similar_stands_beside_both():
    sequences = np.array([[0], [0], [1]], np.uint32)
    counted = count_pairs(
        (sequences, np.ones(3, np.uint32), np.array([1, 2, 0], np.uint32)), 3, 1.0
    )
    both = with_titles(counted, similar_titles(["pen", "cup", "pen"]))
    assert both.offsets.tolist() == [0, 2, 3, 4]
    assert both.items.tolist() == [1, 2, 0, 0]
    assert both.counts.tolist() == [1, 1, 1, 0]
    assert both.cosines.tolist() == [0, 1, 0, 1]
    without = make_memory(both, MemoryForm())
    alone = make_memory(counted, MemoryForm())
    for name in ("offsets", "items", "values"):  # what has no value is no pair
        np.testing.assert_array_equal(getattr(without, name), getattr(alone, name))
