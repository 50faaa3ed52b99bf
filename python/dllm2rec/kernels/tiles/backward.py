"""The items' gradient: scores made again, tile by tile, each item's gradient summed on the chip.

A program takes a tile of items and goes through all rows in order, so the sums repeat bit for bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch
from dllm2rec.kernels.tiles.entries import Entries, add_entries, entries_at
from dllm2rec.kernels.tiles.halves import (
    LOG2_E,
    Halves,
    field_of,
    high_half,
    low_half,
    product,
    ratio_of,
    scale_from,
)
from dllm2rec.kernels.tiles.shape import Shape

INVERSE_LN_2 = 1.0 / math.log(2.0)


class Cells(NamedTuple):
    """Single cells of the matrix rows x items.

    Attributes:
        moved: what the window's items score more, or None.
        targets: what the targets' errors are less, or None without DROS.
        direct: what flows to single scores past the two sums.
    """

    moved: Entries | None
    targets: Entries | None
    direct: Entries


def to_items(
    users: Halves,
    matrix: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    cells: Cells,
    statistics: tuple[Tensor, Tensor, Tensor],
    inputs: TermInputs,
    work: tuple[TermSpec, Shape],
) -> tuple[Tensor, Tensor | None]:
    """Make the gradients of the items' vectors, as many as `matrix` has, and of their biases.

    Args:
        users: as in `forward.sums`.
        matrix: as there.
        scales: as there.
        bias: as there.
        cells: of the rows' few items.
        statistics: log of the softmax's and of the DROS sum, (B,), the second in float64; and what
            flows to each term, (n_terms, B).
        inputs: of the batch.
        work: which terms there are, and how the work is cut.
    """
    spec, shape = work
    (n_rows, size), n_items = users.high.shape, inputs.n_items
    n_tiles = triton.cdiv(n_items, shape.columns)
    to_matrix = torch.empty_like(matrix) if inputs.to_matrix is None else inputs.to_matrix
    to_matrix[n_items:].zero_()
    to_bias = None if bias is None else torch.empty_like(bias)
    nothing = (scales,) * 3
    launch(
        _to_items,
        (n_tiles,),
        *users,
        matrix,
        scales,
        scales if bias is None else bias,
        inputs.dro_slope,
        scales if inputs.in_softmax is None else inputs.in_softmax,
        *(cells.moved or nothing),
        *(cells.targets or nothing),
        *cells.direct,
        _of_rows(*statistics, spec),
        to_matrix,
        scales if to_bias is None else to_bias,
        n_rows,
        n_items,
        n_tiles,
        HAS_BIAS=bias is not None,
        MOVED=cells.moved is not None,
        SOFTMAX=spec.sums_all,
        MASKED=inputs.in_softmax is not None,
        DRO=cells.targets is not None,
        SIZE=size,
        **shape.constants,
    )
    return to_matrix, to_bias


def _of_rows(log_z: Tensor, log_d: Tensor, grad: Tensor, spec: TermSpec) -> Tensor:
    """What the kernel reads of each row, (5, B), for exponents of two.

    The softmax's log, what flows to its term and what to DROS, half an exponent's slope being 1;
    and the log of DROS in two numbers, as two float32 hold more of it than one.
    """
    nothing = torch.zeros_like(grad[0])
    z = log_z * INVERSE_LN_2 if spec.sums_all else nothing
    by_dro, nearest, rest = nothing, nothing, nothing
    if spec.dro_weight > 0:
        by_dro = grad[1] * (2.0 / INVERSE_LN_2 * spec.dro_weight)
        wide = log_d * INVERSE_LN_2
        nearest = wide.to(grad.dtype)
        rest = (wide - nearest).to(grad.dtype)
    return torch.stack([z, grad[0], by_dro, nearest, rest])


@triton.jit(do_not_specialize=["n_rows"])
def _to_items(
    users_high,
    users_low,
    matrix,
    scales,
    bias,
    dro_slope,
    in_softmax,
    moved_keys,
    moved_values,
    moved_starts,
    target_keys,
    target_values,
    target_starts,
    direct_keys,
    direct_values,
    direct_starts,
    of_rows,
    to_matrix,
    to_bias,
    n_rows,
    n_items,
    n_tiles,
    HAS_BIAS: tl.constexpr,
    MOVED: tl.constexpr,
    SOFTMAX: tl.constexpr,
    MASKED: tl.constexpr,
    DRO: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HALVES: tl.constexpr,
):
    tile = tl.program_id(0)
    row_lane = tl.arange(0, ROWS)
    column_lane = tl.arange(0, COLUMNS)
    d = tl.arange(0, SIZE)
    item = (tile * COLUMNS + column_lane).to(tl.int64)
    inside = item < n_items
    users_scale = tl.load(scales)
    matrix_scale = tl.load(scales + 1)
    back = tl.load(scales + 2)
    at_item = item[:, None] * SIZE + d[None, :]
    vectors = tl.load(matrix + at_item, mask=inside[:, None], other=0.0) * matrix_scale
    high = high_half(vectors)
    low = low_half(vectors, high, HALVES)
    added = tl.zeros([COLUMNS], dtype=tl.float32)
    if HAS_BIAS:
        added = tl.load(bias + item, mask=inside, other=0.0)
    never = tl.zeros([COLUMNS], dtype=tl.float32)
    if MASKED:
        counted = tl.load(in_softmax + item, mask=inside, other=0) != 0
        never = tl.where(counted, 0.0, float("-inf"))
    weight = tl.zeros([COLUMNS], dtype=tl.float32)
    if DRO:
        weight = tl.load(dro_slope + item, mask=inside, other=0.0) * LOG2_E
    total = tl.zeros([COLUMNS, SIZE], dtype=tl.float32)
    total_bias = tl.zeros([COLUMNS], dtype=tl.float32)
    field = tl.full([COLUMNS], 1, dtype=tl.int32)
    # As in the forward pass, a block is read while the one before it is worked on.
    at_row = row_lane[:, None] * SIZE + d[None, :]
    is_row = (row_lane < n_rows)[:, None]
    next_high = tl.load(users_high + at_row, mask=is_row, other=0.0)
    next_low = next_high
    if HALVES == 2:
        next_low = tl.load(users_low + at_row, mask=is_row, other=0.0)
    n_blocks, n_starts = tl.cdiv(n_rows, ROWS), n_tiles + 1
    for block in range(n_blocks):
        # Asked for ahead of the product, so that no program waits for them.
        direct_begin, direct_end = entries_at(direct_starts, block, tile, n_starts)
        if MOVED:
            moved_begin, moved_end = entries_at(moved_starts, block, tile, n_starts)
        if DRO:
            target_begin, target_end = entries_at(target_starts, block, tile, n_starts)
        row = (block * ROWS + row_lane).to(tl.int64)
        there = row < n_rows
        user_high, user_low = next_high, next_low
        at_row += ROWS * SIZE
        is_row = (row + ROWS < n_rows)[:, None]
        next_high = tl.load(users_high + at_row, mask=is_row, other=0.0)
        next_low = next_high
        if HALVES == 2:
            next_low = tl.load(users_low + at_row, mask=is_row, other=0.0)
        score = product(high, low, tl.trans(user_high), tl.trans(user_low), HALVES)
        score = score * back + added[:, None]
        if MOVED:
            score = add_entries(
                score,
                moved_keys,
                moved_values,
                moved_begin,
                moved_end,
                tile,
                row_lane[None, :],
                column_lane[:, None],
                ROWS,
                COLUMNS,
            )
        if SOFTMAX:
            z = tl.load(of_rows + row, mask=there, other=0.0)
            if MASKED:
                share = tl.exp2(score * LOG2_E + (never[:, None] - z[None, :]))
            else:
                share = tl.exp2(score * LOG2_E - z[None, :])
            slope = tl.load(of_rows + n_rows + row, mask=there, other=0.0)[None, :] * share
        if DRO:
            error = add_entries(
                score,
                target_keys,
                target_values,
                target_begin,
                target_end,
                tile,
                row_lane[None, :],
                column_lane[:, None],
                ROWS,
                COLUMNS,
            )
            by_dro = tl.load(of_rows + 2 * n_rows + row, mask=there, other=0.0)
            nearest = tl.load(of_rows + 3 * n_rows + row, mask=there, other=0.0)
            half = weight[:, None] * error  # of the exponent's slope, both for powers of two
            below = half * error - nearest[None, :]
            if HALVES == 2:
                rest = tl.load(of_rows + 4 * n_rows + row, mask=there, other=0.0)
                below -= rest[None, :]
            by_share = half * tl.exp2(tl.minimum(below, 0.0))
            if SOFTMAX:
                slope += by_dro[None, :] * by_share
            else:
                slope = by_dro[None, :] * by_share
        slope = add_entries(
            slope,
            direct_keys,
            direct_values,
            direct_begin,
            direct_end,
            tile,
            row_lane[None, :],
            column_lane[:, None],
            ROWS,
            COLUMNS,
        )
        if HAS_BIAS:
            total_bias += tl.sum(slope, axis=1)
        higher = tl.maximum(field, field_of(tl.max(tl.abs(slope), axis=1)))
        slope = slope * scale_from(higher)[:, None]
        slope_high = high_half(slope)
        slope_low = low_half(slope, slope_high, HALVES)
        total = total * ratio_of(field, higher)[:, None]
        total += product(slope_high, slope_low, user_high, user_low, HALVES)
        field = higher
    total = total / (scale_from(field) * users_scale)[:, None]
    tl.store(to_matrix + at_item, total, mask=inside[:, None])
    if HAS_BIAS:
        tl.store(to_bias + item, total_bias, mask=inside)
