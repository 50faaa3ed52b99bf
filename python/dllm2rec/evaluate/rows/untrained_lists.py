"""What popularity and window counts list for each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.evaluate.ranking import top_n
from dllm2rec.evaluate.seen_items import seen_pairs
from dllm2rec.evaluate.window_counts import DECAY, POPULARITY_WEIGHT, WindowCounts

Lists = npt.NDArray[np.uint32]

_TILE_CELLS = 1 << 22  # rows x items of one tile: 8 bytes each
_LAST = 1e6  # what puts the window's items behind all others, in their own order


def popular_lists(dataset: SequenceDataset, rows: Rows, k: int, *, exclude_seen: bool) -> Lists:
    """List the k items that are most often a train target, (R, k), for each row."""
    counts = dataset.target_counts().astype(np.float64)
    found = np.empty((len(rows), k), np.uint32)
    for tile in _tiles(rows, dataset.n_items):
        part = rows.take(tile)
        scores = np.tile(counts, (len(part), 1))
        if exclude_seen:
            scores[seen_pairs(dataset, part)] = -np.inf
        found[tile] = top_n(scores, k)[0]
    return found


def window_count_lists(fit: WindowCounts, rows: Rows, k: int) -> Lists:
    """List the k items that score best by window counts, (R, k), for each row.

    The window's items come last; where seen items are no candidates, they leave with the history.
    """
    dataset, n_items = fit.dataset, fit.dataset.n_items
    known = np.append(fit.row_sums[:n_items] > 0, False)
    weights = np.zeros(n_items + 1)
    weights[known] = 1 / (fit.row_sums[known] ** fit.power + fit.constant)
    found = np.empty((len(rows), k), np.uint32)
    for tile in _tiles(rows, n_items):
        part = rows.take(tile)
        windows = dataset.windows(part)
        scores = np.tile(POPULARITY_WEIGHT * fit.popularity, (len(part), 1))
        lengths = windows.lengths.astype(np.int64)
        for age in range(windows.sequences.shape[1]):
            row = np.flatnonzero(lengths > age)
            item = windows.sequences[row, lengths[row] - 1 - age].astype(np.int64)
            stored = fit.offsets[item + 1] - fit.offsets[item]
            first = np.repeat(np.cumsum(stored) - stored, stored)
            entry = np.repeat(fit.offsets[item], stored) + np.arange(stored.sum()) - first
            # An item of a window has each follower once, so that no cell comes twice.
            cells = np.repeat(row, stored), fit.targets[entry]
            scores[cells] += fit.counts[entry] * np.repeat(DECAY**age * weights[item], stored)
        if fit.exclude_seen:
            scores[seen_pairs(dataset, part)] = -np.inf
        else:
            row, column = np.nonzero(np.arange(windows.sequences.shape[1]) < lengths[:, None])
            seen = np.unique(row * n_items + windows.sequences[row, column])
            scores.ravel()[seen] -= _LAST
        found[tile] = top_n(scores, k)[0]
    return found


def _tiles(rows: Rows, n_items: int) -> list[slice]:
    step = max(1, _TILE_CELLS // n_items)
    return [slice(begin, begin + step) for begin in range(0, len(rows), step)]
