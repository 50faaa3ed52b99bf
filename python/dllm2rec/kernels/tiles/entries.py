"""Single cells of the matrix rows x items, put in the order in which tiles of it are visited.

A window's item has a score of its own, a listed one a slope of its own: a few cells of a row, among
a million. Sorted by block of rows and tile of items, each tile walks through its own alone.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch
from dllm2rec.kernels.tiles.shape import Shape

AT_ONCE = 1024  # cells or tiles that one program takes


class Entries(NamedTuple):
    """The cells, block by block of rows, E a block.

    Attributes:
        keys: item x ROWS + row in its block, rising, (n_blocks, E) int64.
        values: what is added at the cell, (n_blocks, E) float32.
        starts: where those of each tile begin, in all blocks' one after the other,
            (n_blocks, n_tiles + 1) int64.
    """

    keys: Tensor
    values: Tensor
    starts: Tensor


def entries_of(items: Tensor, values: Tensor, n_items: int, shape: Shape, *, once: bool) -> Entries:
    """Sort the cells.

    Args:
        items: of each row, (B, C) int64; `n_items` and above stand for none.
        values: (B, C) float32, or one of all, ().
        n_items: N.
        shape: blocks of rows and tiles of items.
        once: an item that a row names twice counts once; else both are added.
    """
    n_rows, n_cells = items.shape
    n_blocks, n_tiles = triton.cdiv(n_rows, shape.rows), triton.cdiv(n_items, shape.columns)
    size = shape.rows * n_cells
    keys = items.new_empty(n_blocks, size)
    grid = (n_blocks, triton.cdiv(size, AT_ONCE))
    sizes = (n_rows, n_cells, size)
    launch(_keys, grid, items.contiguous(), keys, *sizes, n_items, ROWS=shape.rows, AT_ONCE=AT_ONCE)
    keys, order = keys.sort(dim=1, stable=True)
    sorted_values = values.new_empty(n_blocks, size)
    constants = {"SHARED": values.ndim == 0, "ONCE": once, "ROWS": shape.rows, "AT_ONCE": AT_ONCE}
    launch(_values, grid, values.contiguous(), keys, order, sorted_values, *sizes, **constants)
    starts = items.new_empty(n_blocks, n_tiles + 1)
    launch(
        _starts,
        (n_blocks, triton.cdiv(n_tiles + 1, AT_ONCE)),
        keys,
        starts,
        size,
        n_items,
        n_tiles + 1,
        STEPS=size.bit_length(),
        ROWS=shape.rows,
        COLUMNS=shape.columns,
        AT_ONCE=AT_ONCE,
    )
    return Entries(keys, sorted_values, starts)


@triton.jit(do_not_specialize=["n_rows"])
def _keys(items, keys, n_rows, n_cells, size, n_items, ROWS: tl.constexpr, AT_ONCE: tl.constexpr):
    block = tl.program_id(0)
    cell = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    row = block * ROWS + cell // n_cells
    inside = cell < size
    item = tl.load(
        items + (block * ROWS).to(tl.int64) * n_cells + cell,
        mask=inside & (row < n_rows),
        other=n_items,
    )
    lane = tl.where(item < n_items, cell // n_cells, 0)
    tl.store(
        keys + block.to(tl.int64) * size + cell,
        tl.minimum(item, n_items) * ROWS + lane,
        mask=inside,
    )


@triton.jit(do_not_specialize=["n_rows"])
def _values(
    values,
    keys,
    order,
    sorted_values,
    n_rows,
    n_cells,
    size,
    SHARED: tl.constexpr,
    ONCE: tl.constexpr,
    ROWS: tl.constexpr,
    AT_ONCE: tl.constexpr,
):
    block = tl.program_id(0)
    place = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    at = block.to(tl.int64) * size + place
    inside = place < size
    if SHARED:
        value = tl.load(values + place * 0, mask=inside)
    else:
        cell = tl.load(order + at, mask=inside, other=0)
        there = inside & (block * ROWS + cell // n_cells < n_rows)
        value = tl.load(
            values + (block * ROWS).to(tl.int64) * n_cells + cell, mask=there, other=0.0
        )
    if ONCE:
        before = tl.load(keys + at - 1, mask=inside & (place > 0), other=-1)
        value = tl.where(tl.load(keys + at, mask=inside, other=0) == before, 0.0, value)
    tl.store(sorted_values + at, value, mask=inside)


@triton.jit
def _starts(
    keys,
    starts,
    size,
    n_items,
    n_starts,
    STEPS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    AT_ONCE: tl.constexpr,
):
    """By bisection: the first key that is not below the tile's."""
    block = tl.program_id(0).to(tl.int64)
    tile = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE)
    edge = tl.minimum(tile.to(tl.int64) * COLUMNS, n_items) * ROWS
    low = tl.zeros([AT_ONCE], dtype=tl.int32)
    high = low + size
    for _ in range(STEPS):
        middle = (low + high) // 2
        key = tl.load(keys + block * size + middle, mask=middle < high, other=0)
        is_below = (key < edge) & (middle < high)
        low = tl.where(is_below, middle + 1, low)
        high = tl.where(is_below, high, middle)
    tl.store(starts + block * n_starts + tile, block * size + low, mask=tile < n_starts)


@triton.jit
def entries_at(starts, block, tile, n_starts):
    """Where a tile's entries begin and end."""
    at = starts + block * n_starts + tile
    return tl.load(at), tl.load(at + 1)


@triton.jit
def add_entries(
    cells,
    keys,
    values,
    begin,
    end,
    tile,
    row_lane,
    column_lane,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Add a tile's entries to its cells.

    `row_lane` and `column_lane` are 0 to ROWS - 1 and 0 to COLUMNS - 1 along their axes of `cells`.
    """
    for at in range(begin, end):
        key = tl.load(keys + at)
        row = (key % ROWS).to(tl.int32)
        column = (key // ROWS - tile * COLUMNS).to(tl.int32)
        hit = (row_lane == row) & (column_lane == column)
        cells += tl.where(hit, tl.load(values + at), 0.0)
    return cells
