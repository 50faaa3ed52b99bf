"""Single cells of the matrix rows x items, put in the order in which tiles of it are visited.

A window's item has a score of its own, a listed one a slope of its own: a few cells of a row, among
a million. Sorted by block of rows and tile of items, each tile walks through its own alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.tiles.shape import Shape


class Entries(NamedTuple):
    """The cells, block by block of rows, E a block.

    Attributes:
        keys: item x ROWS + row in its block, rising, (n_blocks, E) int64.
        values: what is added at the cell, (n_blocks, E) float32.
        starts: where the entries of each tile begin, (n_blocks, n_tiles + 1) int32.
    """

    keys: Tensor
    values: Tensor
    starts: Tensor


def entries_of(items: Tensor, values: Tensor, n_items: int, shape: Shape, *, once: bool) -> Entries:
    """Sort the cells.

    Args:
        items: of each row, (B, C) int64; `n_items` and above stand for none.
        values: (B, C) float32.
        n_items: N.
        shape: blocks of rows and tiles of items.
        once: an item that a row names twice counts once; else both are added.
    """
    (n_rows, n_cells), rows, columns = items.shape, shape.rows, shape.columns
    n_blocks = triton.cdiv(n_rows, rows)
    lane = torch.arange(n_rows, device=items.device) % rows
    key = items.clamp(max=n_items) * rows + lane[:, None]
    missing = n_blocks * rows - n_rows
    key = torch.nn.functional.pad(key, (0, 0, 0, missing), value=n_items * rows)
    values = torch.nn.functional.pad(values, (0, 0, 0, missing))
    keys, order = key.view(n_blocks, rows * n_cells).sort(dim=1, stable=True)
    values = values.reshape(n_blocks, rows * n_cells).gather(1, order)
    if once:
        values[:, 1:] = torch.where(keys[:, 1:] == keys[:, :-1], 0.0, values[:, 1:])
    n_tiles = triton.cdiv(n_items, columns)
    edges = torch.arange(n_tiles + 1, device=items.device) * columns
    edges = (edges.clamp(max=n_items) * rows).expand(n_blocks, -1).contiguous()
    return Entries(keys, values, torch.searchsorted(keys, edges, out_int32=True))


@triton.jit
def add_entries(
    cells,
    keys,
    values,
    starts,
    block,
    tile,
    row_lane,
    column_lane,
    n_entries,
    n_starts,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Add a tile's entries to its cells.

    `row_lane` and `column_lane` are 0 to ROWS - 1 and 0 to COLUMNS - 1 along their axes of `cells`.
    """
    begin = tl.load(starts + block * n_starts + tile)
    end = tl.load(starts + block * n_starts + tile + 1)
    for entry in range(begin, end):
        at = block * n_entries + entry
        key = tl.load(keys + at)
        row = (key % ROWS).to(tl.int32)
        column = (key // ROWS - tile * COLUMNS).to(tl.int32)
        hit = (row_lane == row) & (column_lane == column)
        cells += tl.where(hit, tl.load(values + at), 0.0)
    return cells
