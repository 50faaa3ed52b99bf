"""How a student makes an item's vector of the teacher's vector of its text, kept for new items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import InputError, NonFiniteError

_TINY = 1e-12  # as in torch's normalize: a vector of zeros stays so


@dataclass(frozen=True, eq=False)
class TextProjection:
    """The vector of an item that training never saw: weight (W z / |z| + c).

    Attributes:
        matrix: W, float32 (D, E).
        shift: c, float32 (D,).
        weight: how strongly it counts, float32 ().
    """

    matrix: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def vectors(self, texts: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Project the teacher's vectors of some texts, (n, E), to vectors of items, (n, D).

        Raises:
            InputError: they are of another width than the teacher's.
            NonFiniteError: a NaN or infinity.
        """
        width = self.matrix.shape[1]
        if texts.ndim != 2 or texts.shape[1] != width:
            raise InputError(
                f"vectors {tuple(texts.shape)}, expected (items, {width}), the teacher's width; "
                "encode the texts as the teacher's were"
            )
        finite = np.isfinite(texts).all(1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise NonFiniteError(f"vectors[{row}]: a NaN or infinity, expected numbers")
        lengths = np.linalg.norm(texts, axis=1, keepdims=True)
        units = (texts / np.maximum(lengths, _TINY)).astype(np.float32)
        found: npt.NDArray[np.float32] = self.weight * (units @ self.matrix.T + self.shift)
        return found


def projection_arrays(projection: TextProjection) -> dict[str, npt.NDArray[np.float32]]:
    """Return its arrays by name, to be kept in a file."""
    return {
        "matrix": projection.matrix,
        "shift": projection.shift,
        "weight": projection.weight,
    }


def read_projection(arrays: Mapping[str, npt.NDArray[Any]], size: int) -> TextProjection:
    """Build a projection to vectors of `size` numbers from its arrays.

    Raises:
        KeyError: one is missing.
        ValueError: they do not fit together, or hold a NaN or infinity.
    """
    found = TextProjection(arrays["matrix"], arrays["shift"], arrays["weight"])
    parts = (found.matrix, found.shift, found.weight)
    shapes = [part.shape for part in parts]
    if len(shapes[0]) != 2 or [shapes[0][0], *shapes[1:]] != [size, (size,), ()]:
        raise ValueError(f"a projection of {shapes}, expected one to {size} numbers")
    if not all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts):
        raise ValueError("a projection of other than finite float32 numbers")
    return found
