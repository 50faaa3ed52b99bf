"""Negatives drawn by popularity: the definition number by number, its frequencies, its limits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.rows import drawn_items
from dllm2rec.evaluate.rows.drawn_items import draw_by_popularity
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset(n_train_users=9)  # so few that some items are no train target


def barred_of(dataset: SequenceDataset, *, exclude_seen: bool) -> list[set[int]]:
    """What no row may draw: its target and, where asked, its history."""
    rows = dataset.test
    barred = [{int(item)} for item in dataset.targets(rows)]
    if exclude_seen:
        for one, start, end in zip(barred, rows.start, rows.end, strict=True):
            one.update(dataset.events[start:end].tolist())
    return barred


def slow_draws(
    dataset: SequenceDataset, n: int, seed: int, *, exclude_seen: bool, block_rows: int
) -> np.ndarray:
    """The definition: number after number, row after row."""
    weights = np.bincount(dataset.targets(dataset.train), minlength=dataset.n_items)
    pool = np.repeat(np.arange(dataset.n_items), weights)  # a number below its length is an item
    barred = barred_of(dataset, exclude_seen=exclude_seen)
    found: list[list[int]] = [[] for _ in barred]
    for number, begin in enumerate(range(0, len(found), block_rows)):
        rng = np.random.default_rng([seed, number])
        block = range(begin, min(begin + block_rows, len(found)))
        for _ in range(drawn_items.ROUNDS):
            open_rows = [row for row in block if len(found[row]) < n]
            numbers = rng.integers(len(pool), size=(len(open_rows), 2 * n))
            for row, of_row in zip(open_rows, numbers, strict=True):
                for item in pool[of_row].tolist():
                    if item not in barred[row] and item not in found[row] and len(found[row]) < n:
                        found[row].append(item)
        for row in (row for row in block if len(found[row]) < n):
            gone = {*barred[row], *found[row]}
            left = [item for item in range(dataset.n_items) if weights[item] and item not in gone]
            times = rng.exponential(size=len(left)) / weights[left]
            found[row] += [left[i] for i in np.argsort(times)[: n - len(found[row])]]
    return np.array(found)


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("n", [1, 8, "all"])
def test_draws_equal_the_slow_twin_item_by_item(
    monkeypatch: pytest.MonkeyPatch, n: int | str, exclude_seen: bool
) -> None:
    monkeypatch.setattr(drawn_items, "BLOCK_ROWS", 50)  # the last is not full
    weights = DATASET.target_counts()
    barred = barred_of(DATASET, exclude_seen=exclude_seen)
    most = min(sum(bool(weights[i]) for i in {*range(N_ITEMS)} - one) for one in barred)
    n = most if n == "all" else int(n)
    found = draw_by_popularity(DATASET, "test", n, 5, exclude_seen=exclude_seen)
    twin = slow_draws(DATASET, n, 5, exclude_seen=exclude_seen, block_rows=50)
    np.testing.assert_array_equal(found, twin)
    for row, one in zip(found.tolist(), barred, strict=True):
        assert len({*row} - one) == n
        assert all(weights[item] for item in row)
    with pytest.raises(ConfigError, match=rf"by popularity, expected 1\.\.{most}, the fewest"):
        draw_by_popularity(DATASET, "test", most + 1, 5, exclude_seen=exclude_seen)


N_ROWS, WEIGHTS, TARGET = 20_000, np.array([9, 1, 4, 0, 2, 3]), 2
SHARE = np.where(np.arange(len(WEIGHTS)) == TARGET, 0, WEIGHTS) / (WEIGHTS.sum() - WEIGHTS[TARGET])


@cache
def draws_of_numpy() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array([rng.choice(len(SHARE), 3, replace=False, p=SHARE) for _ in range(N_ROWS)])


@pytest.mark.parametrize("rounds", [0, 4])  # the race alone, and draws with replacement
def test_draws_have_the_frequencies_of_numpys_choice(
    monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    monkeypatch.setattr(drawn_items, "ROUNDS", rounds)
    barred = np.arange(N_ROWS) * len(WEIGHTS) + TARGET
    found = drawn_items._draw(WEIGHTS, barred, (N_ROWS, 3), np.random.default_rng(0))
    for item in range(len(WEIGHTS)):
        ours, theirs = ((one == item).any(axis=1).mean() for one in (found, draws_of_numpy()))
        assert ours == pytest.approx(theirs, abs=0.015)
        first = (found[:, 0] == item).mean()
        assert first == pytest.approx(SHARE[item], abs=0.015)


def test_a_seed_draws_again_the_same() -> None:
    first, again, other = (
        draw_by_popularity(DATASET, "test", 5, seed, exclude_seen=False) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
