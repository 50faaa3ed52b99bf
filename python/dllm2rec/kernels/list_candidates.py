"""The items of each row that may score at least a bound, found on tensor cores.

Factors are cut to the 11 bits of TF32; what a score may lose by that is added to it, so that no
item of the bound or above is missed. Which of the others are found does not matter: all are scored
again in float32 before they are listed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch

# Few items at a time: most of the work is not the product but what is done where items are found.
ROWS, TILE, N_WARPS, N_STAGES = 64, 32, 4, 5
ENOUGH_PROGRAMS = 2048
# Two factors lose a part of 2**-10 each; the rest is for sums of float32. Of the product of the
# vectors' lengths, above which no sum of products is.
LOST = 2.2e-3


def list_candidates(
    users: Tensor, items: Tensor, bias: Tensor | None, cuts: Tensor, capacity: int
) -> tuple[Tensor, Tensor]:
    """List the items of each row whose score may be at least a number.

    Args:
        users: float32 (B, D), as all vectors in C order and on one CUDA device; D of at most 128.
        items: (N, D), of any float type.
        bias: float32 (N,), added to scores, or None.
        cuts: the number of each row, float32 (B,).
        capacity: how many items a row has room for.

    Returns:
        How many items each row has, int32 (B,), more than `capacity` where they found no room; the
        items int32 (B, capacity), in no order, nothing behind the last.
    """
    (n_users, width), n_items = users.shape, len(items)
    size = max(16, int(triton.next_power_of_2(width)))
    n_blocks, n_tiles = triton.cdiv(n_users, ROWS), triton.cdiv(n_items, TILE)
    n_parts = min(n_tiles, triton.cdiv(ENOUGH_PROGRAMS, max(1, n_blocks)))
    counts = torch.zeros(n_users, dtype=torch.int32, device=users.device)
    found = torch.empty((n_users, capacity), dtype=torch.int32, device=users.device)
    launch(
        _collect,
        (n_blocks, n_parts),
        users,
        items,
        users if bias is None else bias,
        LOST * torch.linalg.vector_norm(users, dim=1),
        torch.linalg.vector_norm(items, dim=1, dtype=torch.float32),
        cuts,
        counts,
        found,
        n_users,
        n_items,
        triton.cdiv(n_tiles, n_parts) * TILE,
        width,
        capacity,
        HAS_BIAS=bias is not None,
        SIZE=size,
        ROWS=ROWS,
        TILE=TILE,
        num_warps=N_WARPS,
        num_stages=N_STAGES,
    )
    return counts, found


@triton.jit(do_not_specialize=["n_users", "n_items", "n_per_program", "capacity"])
def _collect(
    users,
    items,
    bias,
    slacks,
    lengths,
    cuts,
    counts,
    found,
    n_users,
    n_items,
    n_per_program,
    width,
    capacity,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    lane = tl.arange(0, ROWS)
    first_row = tl.program_id(0).to(tl.int64) * ROWS
    row = first_row + lane
    own = found + first_row * capacity
    begin = tl.program_id(1).to(tl.int64) * n_per_program
    end = tl.minimum(begin + n_per_program, n_items)
    d = tl.arange(0, SIZE)
    is_row = row < n_users
    keep = is_row[:, None] & (d < width)[None, :]
    user = tl.load(users + row[:, None] * width + d[None, :], mask=keep, other=0.0)
    cut = tl.load(cuts + row, mask=is_row, other=float("inf"))
    slack = tl.load(slacks + row, mask=is_row, other=0.0)
    for first in range(begin, end, TILE):
        item = first + tl.arange(0, TILE)
        is_item = item < end
        there = is_item[None, :] & (d < width)[:, None]
        vector = tl.load(items + item[None, :] * width + d[:, None], mask=there, other=0.0)
        length = tl.load(lengths + item, mask=is_item, other=0.0)
        score = tl.dot(user, vector.to(tl.float32), input_precision="tf32")
        # Rounding keeps the order of two numbers, so the bias comes last, as in the exact score.
        score += slack[:, None] * length[None, :]
        if HAS_BIAS:
            score += tl.load(bias + item, mask=is_item, other=0.0)[None, :]
        hit = (score >= cut[:, None]) & is_item[None, :] & is_row[:, None]
        n_hits = tl.sum(hit.to(tl.int32), axis=1)
        if tl.max(n_hits) > 0:
            first_place = tl.atomic_add(counts + row, n_hits, mask=is_row, sem="relaxed")
            place = first_place[:, None] + tl.cumsum(hit.to(tl.int32), axis=1) - 1
            # Of 32 bits: many rows with room for a large catalogue are never asked for together.
            where = own + (lane * capacity)[:, None] + place
            number = tl.broadcast_to(item[None, :].to(tl.int32), (ROWS, TILE))
            tl.store(where, number, mask=hit & (place < capacity))
