"""Vectors as whole numbers, so that their products are the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64Matrix = npt.NDArray[np.float64]

UNIT = 1 << 14  # vectors of length 1 as whole numbers: float64 sums of their products are exact


def unit(vectors: Float64Matrix) -> Float64Matrix:
    """Scale vectors to length 1."""
    lengths = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    scaled: Float64Matrix = vectors / lengths
    return scaled


def whole(numbers: Float64Matrix, steps: int = UNIT) -> Float64Matrix:
    """Round to multiples of 1 / steps, times steps: the last bits, where machines differ, go."""
    return np.rint(numbers * steps)
