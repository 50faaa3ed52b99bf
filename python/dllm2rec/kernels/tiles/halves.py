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
CUT = 4096  # numbers that one program cuts


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


def scale_of(factor: Tensor) -> Tensor:
    """The power of two that brings the largest number to 2^HIGHEST, (); not finite where it is not.

    Args:
        factor: (n, D), at least one number.
    """
    largest = torch.linalg.vector_norm(factor, torch.inf)
    _, exponent = torch.frexp(largest)  # largest < 2^exponent
    scale = torch.ldexp(torch.ones_like(largest), HIGHEST - exponent)
    return torch.where(largest.isfinite(), scale, largest)


@triton.jit
def _cut(factor, scale, high, low, size, HALVES: tl.constexpr, CUT: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CUT + tl.arange(0, CUT)
    scaled = tl.load(factor + at, mask=at < size, other=0.0) * tl.load(scale)
    above = high_half(scaled)
    tl.store(high + at, above, mask=at < size)
    if HALVES == 2:
        tl.store(low + at, low_half(scaled, above), mask=at < size)


@triton.jit
def high_half(scaled):
    """The first 11 bits."""
    return scaled.to(tl.float16)


@triton.jit
def low_half(scaled, high):
    """The next 11 bits, raised."""
    return ((scaled - high.to(tl.float32)) * SHIFT).to(tl.float16)


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
    """The exponent's field of the largest product of a slope and its share."""
    largest = 2.0 * tl.sqrt(heaviest * tl.maximum(highest, 0.5)) + 1e-30
    return field_of(largest)
