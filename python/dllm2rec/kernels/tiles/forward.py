"""One pass over all items: the sums of softmax and DROS, the users' gradient by them, tile maxima.

A program takes a block of rows and a range of items, as attention does: the user's gradient is an
average of item vectors, and each tile that outweighs those before it scales down what they left.
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
    HIGHEST_FIELD,
    HIGHEST_POWER,
    LOG2_E,
    ONE_AGAIN,
    Halves,
    cut,
    dro_field,
    high_half,
    low_half,
    product,
    ratio_of,
    scale_from,
)
from dllm2rec.kernels.tiles.shape import Shape

LN_2 = math.log(2.0)
LOWEST_ERROR = tl.constexpr(-1e30)  # its square is no float32


class Sums(NamedTuple):
    """What each of S ranges of items adds up to.

    Attributes:
        log_z: log of the softmax's sum, (S, B), or None where there is none.
        mean_z: the average of the items' vectors by its terms, (S, B, D), or None.
        log_d: log of the DROS sum, (S, B) float64, or None where there is none.
        mean_d: the average, by its terms, of the vectors times the exponent's slope, or None.
        best: the highest score of each tile, (B, n_tiles), or None where nothing is counted.
    """

    log_z: Tensor | None
    mean_z: Tensor | None
    log_d: Tensor | None
    mean_d: Tensor | None
    best: Tensor | None


def sums(
    users: Halves,
    matrix: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    moved: Entries | None,
    targets: Entries | None,
    inputs: TermInputs,
    work: tuple[TermSpec, Shape],
) -> Sums:
    """Go through all items once.

    Args:
        users: (B, D).
        matrix: item vectors, at least N, contiguous.
        scales: of users and of the matrix, what takes both back, and the largest `dro_slope`, (4,).
        bias: (N,) or None.
        moved: what the window's items score more, or None.
        targets: what the targets' errors are less, -1 each, or None without DROS.
        inputs: of the batch.
        work: which terms there are, and how the work is cut.
    """
    spec, shape = work
    (n_rows, size), n_items = users.high.shape, inputs.n_items
    n_tiles = triton.cdiv(n_items, shape.columns)
    best = matrix.new_empty(n_rows, n_tiles) if spec.counts else None
    found = []
    for first in range(0, n_tiles, shape.tiles_at_once):
        tiles = range(first, min(first + shape.tiles_at_once, n_tiles))
        vectors = matrix[tiles.start * shape.columns : min(tiles.stop * shape.columns, n_items)]
        halves = cut(vectors, scales[1], shape.halves)
        n_ranges, tiles_each = shape.ranges(n_rows, len(tiles))
        shares = [
            matrix.new_empty(n_ranges, n_rows) if spec.sums_all else None,
            matrix.new_empty(n_ranges, n_rows, size) if spec.sums_all else None,
            matrix.new_empty(n_ranges, n_rows, dtype=torch.float64) if targets else None,
            matrix.new_empty(n_ranges, n_rows, size) if targets else None,
        ]
        launch(
            _sums,
            (triton.cdiv(n_rows, shape.rows), n_ranges),
            *users,
            *halves,
            scales,
            scales if bias is None else bias,
            inputs.dro_slope,
            scales if inputs.in_softmax is None else inputs.in_softmax,
            *((scales,) * 3 if moved is None else moved),
            *((scales,) * 3 if targets is None else targets),
            *(scales if share is None else share for share in shares),
            scales if best is None else best,
            n_rows,
            n_items,
            n_tiles,
            tiles.start,
            tiles.stop,
            tiles_each,
            HAS_BIAS=bias is not None,
            MOVED=moved is not None,
            SOFTMAX=spec.sums_all,
            MASKED=inputs.in_softmax is not None,
            DRO=targets is not None,
            COUNTED=spec.counts,
            SIZE=size,
            **shape.constants,
        )
        found.append(shares)
    log_z, mean_z, log_d, mean_d = (
        None if parts[0] is None else torch.cat([part for part in parts if part is not None])
        for parts in zip(*found, strict=True)
    )
    return Sums(log_z, mean_z, None if log_d is None else log_d * LN_2, mean_d, best)


@triton.jit(do_not_specialize=["n_rows", "first_tile", "last_tile"])
def _sums(
    users_high,
    users_low,
    matrix_high,
    matrix_low,
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
    log_z,
    mean_z,
    log_d,
    mean_d,
    best,
    n_rows,
    n_items,
    n_tiles,
    first_tile,
    last_tile,
    tiles_each,
    HAS_BIAS: tl.constexpr,
    MOVED: tl.constexpr,
    SOFTMAX: tl.constexpr,
    MASKED: tl.constexpr,
    DRO: tl.constexpr,
    COUNTED: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HALVES: tl.constexpr,
):
    block = tl.program_id(0)
    part = tl.program_id(1)
    row_lane = tl.arange(0, ROWS)
    column_lane = tl.arange(0, COLUMNS)
    d = tl.arange(0, SIZE)
    row = (block * ROWS + row_lane).to(tl.int64)
    there = row < n_rows
    matrix_scale = tl.load(scales + 1)
    back = tl.load(scales + 2)
    heaviest = tl.load(scales + 3) * LOG2_E
    at_row = row[:, None] * SIZE + d[None, :]
    user_high = tl.load(users_high + at_row, mask=there[:, None], other=0.0)
    user_low = user_high
    if HALVES == 2:
        user_low = tl.load(users_low + at_row, mask=there[:, None], other=0.0)
    highest_z = tl.full([ROWS], float("-inf"), dtype=tl.float32)
    total_z = tl.zeros([ROWS], dtype=tl.float32)
    vector_z = tl.zeros([ROWS, SIZE], dtype=tl.float32)
    highest_d = tl.full([ROWS], float("-inf"), dtype=tl.float32)
    total_d = tl.zeros([ROWS], dtype=tl.float32)
    vector_d = tl.zeros([ROWS, SIZE], dtype=tl.float32)
    begin = first_tile + part * tiles_each
    end = tl.minimum(begin + tiles_each, last_tile)
    last_item = tl.minimum(end * COLUMNS, n_items)
    # A tile is read while the one before it is worked on: loops inside this one keep the compiler
    # from arranging that.
    at_item = ((begin - first_tile) * COLUMNS + column_lane)[:, None] * SIZE + d[None, :]
    is_item = ((begin * COLUMNS + column_lane) < n_items)[:, None]
    next_high = tl.load(matrix_high + at_item, mask=is_item, other=0.0)
    next_low = next_high
    if HALVES == 2:
        next_low = tl.load(matrix_low + at_item, mask=is_item, other=0.0)
    n_starts = n_tiles + 1
    for tile in range(begin, end):
        # Asked for ahead of the product, so that no program waits for them.
        if MOVED:
            moved_begin, moved_end = entries_at(moved_starts, block, tile, n_starts)
        if DRO:
            target_begin, target_end = entries_at(target_starts, block, tile, n_starts)
        item = (tile * COLUMNS + column_lane).to(tl.int64)
        inside = item < n_items
        high, low = next_high, next_low
        at_item += COLUMNS * SIZE
        is_item = (item + COLUMNS < last_item)[:, None]
        next_high = tl.load(matrix_high + at_item, mask=is_item, other=0.0)
        next_low = next_high
        if HALVES == 2:
            next_low = tl.load(matrix_low + at_item, mask=is_item, other=0.0)
        added = tl.where(inside, 0.0, float("-inf"))
        if HAS_BIAS:
            added = tl.load(bias + item, mask=inside, other=float("-inf"))
        score = product(user_high, user_low, tl.trans(high), tl.trans(low), HALVES)
        score = score * back + added[None, :]
        if MOVED:
            score = add_entries(
                score,
                moved_keys,
                moved_values,
                moved_begin,
                moved_end,
                tile,
                row_lane[:, None],
                column_lane[None, :],
                ROWS,
                COLUMNS,
            )
        if COUNTED:
            tl.store(best + row * n_tiles + tile, tl.max(score, axis=1), mask=there)
        if SOFTMAX:
            counted = score
            if MASKED:
                keep = tl.load(in_softmax + item, mask=inside, other=0) != 0
                counted = score + tl.where(keep, 0.0, float("-inf"))[None, :]
            top = tl.maximum(highest_z, tl.max(counted, axis=1))
            safe = tl.where(top == float("-inf"), 0.0, top)
            share = tl.exp2(counted * LOG2_E - (safe * LOG2_E - HIGHEST_POWER)[:, None])
            fading = tl.exp2((highest_z - safe) * LOG2_E)
            total_z = total_z * fading + tl.sum(share, axis=1)
            share_high = high_half(share)
            share_low = low_half(share, share_high, HALVES)
            vector_z = vector_z * fading[:, None]
            vector_z += product(share_high, share_low, high, low, HALVES)
            highest_z = top
        if DRO:
            # No item beyond the last gets a share: -1 times the square of what stands for -inf.
            weight = tl.load(dro_slope + item, mask=inside, other=0.0) * LOG2_E
            weight = tl.where(inside, weight, -1.0)[None, :]
            error = add_entries(
                tl.maximum(score, LOWEST_ERROR, propagate_nan=tl.PropagateNan.ALL),
                target_keys,
                target_values,
                target_begin,
                target_end,
                tile,
                row_lane[:, None],
                column_lane[None, :],
                ROWS,
                COLUMNS,
            )
            slope = weight * error  # half the exponent's, both for powers of two
            exponent = slope * error
            top = tl.maximum(highest_d, tl.max(exponent, axis=1))
            # The slope times the share is at most sqrt(w top): so far it is scaled.
            before = dro_field(heaviest, highest_d)
            field = dro_field(heaviest, top)
            power = (-field + HIGHEST_FIELD - 127).to(tl.float32)
            share = tl.exp2(exponent - (top - power)[:, None])
            fading = tl.exp2(highest_d - top) * ratio_of(before, field)
            total_d = total_d * fading + tl.sum(share, axis=1)
            slope *= share
            slope_high = high_half(slope)
            slope_low = low_half(slope, slope_high, HALVES)
            vector_d = vector_d * fading[:, None]
            vector_d += product(slope_high, slope_low, high, low, HALVES)
            highest_d = top
    out = part.to(tl.int64) * n_rows + row
    at_out = out[:, None] * SIZE + d[None, :]
    if SOFTMAX:
        some = tl.where(total_z == 0.0, 1.0, total_z)
        tl.store(mean_z + at_out, vector_z / (some * matrix_scale)[:, None], mask=there[:, None])
        safe = tl.where(highest_z == float("-inf"), 0.0, highest_z)
        tl.store(log_z + out, safe + tl.log(total_z * ONE_AGAIN), mask=there)
    if DRO:
        whole = total_d * matrix_scale * (0.5 * LOG2_E)
        tl.store(mean_d + at_out, vector_d / whole[:, None], mask=there[:, None])
        rest = tl.log2(total_d / scale_from(dro_field(heaviest, highest_d)))
        tl.store(log_d + out, rest.to(tl.float64) + highest_d, mask=there)
