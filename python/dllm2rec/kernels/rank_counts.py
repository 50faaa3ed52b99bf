"""How many items score above a row's target, and how many as high: no score leaves the chip.

Each score is one chain of fused multiply-adds over the numbers of its two vectors, whichever
program computes it: an item with the target's vector ties with it exactly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch

ROWS, TILE, N_WARPS = 128, 128, 8
CELLS = 1 << 13  # numbers of a tile's vectors at most: two tiles are on the chip at a time
PAIRS, PAIR_WARPS = 64, 4
ENOUGH_PROGRAMS = 2048
# Of a program: both counts of a lane stand in one number of 32 bits.
MOST_TILES = 1 << 15
_SAME = 1 << 16


def count_above(users: Tensor, items: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Count the items of each row whose score is greater than a number, and those equal to it.

    Args:
        users: float32 (B, D), as all vectors in C order and on one CUDA device; D
            of at most 128: a block of users stays on the chip.
        items: (N, D), of any float type.
        bias: float32 (N,), added to scores, or None.
        targets: the number of each row, float32 (B,).

    Returns:
        int32 (2, B): greater, equal.
    """
    (n_users, width), n_items = users.shape, len(items)
    tile = min(TILE, CELLS // _size(width))
    n_blocks, n_tiles = triton.cdiv(n_users, ROWS), triton.cdiv(n_items, tile)
    n_parts = min(n_tiles, triton.cdiv(ENOUGH_PROGRAMS, n_blocks))
    n_parts = max(n_parts, triton.cdiv(n_tiles, MOST_TILES))
    counts = torch.zeros((2, n_users), dtype=torch.int32, device=users.device)
    launch(
        _count,
        (n_blocks, n_parts),
        users,
        items,
        users if bias is None else bias,
        targets,
        counts,
        n_users,
        n_items,
        triton.cdiv(n_tiles, n_parts) * tile,
        width,
        HAS_BIAS=bias is not None,
        SIZE=_size(width),
        ROWS=ROWS,
        TILE=tile,
        SAME=_SAME,
        num_warps=N_WARPS,
        num_stages=2,
    )
    return counts


def row_scores(
    users: Tensor, items: Tensor, bias: Tensor | None, offsets: Tensor, columns: Tensor
) -> Tensor:
    """Score some items of each row, as `count_above` does, to the last bit.

    Args:
        users: as for `count_above`, like items and bias.
        items: (N, D).
        bias: float32 (N,) or None.
        offsets: where the items of each row begin, int64 (B + 1,).
        columns: the items, int64 (n,), in 0..N-1.

    Returns:
        float32 (n,).
    """
    scores = users.new_empty(len(columns))
    if len(columns) == 0:
        return scores
    width = users.shape[1]
    # Where there are few rows, each may list a whole catalogue.
    n_parts = triton.cdiv(ENOUGH_PROGRAMS, len(users))
    launch(
        _score_rows,
        (len(users), n_parts),
        users,
        items,
        users if bias is None else bias,
        offsets,
        columns,
        scores,
        n_parts,
        width,
        HAS_BIAS=bias is not None,
        SIZE=_size(width),
        PAIRS=PAIRS,
        num_warps=PAIR_WARPS,
    )
    return scores


def _size(width: int) -> int:
    return max(16, int(triton.next_power_of_2(width)))


@triton.jit(do_not_specialize=["n_users", "n_items", "n_per_program"])
def _count(
    users,
    items,
    bias,
    targets,
    counts,
    n_users,
    n_items,
    n_per_program,
    width,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
    SAME: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    begin = tl.program_id(1).to(tl.int64) * n_per_program
    end = tl.minimum(begin + n_per_program, n_items)
    d = tl.arange(0, SIZE)
    is_row = row < n_users
    keep = is_row[:, None] & (d < width)[None, :]
    user = tl.load(users + row[:, None] * width + d[None, :], mask=keep, other=0.0)
    target = tl.load(targets + row, mask=is_row, other=0.0)
    tally = tl.zeros([ROWS, TILE], dtype=tl.int32)
    for first in range(begin, end, TILE):
        item = first + tl.arange(0, TILE)
        is_item = item < end
        there = is_item[None, :] & (d < width)[:, None]
        vector = tl.load(items + item[None, :] * width + d[:, None], mask=there, other=0.0)
        score = tl.dot(user, vector.to(tl.float32), input_precision="ieee")
        # Behind the last item there is none that is greater, and none that is equal. This stands
        # between product and bias: next to each other, the compiler begins the sum with the bias.
        score = tl.where(is_item[None, :], score, float("-inf"))
        if HAS_BIAS:
            score += tl.load(bias + item, mask=is_item, other=0.0)[None, :]
        tally += tl.where(score > target[:, None], 1, 0)
        tally += tl.where(score == target[:, None], SAME, 0)
    above = tl.sum(tally & (SAME - 1), axis=1)
    same = tl.sum(tally // SAME, axis=1)
    tl.atomic_add(counts + row, above, mask=is_row, sem="relaxed")
    tl.atomic_add(counts + n_users + row, same, mask=is_row, sem="relaxed")


@triton.jit(do_not_specialize=["n_parts"])
def _score_rows(
    users,
    items,
    bias,
    offsets,
    columns,
    scores,
    n_parts,
    width,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    PAIRS: tl.constexpr,
):
    # The row stands 16 times in a product, the least that a product has; the first is wanted.
    row = tl.program_id(0).to(tl.int64)
    begin = tl.load(offsets + row) + tl.program_id(1) * PAIRS
    end = tl.load(offsets + row + 1)
    same = tl.arange(0, 16)
    d = tl.arange(0, SIZE)
    keep = (same[:, None] < 16) & (d < width)[None, :]
    user = tl.load(users + row * width + 0 * same[:, None] + d[None, :], mask=keep, other=0.0)
    for first in range(begin, end, n_parts * PAIRS):
        pair = first + tl.arange(0, PAIRS)
        inside = pair < end
        item = tl.load(columns + pair, mask=inside, other=0)
        there = inside[None, :] & (d < width)[:, None]
        vector = tl.load(items + item[None, :] * width + d[:, None], mask=there, other=0.0)
        score = tl.dot(user, vector.to(tl.float32), input_precision="ieee")
        score = tl.sum(tl.where(same[:, None] == 0, score, 0.0), axis=0)
        if HAS_BIAS:
            score += tl.load(bias + item, mask=inside, other=0.0)
        tl.store(scores + pair, score, mask=inside)
