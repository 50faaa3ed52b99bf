"""Figures of lists against their definitions, item by item."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.errors import InputError
from dllm2rec.evaluate.rows.list_figures import beyond_accuracy
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset(n_train_users=30)
N_ROWS = len(DATASET.test)


def slowly(lists: list[list[int]]) -> dict[str, float]:
    targets = DATASET.targets(DATASET.train).tolist()
    counts = [targets.count(item) for item in range(N_ITEMS)]
    places = [item for row in lists for item in row if item < N_ITEMS]
    times = [places.count(item) for item in range(N_ITEMS)]
    apart = sum(abs(a - b) for a in times for b in times)  # Gini by mean absolute difference
    rows = DATASET.test
    histories = [DATASET.events[a:b] for a, b in zip(rows.start, rows.end, strict=True)]
    profile = np.mean([np.mean([counts[item] for item in one]) for one in histories])
    own = [[counts[item] for item in row if item < N_ITEMS] for row in lists]
    return {
        "coverage": len(set(places)) / N_ITEMS,
        "gini": apart / (2 * N_ITEMS * sum(times)),
        "novelty": float(np.mean([-np.log2(max(counts[i], 1) / len(targets)) for i in places])),
        "popularity_lift": float(np.mean([np.mean(row) for row in own if row]) / profile - 1),
    }


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_figures_are_their_definitions(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    lists = rng.integers(0, N_ITEMS // 2, (N_ROWS, 6))
    lists[rng.random(lists.shape) < 0.2] = N_ITEMS  # places without an item
    lists[0] = N_ITEMS
    lists[1, 0] = 0
    found = beyond_accuracy(lists, DATASET, ks=k)
    expected = slowly(lists[:, :k].tolist())
    assert found == {f"{name}@{k}": pytest.approx(value) for name, value in expected.items()}


def test_one_item_for_all_is_as_uneven_as_can_be_and_all_items_are_even() -> None:
    one = beyond_accuracy(np.zeros((N_ROWS, 1)).astype(int), DATASET, ks=1)
    assert one["gini@1"] == pytest.approx(1 - 1 / N_ITEMS)
    assert one["coverage@1"] == pytest.approx(1 / N_ITEMS)
    everything = np.tile(np.arange(N_ITEMS), (N_ROWS, 1))
    even = beyond_accuracy(everything, DATASET, ks=[1, N_ITEMS])
    assert even[f"gini@{N_ITEMS}"] == pytest.approx(0, abs=1e-12)
    assert even[f"coverage@{N_ITEMS}"] == 1.0


@pytest.mark.parametrize(
    ("lists", "ks", "words"),
    [
        (np.zeros((3, 2), int), 1, "a row for each test row"),
        (np.full((N_ROWS, 2), N_ITEMS + 1), 1, "is no item"),
        (np.full((N_ROWS, 2), N_ITEMS), 1, "lists without an item"),
        (np.zeros((N_ROWS, 2), int), 3, "the places of a list"),
        (np.zeros((N_ROWS, 2), int), 0, "the places of a list"),
    ],
)
def test_lists_that_do_not_fit_are_refused(lists: np.ndarray, ks: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        beyond_accuracy(lists, DATASET, ks=ks)


def test_without_train_rows_nothing_is_popular() -> None:
    empty = replace(DATASET, train=DATASET.train.take(slice(0)))
    with pytest.raises(InputError, match="no train rows"):
        beyond_accuracy(np.zeros((N_ROWS, 1), int), empty, ks=1)
