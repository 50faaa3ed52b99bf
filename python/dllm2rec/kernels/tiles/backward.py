"""The items' gradient: scores made again, tile by tile, each item's gradient summed on the chip.

A program takes a tile of items and goes through all rows in order, so the sums repeat bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch
from dllm2rec.kernels.tiles.entries import Entries, add_entries
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
    to_matrix = torch.empty_like(matrix)
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
        *statistics,
        to_matrix,
        scales if to_bias is None else to_bias,
        n_rows,
        n_items,
        n_tiles,
        cells.moved.keys.shape[1] if cells.moved else 0,
        cells.targets.keys.shape[1] if cells.targets else 0,
        cells.direct.keys.shape[1],
        spec.dro_weight,
        HAS_BIAS=bias is not None,
        MOVED=cells.moved is not None,
        SOFTMAX=spec.sums_all,
        MASKED=inputs.in_softmax is not None,
        DRO=cells.targets is not None,
        SIZE=size,
        ROWS=shape.rows,
        COLUMNS=shape.columns,
        HALVES=shape.halves,
        num_warps=shape.warps,
        num_stages=shape.stages,
    )
    return to_matrix, to_bias


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
    log_z,
    log_d,
    grad,
    to_matrix,
    to_bias,
    n_rows,
    n_items,
    n_tiles,
    n_moved,
    n_targets,
    n_direct,
    dro_weight,
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
    low = high
    if HALVES == 2:
        low = low_half(vectors, high)
    added = tl.zeros([COLUMNS], dtype=tl.float32)
    if HAS_BIAS:
        added = tl.load(bias + item, mask=inside, other=0.0)
    counted = inside
    if MASKED:
        counted = tl.load(in_softmax + item, mask=inside, other=0) != 0
    never = tl.where(counted, 0.0, float("-inf"))
    weight = tl.zeros([COLUMNS], dtype=tl.float32)
    if DRO:
        weight = tl.load(dro_slope + item, mask=inside, other=0.0)
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
    for block in range(tl.cdiv(n_rows, ROWS)):
        row = (block * ROWS + row_lane).to(tl.int64)
        there = row < n_rows
        user_high = next_high
        user_low = next_low
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
                moved_starts,
                block,
                tile,
                row_lane[None, :],
                column_lane[:, None],
                n_moved,
                n_tiles + 1,
                ROWS,
                COLUMNS,
            )
        slope = score * 0.0  # a score that is not finite makes a gradient that is not
        if SOFTMAX:
            z = tl.load(log_z + row, mask=there, other=0.0) * LOG2_E
            by_base = tl.load(grad + row, mask=there, other=0.0)
            share = tl.exp2(score * LOG2_E + (never[:, None] - z[None, :]))
            slope += by_base[None, :] * share
        if DRO:
            error = add_entries(
                score,
                target_keys,
                target_values,
                target_starts,
                block,
                tile,
                row_lane[None, :],
                column_lane[:, None],
                n_targets,
                n_tiles + 1,
                ROWS,
                COLUMNS,
            )
            wide = tl.load(log_d + row, mask=there, other=0.0)
            by_dro = dro_weight * tl.load(grad + n_rows + row, mask=there, other=0.0)
            nearest = wide.to(tl.float32)
            below_nearest = (wide - nearest.to(tl.float64)).to(tl.float32)
            # Where it is, so that no compiler joins the product with what is taken from it.
            exponent = tl.where(inside[:, None], weight[:, None] * (error * error), 0.0)
            below = (exponent - nearest[None, :]) - below_nearest[None, :]
            share = tl.exp2(tl.minimum(below, 0.0) * LOG2_E)
            slope += (2.0 * weight[:, None] * error) * (by_dro[None, :] * share)
        slope = add_entries(
            slope,
            direct_keys,
            direct_values,
            direct_starts,
            block,
            tile,
            row_lane[None, :],
            column_lane[:, None],
            n_direct,
            n_tiles + 1,
            ROWS,
            COLUMNS,
        )
        if HAS_BIAS:
            total_bias += tl.sum(slope, axis=1)
        higher = tl.maximum(field, field_of(tl.max(tl.abs(slope), axis=1)))
        slope = slope * scale_from(higher)[:, None]
        slope_high = high_half(slope)
        slope_low = slope_high
        if HALVES == 2:
            slope_low = low_half(slope, slope_high)
        total = total * ratio_of(field, higher)[:, None]
        total += product(slope_high, slope_low, user_high, user_low, HALVES)
        field = higher
    total = total / (scale_from(field) * users_scale)[:, None]
    tl.store(to_matrix + at_item, total, mask=inside[:, None])
    if HAS_BIAS:
        tl.store(to_bias + item, total_bias, mask=inside)
