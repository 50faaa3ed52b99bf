"""Train rows that window files hide: the early positions inside each window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset

UInt64Vector = npt.NDArray[np.uint64]
_BLOCK = 1 << 22  # rows looked at together


def prefix_rows(dataset: SequenceDataset) -> Rows:
    """Return the rows that can be added to the train rows: (history so far -> next item).

    Inside each train window every such pair is a candidate. One is kept per distinct (last two
    items, target), the one with the longest history; none whose (last two items, target) a train
    row ends with already. A history of one item is kept only where no train row and no longer
    history ends with its (item, target). A log with a row at every position yields none.

    Returns:
        The added rows alone, in the order of the events.
    """
    if _every_position(dataset.train):
        return dataset.train.take(slice(0))
    rows = _candidates(dataset)
    # Longest histories first, then the order of the events: the first of each key is kept.
    rows = rows.take(np.argsort(rows.start - rows.end, kind="stable"))
    is_long = rows.end - rows.start > 1
    long, short = rows.take(is_long), rows.take(~is_long)
    long_keys, train_keys = _triples(dataset, long, dataset.train)
    long = _first_of_each_new(long, long_keys, train_keys)
    pairs = np.concatenate([_pairs(dataset, dataset.train), _pairs(dataset, long)])
    short = _first_of_each_new(short, _pairs(dataset, short), pairs)
    added = long.followed_by(short)
    return added.take(np.argsort(added.end, kind="stable"))


def _every_position(rows: Rows) -> bool:
    """Whether each history of rows in the order of a log is followed to its end by a row each.

    Then every candidate is a train row already, and a log of any size is read once.
    """
    for begin in range(0, len(rows), _BLOCK):
        block = slice(max(begin - 1, 0), begin + _BLOCK)
        start, end = rows.start[block], rows.end[block]
        goes_on = (start[1:] == start[:-1]) & (end[1:] == end[:-1] + 1)
        if not (goes_on | (end[1:] == start[1:] + 1)).all():
            return False
    return len(rows) == 0 or bool(rows.end[0] == rows.start[0] + 1)


def _candidates(dataset: SequenceDataset) -> Rows:
    """Return each place between the first item of some train window and its target, once."""
    rows = dataset.train
    if not len(rows):
        return rows
    order = np.lexsort((rows.end, dataset.window_begin(rows)))
    begins = dataset.window_begin(rows)[order]
    places = np.arange(begins[0] + 1, dataset.events.size)
    # A user's windows slide: of those that begin before a place, the last one reaches furthest.
    row = order[np.searchsorted(begins, places, side="left") - 1]
    inside = places < rows.end[row]
    return Rows(rows.start[row[inside]], places[inside])


def _pairs(dataset: SequenceDataset, rows: Rows) -> UInt64Vector:
    """Return one number per (last item, target)."""
    return _joined(dataset.events[rows.end - 1], dataset.events[rows.end])


def _triples(dataset: SequenceDataset, *row_sets: Rows) -> list[UInt64Vector]:
    """Return one number per (last item but one, last item, target), comparable across the sets."""
    last_two = []
    for rows in row_sets:
        before = dataset.events[np.maximum(rows.end - 2, 0)]
        before[rows.end - 2 < rows.start] = dataset.n_items  # a history of one item
        last_two.append(_joined(before, dataset.events[rows.end - 1]))
    # Numbered densely, as three item indices do not fit 64 bits.
    _, numbers = np.unique(np.concatenate(last_two), return_inverse=True)
    parts = np.split(numbers.astype(np.uint32), np.cumsum([len(rows) for rows in row_sets])[:-1])
    return [
        _joined(part, dataset.events[rows.end]) for part, rows in zip(parts, row_sets, strict=True)
    ]


def _joined(high: npt.NDArray[np.uint32], low: npt.NDArray[np.uint32]) -> UInt64Vector:
    return (high.astype(np.uint64) << np.uint64(32)) | low


def _first_of_each_new(rows: Rows, keys: UInt64Vector, known: UInt64Vector) -> Rows:
    """Return the first row of each key that is not known."""
    keys, first = np.unique(keys, return_index=True)
    return rows.take(first[~np.isin(keys, known)])
