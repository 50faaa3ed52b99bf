"""The items that a row has seen, where they are no candidates of its ranking."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset

# Row numbers and items, side by side.
Pairs: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

BLOCK_EVENTS = 1 << 22  # of histories at once: some 100 MB


def seen_pairs(dataset: SequenceDataset, rows: Rows) -> Pairs:
    """List the distinct items of each row's whole history but its target, which stays a candidate.

    Returns:
        Row numbers, ascending, and items, both int64 and of one length.
    """
    lengths = rows.end - rows.start
    row = np.repeat(np.arange(len(rows)), lengths)
    place = np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    items = dataset.events[np.repeat(rows.start, lengths) + place].astype(np.int64)
    other = items != dataset.targets(rows)[row]
    found = np.unique(row[other] * dataset.n_items + items[other])
    return np.divmod(found, dataset.n_items)


def blocks_of_histories(rows: Rows) -> Iterator[slice]:
    """Cut rows so that the histories of a block are not too long together."""
    total = np.cumsum(rows.end - rows.start)
    cuts = np.flatnonzero(np.diff(total // BLOCK_EVENTS)) + 1
    edges = [0, *cuts.tolist(), len(rows)]
    return (slice(begin, end) for begin, end in pairwise(edges) if end > begin)


def lists_without_seen(
    ranking: npt.NDArray[np.uint32], dataset: SequenceDataset, rows: Rows
) -> npt.NDArray[np.uint32]:
    """Take the seen items out of explicit lists: what follows moves up, places at the end are N.

    Args:
        ranking: items of each row, best first, (R, n); N marks a place without one.
        dataset: whose rows they are.
        rows: R rows.
    """
    n_items = dataset.n_items
    result = np.full_like(ranking, n_items)
    for block in blocks_of_histories(rows):
        lists = ranking[block].astype(np.int64)
        row, item = seen_pairs(dataset, rows.take(block))
        keys = np.arange(len(lists))[:, None] * (n_items + 1) + lists
        kept = ~np.isin(keys, row * (n_items + 1) + item) & (lists < n_items)
        order = np.argsort(~kept, axis=1, kind="stable")
        moved = np.take_along_axis(lists, order, axis=1)
        result[block] = np.where(np.take_along_axis(kept, order, axis=1), moved, n_items)
    return result
