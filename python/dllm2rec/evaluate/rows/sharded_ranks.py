"""Where targets rank among items that lie in several processes: the counts of one process.

Every process counts its own items above each target. The target's vector is fetched from the
process that holds it and scored by the same kernel, beside the own items: the same numbers in the
same order of sums, hence the same score to the last bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.evaluate.listed_items import CheckedWindow, HostWindow
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.ranking import fused_rank_counts
from dllm2rec.runtime.distributed import gathered
from dllm2rec.students.sharded import look_up

# Own items that are ranked by one call, beside a copy of their vectors: 256 MB at size 64.
PIECE = 1 << 20


def sharded_rank_counts(
    users: Tensor,
    items: Tensor,
    targets: Tensor,
    own: slice,
    bias: Tensor | None,
    listed: CheckedWindow | None,
    offset: float,
) -> RankCounts:
    """Count as `fused_rank_counts` among the items of all processes, which all call it.

    Args:
        users: (B, D), the same in all processes.
        items: this process's, (n_own, D).
        targets: of all items, (B,), the same in all processes.
        own: which items are this process's.
        bias: of the own items, (n_own,) or None.
        listed: of all items: those whose scores `offset` moves, or None.
        offset: what is added to them.
    """
    met, place = torch.unique(targets, return_inverse=True)
    met_rows = look_up(items, met, own)
    met_bias = None if bias is None else look_up(bias, met, own)
    window = None if listed is None else listed.on_host()
    names = met.cpu().numpy()

    def counted(piece: slice) -> Tensor:
        """The counts among the targets' copies and some of the own items, (2, B)."""
        numbers = np.arange(own.start + piece.start, own.start + piece.stop)
        counts = fused_rank_counts(
            users,
            torch.cat([met_rows, items[piece]]),
            place,
            bias=None if bias is None or met_bias is None else torch.cat([met_bias, bias[piece]]),
            window=None if window is None else _among(window, names, numbers),
            window_offset=offset,
        )
        return torch.from_numpy(np.stack([counts.greater, counts.equal]))

    copies = counted(slice(0, 0))
    table = torch.zeros(2, len(targets), dtype=torch.int64)
    for first in range(0, len(items), PIECE):
        table += counted(slice(first, min(first + PIECE, len(items)))) - copies
    greater, equal = gathered(table, "ranking").numpy()
    # The process that holds a target met it beside its copy, which is equal to it.
    return RankCounts(greater, equal - 1)


def _among(
    window: HostWindow, names: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]
) -> HostWindow:
    """The places of listed items among `names`, ascending, followed by the range `numbers`."""
    offsets, items = window
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    at = np.searchsorted(names, items).clip(max=len(names) - 1)
    is_met = names[at] == items
    is_own = np.zeros_like(is_met)
    if len(numbers):
        is_own = (items >= numbers[0]) & (items <= numbers[-1])
    own_at = len(names) + items[is_own].astype(np.int64) - (numbers[0] if len(numbers) else 0)
    rows = np.concatenate([row[is_met], row[is_own]])
    places = np.concatenate([at[is_met], own_at])
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=len(offsets) - 1)
    return np.concatenate([[0], counts.cumsum()]).astype(np.int64), places[order].astype(np.uint32)
