"""The pair memory: counts, table and bonuses against the slow twin; bounds and refusals."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dllm2rec import _core
from dllm2rec.errors import InputError
from dllm2rec.students import pair_memory
from dllm2rec.students.pair_memory import MemoryForm, count_pairs, make_memory, windows_of_lists
from tests.reference import pair_memory as reference


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


@settings(deadline=None)  # machines are shared
@given(st.data(), st.integers(1, 9), st.sampled_from([1.0, 0.5, 0.85]), st.integers(1, 4))
def test_a_memory_equals_its_slow_twin(data, n_items, decay, most):
    rows = data.draw(windows(n_items))
    form = MemoryForm(count_decay=decay, age_decay=0.7, power=0.5, scale=0.3, weight=1.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_memory, "MOST_FOLLOWERS", most)
        patch.setattr(pair_memory, "MOST_AGES", 4)
        counted = count_pairs(rows, n_items, decay)
        memory = make_memory(counted, form)
        asked = data.draw(windows(n_items))[:2]
        found = memory.bonuses(*asked)
    twin = reference.counts(*rows, n_items, decay, 4)
    np.testing.assert_allclose(counted.row_sums, twin.sum(axis=1), rtol=1e-12)
    table = reference.values(twin, 0.5, 0.3, most)
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
