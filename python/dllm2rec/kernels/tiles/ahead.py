"""How many items are ahead of each listed one, where that may be fewer than K: counted exactly.

A tile whose highest score is above an item's holds one ahead of it at least. K such tiles settle
it; what they do not is counted item by item in the few tiles that may hold one, in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch
from dllm2rec.kernels.tiles.shape import Shape

TILES_AT_ONCE = 1024


def count_ahead(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    best: Tensor,
    margin: Tensor,
    inputs: TermInputs,
    work: tuple[TermSpec, Shape],
) -> Tensor:
    """Count them, (1, B, K) int32; any number from `top_k` on stands for that many or more.

    Args:
        users: (B, D), contiguous.
        matrix: item vectors, contiguous.
        bias: (N,) or None.
        offset: what window items score more, () or None.
        best: the highest score of each tile, (B, n_tiles).
        margin: how far a score of `best` may be from float32's, at most, (B,).
        inputs: of the batch.
        work: which terms there are, and the tiles that `best` is of.
    """
    spec, shape = work
    (n_rows, size), n_listed = users.shape, inputs.items.shape[1]
    first = 1 + spec.n_negatives
    n_candidates = n_listed - first
    ahead = torch.empty((1, n_rows, n_candidates), dtype=torch.int32, device=users.device)
    length = inputs.windows.shape[1]
    launch(
        _count_ahead,
        (n_rows, n_candidates),
        users,
        matrix,
        users if bias is None else bias,
        users if offset is None else offset,
        best,
        margin,
        inputs.items,
        inputs.windows,
        ahead,
        inputs.n_items,
        best.shape[1],
        n_listed,
        first,
        length,
        spec.top_k,
        HAS_BIAS=bias is not None,
        HAS_OFFSET=offset is not None,
        SIZE=size,
        LENGTH=triton.next_power_of_2(length),
        COLUMNS=shape.columns,
        TILES=TILES_AT_ONCE,
        num_warps=4,
    )
    return ahead


@triton.jit
def _tile_scores(
    user,
    matrix,
    bias,
    offset,
    window,
    tile,
    n_items,
    HAS_BIAS: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    SIZE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    d = tl.arange(0, SIZE)
    item = (tile * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)
    inside = item < n_items
    vectors = tl.load(matrix + item[:, None] * SIZE + d[None, :], mask=inside[:, None], other=0.0)
    score = tl.sum(vectors * user[None, :], axis=1)
    if HAS_BIAS:
        score += tl.load(bias + item, mask=inside, other=0.0)
    if HAS_OFFSET:
        moved = tl.max((item[:, None] == window[None, :]).to(tl.int32), axis=1)
        score += tl.where(moved > 0, tl.load(offset), 0.0)
    return tl.where(inside, score, float("-inf")), item


@triton.jit(do_not_specialize=["n_tiles"])
def _count_ahead(
    users,
    matrix,
    bias,
    offset,
    best,
    margin,
    items,
    windows,
    ahead,
    n_items,
    n_tiles,
    n_listed,
    first,
    length,
    top_k,
    HAS_BIAS: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    SIZE: tl.constexpr,
    LENGTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    number = tl.program_id(1)
    user = tl.load(users + row * SIZE + tl.arange(0, SIZE))
    place = tl.arange(0, LENGTH)
    window = tl.load(windows + row * length + place, mask=place < length, other=-1)
    own = tl.load(items + row * n_listed + first + number)
    score, item = _tile_scores(
        user,
        matrix,
        bias,
        offset,
        window,
        own // COLUMNS,
        n_items,
        HAS_BIAS,
        HAS_OFFSET,
        SIZE,
        COLUMNS,
    )
    one = tl.sum(tl.where(item == own, score, 0.0), axis=0)
    far = tl.load(margin + row)
    lane = tl.arange(0, TILES)
    count = 0
    for begin in range(0, n_tiles, TILES):
        tile = begin + lane
        top = tl.load(best + row * n_tiles + tile, mask=tile < n_tiles, other=float("-inf"))
        count += tl.sum((top > one + far).to(tl.int32), axis=0)
    if count < top_k:
        count = 0
        for begin in range(0, n_tiles, TILES):
            tile = begin + lane
            top = tl.load(best + row * n_tiles + tile, mask=tile < n_tiles, other=float("-inf"))
            may_hold = (top >= one - far) & (tile < n_tiles)
            left = tl.sum(may_hold.to(tl.int32), axis=0)
            while (left > 0) & (count < top_k):
                at = tl.min(tl.where(may_hold, lane, TILES), axis=0)
                may_hold = may_hold & (lane != at)
                left -= 1
                score, item = _tile_scores(
                    user,
                    matrix,
                    bias,
                    offset,
                    window,
                    begin + at,
                    n_items,
                    HAS_BIAS,
                    HAS_OFFSET,
                    SIZE,
                    COLUMNS,
                )
                is_ahead = (score > one) | ((score == one) & (item < own))
                count += tl.sum((is_ahead & (item < n_items)).to(tl.int32), axis=0)
    n_candidates = n_listed - first
    tl.store(ahead + row * n_candidates + number, count)
