"""Sums of vectors by item, the same bits in whatever order a GPU adds them: as whole numbers.

A float is scaled by a power of two so that the largest of all takes as many bits as the number of
addends leaves of 64, and cut. Of one item with 2,048 x 1,024 addends that is 39 bits behind the
largest, where float32 itself has 24.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch

SPARE_BITS = 3  # of the 64, for the sign and for rounding up
SWEPT = 1024  # numbers that one program takes


def add_rows(
    values: Tensor,
    items: Tensor,
    largest: Tensor,
    scatter_buffer: Tensor,
    out: Tensor,
    n_items: int,
) -> None:
    """Add the vectors (L, B, D) of each item to its row of `out`.

    Args:
        values: (L, B, D), D a power of two.
        items: whose they are, (B, L) int64; `n_items` and above are left out.
        largest: the largest size of a value, ().
        scatter_buffer: at least D zeros for each vector or, where that is less, for each item and
            one more, int64; zero again afterwards.
        out: (n_items.., D).
        n_items: N.
    """
    length, n_rows, size = values.shape
    # Of all items, or of those alone that are named: an item's place is that of its first mention.
    has_all = scatter_buffer.numel() >= (n_items + 1) * size
    places = items if has_all else torch.searchsorted(items.flatten().sort().values, items)
    for kernel in (_add_rows, _take_rows):
        launch(
            kernel,
            (n_rows,),
            values,
            items,
            places,
            largest,
            scatter_buffer,
            out,
            n_items,
            length,
            bits_of(n_rows * length),
            SIZE=size,
            PLACES=triton.next_power_of_2(length),
            num_warps=4,
        )


def take_all(scatter_buffer: Tensor, out: Tensor, largest: Tensor, n_addends: int) -> None:
    """Write all sums to `out`, as many as it has, leaving 0."""
    size = out.numel()
    grid = (triton.cdiv(size, SWEPT),)
    launch(_take_all, grid, scatter_buffer, out, largest, size, bits_of(n_addends), SWEPT=SWEPT)


def bits_of(n_addends: int) -> float:
    """How many bits the largest of so many addends may take."""
    return float(63 - SPARE_BITS - n_addends.bit_length())


@triton.jit
def scale_of(largest, bits):
    """A power of two that brings the largest value to `bits` bits."""
    safe = tl.where((largest > 1e-30) & (largest < 1e30), largest, 1.0)
    power = bits - tl.ceil(tl.log2(safe))
    half = tl.floor(power * 0.5)  # the whole may be too large for a float32
    return tl.exp2(half).to(tl.float64) * tl.exp2(power - half).to(tl.float64)


@triton.jit
def _add_rows(
    values,
    items,
    places,
    largest,
    scatter_buffer,
    out,
    n_items,
    length,
    bits,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    item = tl.load(items + row * length + place, mask=place < length, other=n_items)
    top = tl.load(largest)
    counted = tl.where(top < 1e30, n_items, 0)  # none where a value is no number
    keep = (item < counted)[:, None] & (d < SIZE)[None, :]
    n_rows = tl.num_programs(0).to(tl.int64)
    at = (place[:, None] * n_rows + row) * SIZE + d[None, :]
    value = tl.load(values + at, mask=keep, other=0.0)
    whole = (value.to(tl.float64) * scale_of(top, bits)).to(tl.int64)
    own = tl.load(places + row * length + place, mask=place < length, other=0)
    tl.atomic_add(scatter_buffer + own[:, None] * SIZE + d[None, :], whole, mask=keep)


@triton.jit
def _take_rows(
    values,
    items,
    places,
    largest,
    scatter_buffer,
    out,
    n_items,
    length,
    bits,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    item = tl.load(items + row * length + place, mask=place < length, other=n_items)
    top = tl.load(largest)
    keep = (item < n_items)[:, None] & (d < SIZE)[None, :]
    at = item[:, None] * SIZE + d[None, :]
    own = tl.load(places + row * length + place, mask=place < length, other=0)
    held = scatter_buffer + own[:, None] * SIZE + d[None, :]
    # Of all places of an item, whoever comes first takes the sum and leaves 0 to the others.
    whole = tl.atomic_xchg(held, tl.zeros([PLACES, SIZE], dtype=tl.int64), mask=keep)
    value = (whole.to(tl.float64) / scale_of(top, bits)).to(tl.float32)
    value += tl.where(top < 1e30, 0.0, float("nan"))
    mine = keep & ((whole != 0) | (value != value))
    before = tl.load(out + at, mask=mine, other=0.0)
    tl.store(out + at, before + value, mask=mine)


@triton.jit
def _take_all(scatter_buffer, out, largest, size, bits, SWEPT: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * SWEPT + tl.arange(0, SWEPT)
    inside = at < size
    top = tl.load(largest)
    whole = tl.load(scatter_buffer + at, mask=inside, other=0)
    tl.store(scatter_buffer + at, tl.zeros([SWEPT], dtype=tl.int64), mask=inside & (whole != 0))
    value = (whole.to(tl.float64) / scale_of(top, bits)).to(tl.float32)
    tl.store(out + at, value + tl.where(top < 1e30, 0.0, float("nan")), mask=inside)
