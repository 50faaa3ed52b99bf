"""Where a target stands among items drawn for its row, counted as the full ranking counts.

A scorer that has no scores of single items is ranked twice, with and without the drawn items: what
stands above or level with the target in the first alone is drawn. So scores have the bits that they
have in the full ranking, and the same items tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.students.memory.pair_memory import ItemBonuses

Drawn = npt.NDArray[np.uint32]
HostWindow = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]

BLOCK_ROWS = 4096


def counts_by_item(
    values: npt.NDArray[np.int64], targets: npt.NDArray[np.uint32], drawn: Drawn
) -> RankCounts:
    """Count by one value for each item, the same for all rows.

    Args:
        values: (N,).
        targets: (R,).
        drawn: (R, n).
    """
    table = np.zeros((2, len(drawn)), np.int64)
    for begin in range(0, len(drawn), BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        counts = counts_by_score(values[drawn[block]], values[targets[block]])
        table[:, block] = counts.greater, counts.equal
    return RankCounts(*table)


def counts_by_score(listed: npt.NDArray[Any], own: npt.NDArray[Any]) -> RankCounts:
    """Count by the scores of the drawn items, (B, n), and of the target, (B,)."""
    above = np.count_nonzero(listed > own[:, None], axis=1)
    level = np.count_nonzero(listed == own[:, None], axis=1)
    return RankCounts(above.astype(np.int64), level.astype(np.int64))


def difference(whole: RankCounts, rest: RankCounts) -> RankCounts:
    """What stands above and level with the targets in the first ranking alone."""
    return RankCounts(whole.greater - rest.greater, whole.equal - rest.equal)


def with_drawn(masked: HostWindow | None, drawn: Drawn) -> HostWindow:
    """The items that are masked for each row, and the drawn ones: offsets (B + 1,) and items."""
    n_rows, n = drawn.shape
    if masked is None:
        return np.arange(n_rows + 1, dtype=np.int64) * n, drawn.ravel()
    offsets, items = masked
    row = np.append(np.repeat(np.arange(n_rows), np.diff(offsets)), np.repeat(np.arange(n_rows), n))
    order = np.argsort(row, kind="stable")
    return offsets + np.arange(n_rows + 1) * n, np.append(items, drawn.ravel())[order]


def offset_as_bonuses(
    listed: HostWindow, offset: float, bonuses: ItemBonuses | None, n_items: int
) -> ItemBonuses:
    """Add the offset of listed items to the bonuses of theirs: the same sums, in float32.

    It leaves the kernels' list of items to those that are masked.
    """
    keys = np.unique(_keys(listed[0], listed[1], n_items))
    values = np.full(len(keys), offset, np.float32)
    if bonuses is not None:
        of_bonuses, of_listed = _keys(bonuses.offsets, bonuses.items, n_items), keys
        keys = np.union1d(of_bonuses, of_listed)
        values = np.zeros(len(keys), np.float32)
        values[np.searchsorted(keys, of_listed)] = offset
        values[np.searchsorted(keys, of_bonuses)] += bonuses.values
    row, item = np.divmod(keys, n_items)
    offsets = np.searchsorted(row, np.arange(len(listed[0]))).astype(np.int64)
    return ItemBonuses(offsets, item.astype(np.uint32), values)


def _keys(
    offsets: npt.NDArray[np.int64], items: npt.NDArray[np.uint32], n_items: int
) -> npt.NDArray[np.int64]:
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys: npt.NDArray[np.int64] = row * n_items + items.astype(np.int64)
    return keys
