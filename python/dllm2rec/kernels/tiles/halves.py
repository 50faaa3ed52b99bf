"""Products of float32 factors on tensor cores, made of products in float16.

A factor is scaled by a power of two and cut in two halves of 11 bits each: x = high + low / 2^11,
as exact as three products in TF32 and twice as fast (Ootomo and Yokota, IJHPCA 2022, do so with a
correction on the side, too). With the high halves alone a factor keeps the 11 bits of TF32. What is
2^28 times smaller than the largest factor loses bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch

HIGHEST = 13  # the power of two that the largest factor is brought to; float16 ends at 2^16
HIGHEST_POWER = tl.constexpr(float(HIGHEST))
ONE_AGAIN = tl.constexpr(2.0**-HIGHEST)
LOG2_E = tl.constexpr(1.4426950408889634)
SHIFT = tl.constexpr(2048.0)
HIGHEST_FIELD = tl.constexpr(127 + 127 + HIGHEST)  # of a float32's exponent: 2^(HIGHEST - x)
SMALLEST_FIELD = tl.constexpr(HIGHEST + 1)  # below it the scale would not be a float32
CUT = 4096  # numbers that one program cuts at once
LARGEST_PROGRAMS = 512


class Halves(NamedTuple):
    """A scaled factor, cut: high + low / 2^11; `low` is `high` where one half is enough."""

    high: Tensor
    low: Tensor


def cut(factor: Tensor, scale: Tensor, n_halves: int) -> Halves:
    """Scale a factor and cut it, each half as large as it in float16.

    Args:
        factor: (n, D), contiguous.
        scale: a power of two, ().
        n_halves: 1 leaves the low half out.
    """
    high = torch.empty(factor.shape, dtype=torch.float16, device=factor.device)
    low = torch.empty_like(high) if n_halves == 2 else high
    size = factor.numel()
    grid = (triton.cdiv(size, CUT),)
    launch(_cut, grid, factor, scale, high, low, size, HALVES=n_halves, CUT=CUT, num_warps=8)
    return Halves(high, low)


def scales_of(users: Tensor, matrix: Tensor, weights: Tensor) -> Tensor:
    """What both factors are scaled by, what takes their product back, the largest weight: (4,).

    A factor's scale is the power of two that brings its largest number to 2^HIGHEST. A matrix that
    is not finite makes scales that are not; a user that is not finite does not change them.

    Args:
        users: (B, D), contiguous.
        matrix: (N, D), contiguous.
        weights: not negative, (N,).
    """
    factors = (users, matrix, weights)
    grid = (LARGEST_PROGRAMS, len(factors))
    largest = users.new_empty(grid[::-1])
    sizes = tuple(factor.numel() for factor in factors)
    launch(_largest, grid, *factors, *sizes, largest, CUT=CUT, num_warps=8)
    scales = users.new_empty(4)
    launch(_scales, (1,), largest, scales, PROGRAMS=LARGEST_PROGRAMS)
    return scales


@triton.jit(do_not_specialize=["n_users"])
def _largest(users, matrix, weights, n_users, n_matrix, n_weights, largest, CUT: tl.constexpr):
    which = tl.program_id(1)
    factor = users
    size = n_users.to(tl.int64)
    if which == 1:
        factor = matrix
        size = n_matrix.to(tl.int64)
    elif which == 2:
        factor = weights
        size = n_weights.to(tl.int64)
    top = tl.zeros([CUT], dtype=tl.float32)
    begin = tl.program_id(0).to(tl.int64) * CUT
    for at in range(begin, size, tl.num_programs(0) * CUT):
        place = at + tl.arange(0, CUT)
        number = tl.abs(tl.load(factor + place, mask=place < size, other=0.0))
        number = tl.where((which == 0) & (number - number != 0.0), 0.0, number)
        top = tl.maximum(top, number, propagate_nan=tl.PropagateNan.ALL)
    # The maximum over a tensor would lose what is no number.
    top = tl.where(top == top, top, float("inf"))
    tl.store(largest + which * tl.num_programs(0) + tl.program_id(0), tl.max(top, axis=0))


@triton.jit
def _scales(largest, scales, PROGRAMS: tl.constexpr):
    lane = tl.arange(0, PROGRAMS)
    of_users = power_for(tl.max(tl.load(largest + lane), axis=0))
    of_matrix = power_for(tl.max(tl.load(largest + PROGRAMS + lane), axis=0))
    tl.store(scales, of_users)
    tl.store(scales + 1, of_matrix)
    tl.store(scales + 2, 1.0 / of_users / of_matrix)
    tl.store(scales + 3, tl.max(tl.load(largest + 2 * PROGRAMS + lane), axis=0))


@triton.jit
def power_for(largest):
    """The power of two that brings a number to 2^HIGHEST; itself where it is not finite."""
    field = (largest.to(tl.int32, bitcast=True) >> 23) & 255
    scale = scale_from(tl.where(field < SMALLEST_FIELD, SMALLEST_FIELD, field))
    return tl.where(largest - largest == 0.0, scale, largest)


@triton.jit
def _cut(factor, scale, high, low, size, HALVES: tl.constexpr, CUT: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CUT + tl.arange(0, CUT)
    scaled = tl.load(factor + at, mask=at < size, other=0.0) * tl.load(scale)
    above = high_half(scaled)
    tl.store(high + at, above, mask=at < size)
    if HALVES == 2:
        tl.store(low + at, low_half(scaled, above, HALVES), mask=at < size)


@triton.jit
def high_half(scaled):
    """The first 11 bits."""
    return scaled.to(tl.float16)


@triton.jit
def low_half(scaled, high, HALVES: tl.constexpr):
    """The next 11 bits, raised; the first where they are all that is read."""
    low = high
    if HALVES == 2:
        low = ((scaled - high.to(tl.float32)) * SHIFT).to(tl.float16)
    return low


@triton.jit
def product(left_high, left_low, right_high, right_low, HALVES: tl.constexpr):
    """Multiply two matrices that are given in halves; of one half the low ones are not read."""
    result = tl.dot(left_high, right_high)
    if HALVES == 2:
        corrections = tl.dot(left_high, right_low)
        corrections = tl.dot(left_low, right_high, corrections)
        result += corrections * (1.0 / SHIFT)
    return result


@triton.jit
def field_of(largest):
    """The exponent's field of numbers that are not negative, at least SMALLEST_FIELD."""
    field = (largest.to(tl.int32, bitcast=True) >> 23) & 255
    return tl.where(field < SMALLEST_FIELD, SMALLEST_FIELD, field)


@triton.jit
def scale_from(field):
    """The power of two that brings a number with this field to 2^HIGHEST."""
    return ((-field + HIGHEST_FIELD) << 23).to(tl.float32, bitcast=True)


@triton.jit
def ratio_of(before, after):
    """2^(before - after), of fields that only grow; 0 where float32 has no such number."""
    power = tl.maximum(before - after + 127, 0)
    return (power << 23).to(tl.float32, bitcast=True)


@triton.jit
def dro_field(heaviest, highest):
    """The exponent's field of the largest product of half a slope and its share."""
    largest = tl.sqrt(heaviest * tl.maximum(highest, 0.5)) + 1e-30
    return field_of(largest)
