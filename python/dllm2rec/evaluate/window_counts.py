"""Window counts: how often an item was the target some places after another.

Diary (games, 106,702 train rows, 14,980 rows scored, one core): a users x items matrix of float64
in tiles took 1.1 s a pass, most of it on items that no window item ever led to. Counting over the
stored cells alone, with the rest answered from the sorted popularities, takes 0.2 s a pass, and the
cells of a tile are found once for all settings of the grid. Small tiles stay in the cache. Tiles
are worked on by several threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Event
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.data.dataset import Rows, SequenceDataset, Windows
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.evaluate.rows.among_drawn import Drawn
from dllm2rec.evaluate.seen_items import Pairs, seen_pairs

Int64Vector = npt.NDArray[np.int64]
Float64Vector = npt.NDArray[np.float64]
_Pair: TypeAlias = tuple[Int64Vector, Int64Vector]  # greater and equal

DECAY = 0.7  # how much less each older item of a window counts
POPULARITY_WEIGHT = 0.001
POWERS = (0.5, 1.0)
CONSTANTS = (0.0, 5.0, 20.0)
NDCG_AT = 20  # the validation metric that chooses between them

_TILE_ENTRIES = 1 << 20  # stored counts gathered at once: about 50 MB with their indices
_TILE_CELLS = 1 << 22  # users x items of one tile: 4 bytes each
_MOST_THREADS = 8  # a tile takes some 100 MB; more threads wait for each other


@dataclass(frozen=True, eq=False)
class WindowCounts:
    """How often item b was the target some places after item a, and scores made of it.

    M[a, b] = sum over rows of 0.7^k, a being the window's item k (0 the newest) and b the target;
    score(b) = sum over k of 0.7^k M[item_k, b] / (rowsum(item_k)^power + constant)
    + 0.001 popularity(b), popularity the share of targets. The items of the window come last, in
    the order of these scores; where seen items are no candidates, they leave with the rest of the
    history, and a target that repeats it is ranked by its score.

    Attributes:
        dataset: whose rows are scored.
        exclude_seen: whether the items of a row's history are no candidates.
        offsets: where each item's counts begin, int64 (n_items + 2,); the padding has none.
        targets: b of each stored count, ascending within an item, int64 (n_stored,).
        counts: M, float64 (n_stored,).
        row_sums: sum of each item's counts, float64 (n_items + 1,).
        popularity: share of each item among the targets, float64 (n_items,).
        power: the power of the row sum, chosen on validation.
        constant: what is added to it, chosen on validation.
    """

    dataset: SequenceDataset
    exclude_seen: bool
    offsets: Int64Vector
    targets: Int64Vector
    counts: Float64Vector
    row_sums: Float64Vector
    popularity: Float64Vector
    power: float = POWERS[0]
    constant: float = CONSTANTS[0]

    def rank_counts(
        self, rows: Rows, stop: Event | None = None, drawn: Drawn | None = None
    ) -> RankCounts:
        """Rank some rows' targets, tile by tile, among all items or those drawn for each, (R, n).

        Raises:
            CancelledError: `stop` was set before the last tile.
        """
        (counts,) = self._rank_counts_of([(self.power, self.constant)], rows, stop, drawn)
        return counts

    def chosen_on_validation(self, stop: Event | None = None) -> WindowCounts:
        """Return the same counts with the power and constant of the best validation ndcg@20."""
        rows = self.dataset.validation
        if not len(rows):
            raise InputError("no validation rows, expected some to choose the window counts by")
        grid = [(power, constant) for power in POWERS for constant in CONSTANTS]
        counts = self._rank_counts_of(grid, rows, stop)
        ndcg = [rank_metrics(c, [NDCG_AT])[f"ndcg@{NDCG_AT}"] for c in counts]
        power, constant = grid[int(np.argmax(np.round(ndcg, 9)))]
        return replace(self, power=power, constant=constant)

    def _rank_counts_of(
        self,
        grid: Sequence[tuple[float, float]],
        rows: Rows,
        stop: Event | None,
        drawn: Drawn | None = None,
    ) -> list[RankCounts]:
        floor = POPULARITY_WEIGHT * self.popularity
        greater = np.zeros((len(grid), len(rows)), dtype=np.int64)
        equal = np.zeros_like(greater)
        weights = [self._row_weights(power, constant) for power, constant in grid]

        def rank(tile: slice) -> None:
            if stop is not None and stop.is_set():
                raise CancelledError("the baselines were stopped")
            part, among = rows.take(tile), None if drawn is None else drawn[tile]
            seen = seen_pairs(self.dataset, part) if self.exclude_seen else None
            cells = _TileCells(self, self.dataset.windows(part), floor, seen)
            for n, of_rows in enumerate(weights):
                greater[n, tile], equal[n, tile] = cells.rank(of_rows, among)

        # NumPy lets go of Python's lock for most of a tile, and no tile touches another's rows.
        with ThreadPoolExecutor(min(torch.get_num_threads(), _MOST_THREADS)) as pool:
            for done in pool.map(rank, self._tiles(rows)):
                assert done is None  # noqa: S101 - reading it raises what the tile raised
        return [RankCounts(greater=g, equal=e) for g, e in zip(greater, equal, strict=True)]

    def _row_weights(self, power: float, constant: float) -> Float64Vector:
        """Return 1 / (rowsum^power + constant) of each item, 0 where it was in no window."""
        weights = np.zeros_like(self.row_sums)
        known = self.row_sums > 0
        weights[known] = 1 / (self.row_sums[known] ** power + constant)
        return weights

    def _tiles(self, rows: Rows) -> Iterator[slice]:
        """Cut the rows so that a tile's gathered counts and its cells stay within bounds."""
        stored = np.diff(self.offsets)
        most_rows = max(1, _TILE_CELLS // self.dataset.n_items)
        for begin in range(0, len(rows), most_rows):
            part = rows.take(slice(begin, begin + most_rows))
            gathered = stored[self.dataset.windows(part).sequences].sum(axis=1).cumsum()
            cuts = np.flatnonzero(np.diff(gathered // _TILE_ENTRIES)) + 1
            edges = [0, *cuts.tolist(), len(part)]
            for first, last in pairwise(edges):
                yield slice(begin + first, begin + last)


def fit_window_counts(
    dataset: SequenceDataset, stop: Event | None = None, *, exclude_seen: bool = False
) -> WindowCounts:
    """Count on the train rows and their prefix rows; choose power and constant on validation.

    Args:
        dataset: whose rows are counted, and will be scored.
        stop: ends the work once it is set.
        exclude_seen: leave the items of each row's history out of the candidates, in the choice
            too, but for a target that repeats it.

    Raises:
        InputError: there are no train or no validation rows.
        CancelledError: `stop` was set meanwhile.
    """
    rows = dataset.train.followed_by(prefix_rows(dataset))
    if not len(rows):
        raise InputError("no train rows, expected some to count")
    windows, n_items = dataset.windows(rows), dataset.n_items
    is_real, weights = _position_weights(windows)
    pairs = windows.sequences.astype(np.int64) * n_items + windows.targets[:, None]
    cells, place = np.unique(pairs[is_real], return_inverse=True)
    counts = np.bincount(place, weights=weights[is_real]).astype(np.float64)
    sources, targets = np.divmod(cells, n_items)
    popularity = np.bincount(windows.targets, minlength=n_items) / len(rows)
    return WindowCounts(
        dataset=dataset,
        exclude_seen=exclude_seen,
        offsets=np.searchsorted(sources, np.arange(n_items + 2)).astype(np.int64),
        targets=targets,
        counts=counts,
        row_sums=np.bincount(sources, weights=counts, minlength=n_items + 1).astype(np.float64),
        popularity=popularity,
    ).chosen_on_validation(stop)


def _position_weights(windows: Windows) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return which places hold an item, and 0.7^k with k 0 for the newest item, both (R, L)."""
    places = np.arange(windows.sequences.shape[1])
    age = windows.lengths.astype(np.int64)[:, None] - 1 - places
    return age >= 0, DECAY ** np.maximum(age, 0)


class _TileCells:
    """The (row, item) cells of some rows that their windows lead to, and the ranks by their scores.

    Every other item of a row scores its popularity alone, so it is counted by a search.
    """

    def __init__(
        self, fit: WindowCounts, windows: Windows, floor: Float64Vector, seen: Pairs | None
    ) -> None:
        n_rows, n_items = len(windows), fit.dataset.n_items
        self._windows, self._floor, self._ordered_floor = windows, floor, np.sort(floor)
        _, self._weights = _position_weights(windows)
        lengths = np.diff(fit.offsets)[windows.sequences].ravel()  # padding stores nothing
        starts = fit.offsets[windows.sequences].ravel()
        self._lengths = lengths
        entries = np.arange(lengths.sum()) + np.repeat(starts - lengths.cumsum() + lengths, lengths)
        self._counts = fit.counts[entries]
        per_row = lengths.reshape(n_rows, -1).sum(axis=1)
        cells = np.repeat(np.arange(n_rows) * n_items, per_row) + fit.targets[entries]
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

    def rank(self, row_weights: Float64Vector, drawn: Drawn | None) -> _Pair:
        """Return how many items score above and exactly as each row's target, int64 (R,) each."""
        weights = self._weights * row_weights[self._windows.sequences]
        sums = np.bincount(
            self._place,
            weights=self._counts * np.repeat(weights.ravel(), self._lengths),
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
        # So far each item scored its popularity. Take out what is left out, then move the cells.
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
