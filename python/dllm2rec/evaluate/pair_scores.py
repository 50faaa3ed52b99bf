"""Ranks by what the items of a window say of others: sparse sums over a floor that all items have.

Diary (games, 106,702 train rows, 14,980 rows scored, one core): a users x items matrix of float64
in tiles took 1.1 s a pass, most of it on items that no window item ever led to. Adding up the
stored cells alone, with the rest answered from the sorted floor, takes 0.2 s a pass, and the
cells of a tile are found once for all settings of a grid. Small tiles stay in the cache. Tiles
are worked on by several threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from itertools import pairwise
from threading import Event
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.data.dataset import Rows, SequenceDataset, Windows
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.among_drawn import Drawn
from dllm2rec.evaluate.seen_items import Pairs, seen_pairs

Int64Vector = npt.NDArray[np.int64]
Float64Vector = npt.NDArray[np.float64]
_Pair: TypeAlias = tuple[Int64Vector, Int64Vector]  # greater and equal

_TILE_ENTRIES = 1 << 20  # stored pairs gathered at once: about 50 MB with their indices
_TILE_CELLS = 1 << 22  # users x items of one tile: 4 bytes each
_MOST_THREADS = 8  # a tile takes some 100 MB; more threads wait for each other


class PairTable(NamedTuple):
    """Which items each item says something of.

    Attributes:
        offsets: where each item's begin, int64 (n_items + 2,); the padding has none.
        items: ascending within an item, int64 (n,).
        n_ages: how many of a window's newest items speak; None for all of them.
    """

    offsets: Int64Vector
    items: Int64Vector
    n_ages: int | None = None

    def lengths_of(self, windows: Windows) -> Int64Vector:
        """How many items each place of some windows says something of, int64 (R, L)."""
        lengths: Int64Vector = np.diff(self.offsets)[windows.sequences]
        return lengths if self.n_ages is None else lengths * (ages(windows) < self.n_ages)


class PairValues(NamedTuple):
    """What the items of a `PairTable` are worth, under one setting.

    Attributes:
        values: of each pair of the table, float64 (n,).
        item_weights: by which an item's values are multiplied, float64 (n_items + 1,), or 1.
        age_weights: by which those of an item of some age are, the newest first, float64.
    """

    values: Float64Vector
    item_weights: Float64Vector | None
    age_weights: Float64Vector

    def weights_of(self, windows: Windows) -> Float64Vector:
        """What each place of some windows weighs, float64 (R, L)."""
        last = len(self.age_weights) - 1
        of_age: Float64Vector = self.age_weights[np.clip(ages(windows), 0, last)]
        return (
            of_age if self.item_weights is None else of_age * self.item_weights[windows.sequences]
        )


def ages(windows: Windows) -> Int64Vector:
    """How old the item at each place is: 0 the newest, negative where there is none, (R, L)."""
    places = np.arange(windows.sequences.shape[1])
    return windows.lengths.astype(np.int64)[:, None] - 1 - places


def rank_by_pairs(
    dataset: SequenceDataset,
    rows: Rows,
    table: PairTable,
    settings: Sequence[PairValues],
    floor: Float64Vector,
    *,
    exclude_seen: bool,
    stop: Event | None = None,
    drawn: Drawn | None = None,
) -> list[RankCounts]:
    """Rank some rows' targets, tile by tile, under each of some settings.

    score(b) = sum over the window's items a of age_weight item_weight(a) value(a, b), + floor(b).
    The items of the window come last, in the order of these scores; where seen items are no
    candidates, they leave with the rest of the history, and a target that repeats it is ranked by
    its score.

    Args:
        dataset: whose rows they are.
        rows: R rows.
        table: the pairs that have a value.
        settings: what they are worth.
        floor: what each item scores without any, float64 (n_items,).
        exclude_seen: whether the items of a row's history are no candidates.
        stop: ends the work once it is set.
        drawn: the items, (R, n), among which alone each target is ranked; all where None.

    Raises:
        CancelledError: `stop` was set before the last tile.
    """
    greater = np.zeros((len(settings), len(rows)), dtype=np.int64)
    equal = np.zeros_like(greater)

    def rank(tile: slice) -> None:
        if stop is not None and stop.is_set():
            raise CancelledError("the baselines were stopped")
        part, among = rows.take(tile), None if drawn is None else drawn[tile]
        seen = seen_pairs(dataset, part) if exclude_seen else None
        cells = _TileCells(table, dataset.windows(part), floor, seen)
        for n, values in enumerate(settings):
            greater[n, tile], equal[n, tile] = cells.rank(values, among)

    # NumPy lets go of Python's lock for most of a tile, and no tile touches another's rows.
    with ThreadPoolExecutor(min(torch.get_num_threads(), _MOST_THREADS)) as pool:
        for done in pool.map(rank, _tiles(dataset, rows, table)):
            assert done is None  # noqa: S101 - reading it raises what the tile raised
    return [RankCounts(greater=g, equal=e) for g, e in zip(greater, equal, strict=True)]


def _tiles(dataset: SequenceDataset, rows: Rows, table: PairTable) -> Iterator[slice]:
    """Cut the rows so that a tile's gathered pairs and its cells stay within bounds."""
    most_rows = max(1, _TILE_CELLS // dataset.n_items)
    for begin in range(0, len(rows), most_rows):
        part = rows.take(slice(begin, begin + most_rows))
        gathered = table.lengths_of(dataset.windows(part)).sum(axis=1).cumsum()
        cuts = np.flatnonzero(np.diff(gathered // _TILE_ENTRIES)) + 1
        edges = [0, *cuts.tolist(), len(part)]
        for first, last in pairwise(edges):
            yield slice(begin + first, begin + last)


class _TileCells:
    """The (row, item) cells of some rows that their windows lead to, and the ranks by their scores.

    Every other item of a row scores its floor alone, so it is counted by a search.
    """

    def __init__(
        self, table: PairTable, windows: Windows, floor: Float64Vector, seen: Pairs | None
    ) -> None:
        n_rows, n_items = len(windows), floor.size
        self._windows, self._floor, self._ordered_floor = windows, floor, np.sort(floor)
        lengths = table.lengths_of(windows).ravel()
        starts = table.offsets[windows.sequences].ravel()
        self._lengths = lengths
        entries = np.arange(lengths.sum()) + np.repeat(starts - lengths.cumsum() + lengths, lengths)
        self._entries = entries
        per_row = lengths.reshape(n_rows, -1).sum(axis=1)
        cells = np.repeat(np.arange(n_rows) * n_items, per_row) + table.items[entries]
        self._number = np.full(n_rows * n_items, -1, dtype=np.int32)  # cell -> its place, if stored
        self._number[cells] = 0
        stored = np.flatnonzero(self._number == 0)
        self._number[stored] = np.arange(stored.size, dtype=np.int32)
        self._place = self._number[cells]
        self._row, item = np.divmod(stored, n_items)
        self._cell_floor = floor[item]
        self._first = _first_occurrence(windows)
        self._windows_come_last = seen is None
        if seen is None:
            row, column = np.nonzero(self._first)
            seen = row, windows.sequences[row, column].astype(np.int64)
        self._out_row, self._out_item = seen
        self._is_out = np.zeros(stored.size, dtype=np.bool_)
        of_out = self._number[self._out_row * n_items + self._out_item]
        self._is_out[of_out[of_out >= 0]] = True

    def rank(self, form: PairValues, drawn: Drawn | None) -> _Pair:
        """Return how many items score above and exactly as each row's target, int64 (R,) each."""
        weights = form.weights_of(self._windows)
        sums = np.bincount(
            self._place,
            weights=form.values[self._entries] * np.repeat(weights.ravel(), self._lengths),
            minlength=self._row.size,
        )
        scores = sums + self._cell_floor
        target = self._scores_of(self._windows.targets[:, None], scores)[:, 0]
        if drawn is not None:
            return self._against_drawn(drawn, target, scores)
        greater, equal = self._against_free(target, scores)
        if not self._windows_come_last:
            return greater, equal
        items = np.minimum(self._windows.sequences, self._floor.size - 1)
        window = np.where(self._first, self._scores_of(items, scores), -np.inf)
        seen = (self._windows.sequences == self._windows.targets[:, None]).any(axis=1)
        above = (window > target[:, None]).sum(axis=1)
        same = (window == target[:, None]).sum(axis=1)
        n_free = self._floor.size - self._first.sum(axis=1)
        return np.where(seen, n_free + above, greater), np.where(seen, same - 1, equal)

    def _against_free(self, target: Float64Vector, scores: Float64Vector) -> _Pair:
        """Count the items that are not left out above and level with a target among them."""
        ordered, n_items = self._ordered_floor, self._floor.size
        not_above = np.searchsorted(ordered, target, side="right")
        greater = n_items - not_above
        equal = not_above - np.searchsorted(ordered, target, side="left") - 1
        # So far each item scored its floor. Take out what is left out, then move the cells.
        floors, beside = self._floor[self._out_item], target[self._out_row]
        of_cell = target[self._row]
        of_cell[self._is_out] = np.inf  # neither above nor level
        for compare, total in ((np.greater, greater), (np.equal, equal)):
            total -= self._count_by_row(self._out_row, compare(floors, beside))
            total += self._count_by_row(self._row, compare(scores, of_cell))
            total -= self._count_by_row(self._row, compare(self._cell_floor, of_cell))
        return greater, equal

    def _against_drawn(self, drawn: Drawn, target: Float64Vector, scores: Float64Vector) -> _Pair:
        """Count drawn items, (R, n), above and level with targets; those of a window are last."""
        listed, own = self._scores_of(drawn, scores), target[:, None]
        last = self._out_row * self._floor.size + self._out_item
        cells = np.column_stack([self._windows.targets, drawn])
        cells = cells + np.arange(len(drawn))[:, None] * self._floor.size
        is_last = np.isin(cells, last if self._windows_come_last else [])
        is_alike = is_last[:, 1:] == is_last[:, :1]
        above = np.where(is_alike, listed > own, is_last[:, :1])
        level = is_alike & (listed == own)
        return above.sum(axis=1), level.sum(axis=1)

    def _count_by_row(self, rows: Int64Vector, is_counted: npt.NDArray[np.bool_]) -> Int64Vector:
        found = rows[np.flatnonzero(is_counted)]
        return np.bincount(found, minlength=len(self._windows)).astype(np.int64)

    def _numbers_of(self, items: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        rows = np.arange(items.shape[0])[:, None] * self._floor.size
        numbers: npt.NDArray[np.int32] = self._number[rows + items]
        return numbers

    def _scores_of(
        self, items: npt.NDArray[np.uint32], scores: Float64Vector
    ) -> npt.NDArray[np.float64]:
        numbers = self._numbers_of(items)
        found = np.append(scores, 0.0)[numbers]  # -1 takes the appended one
        return np.where(numbers >= 0, found, self._floor[items])


def _first_occurrence(windows: Windows) -> npt.NDArray[np.bool_]:
    """Return, for each place of a window, whether it holds a real item for the first time."""
    items = windows.sequences
    first = np.arange(items.shape[1]) < windows.lengths.astype(np.int64)[:, None]
    for place in range(1, items.shape[1]):
        first[:, place] &= ~(items[:, :place] == items[:, place, None]).any(axis=1)
    return first
