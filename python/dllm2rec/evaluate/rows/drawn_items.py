"""Items drawn by popularity for each row, as papers after BERT4Rec draw the negatives of a metric.

A row's items are drawn one after the other, each in proportion to how often it is a train target,
among those that are left, as `numpy.random.choice(p=..., replace=False)` does. Drawing with
replacement and passing over what was drawn already is the same, and needs no look at other items. A
row that hardly finds new ones finishes by a race: of exponential times with these counts as rates
the first are the same draw (Efraimidis and Spirakis 2006), whatever came before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.seen_items import seen_pairs

Int64Vector = npt.NDArray[np.int64]
Drawn = npt.NDArray[np.uint32]

BLOCK_ROWS = 1024  # of a generator's rows: fixed, so that a seed draws the same on any machine
ROUNDS = 4  # of draws with replacement, before what is missing is raced for


def draw_by_popularity(
    dataset: SequenceDataset, split: str, n_negatives: int, seed: int, *, exclude_seen: bool
) -> Drawn:
    """Draw distinct items for each row of a split, in proportion to their train targets.

    Args:
        dataset: whose train targets are counted; an item that is none is never drawn.
        split: "test" or "validation".
        n_negatives: n, for each row.
        seed: of the draws; one seed draws the same on any number of threads and processes.
        exclude_seen: whether the items of a row's history are no candidates. Its target never is.

    Returns:
        Items in the order they were drawn, (R, n).

    Raises:
        ConfigError: a row has fewer items that can be drawn.
    """
    weights = dataset.target_counts().astype(np.int64)
    rows = dataset.splits()[split]
    blocks = [slice(begin, begin + BLOCK_ROWS) for begin in range(0, len(rows), BLOCK_ROWS)]
    fewest = dataset.n_items
    for block in blocks:
        barred = _barred(dataset, rows.take(block), exclude_seen=exclude_seen)
        row, item = np.divmod(barred, dataset.n_items)
        n_lost = np.bincount(row[weights[item] > 0])
        fewest = min(fewest, int(np.count_nonzero(weights) - n_lost.max(initial=0)))
    if not 1 <= n_negatives <= fewest:
        raise ConfigError(
            f"{n_negatives:,} sampled negatives by popularity, expected 1..{fewest:,}, the fewest "
            "candidates with a train target that a row has beside its own"
        )
    found = np.zeros((len(rows), n_negatives), np.uint32)
    for number, block in enumerate(blocks):
        barred = _barred(dataset, rows.take(block), exclude_seen=exclude_seen)
        rng = np.random.default_rng([seed, number])
        found[block] = _draw(weights, barred, found[block].shape, rng)
    return found


def _barred(dataset: SequenceDataset, rows: Rows, *, exclude_seen: bool) -> Int64Vector:
    """What is not drawn, as row * N + item: targets and, where they are masked, seen items."""
    n_items = dataset.n_items
    keys = np.arange(len(rows)) * n_items + dataset.targets(rows)
    if exclude_seen:
        row, item = seen_pairs(dataset, rows)
        keys = np.concatenate([keys, row * n_items + item])
    return keys.astype(np.int64)


def _draw(
    weights: Int64Vector, barred: Int64Vector, shape: tuple[int, ...], rng: np.random.Generator
) -> Drawn:
    """Draw for the rows of one block."""
    (n_rows, n), n_items = shape, len(weights)
    edges = np.cumsum(weights)
    drawn = np.zeros((n_rows, n), np.uint32)
    n_drawn = np.zeros(n_rows, np.int64)
    for _ in range(ROUNDS):
        open_rows = np.flatnonzero(n_drawn < n)
        places = rng.integers(edges[-1], size=(len(open_rows), 2 * n))
        keys = (open_rows[:, None] * n_items + np.searchsorted(edges, places, "right")).ravel()
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])]  # each where it came first
        row, item = np.divmod(keys[~np.isin(keys, barred)], n_items)
        counts = np.bincount(row, minlength=n_rows)
        place = n_drawn[row] + np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        is_wanted = place < n
        row, item = row[is_wanted], item[is_wanted]
        drawn[row, place[is_wanted]] = item
        n_drawn += np.bincount(row, minlength=n_rows)
        barred = np.concatenate([barred, row * n_items + item])
    barred = np.sort(barred)
    begins = np.searchsorted(barred, np.arange(n_rows + 1) * n_items)
    for row in np.flatnonzero(n_drawn < n):
        rates = weights.copy()
        rates[barred[begins[row] : begins[row + 1]] % n_items] = 0
        left = np.flatnonzero(rates)
        times = rng.exponential(size=len(left)) / rates[left]
        drawn[row, n_drawn[row] :] = left[np.argsort(times, kind="stable")[: n - n_drawn[row]]]
    return drawn
