"""How a student makes an item's vector of the teacher's vector of its text, kept for new items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import InputError, NonFiniteError

_TINY = 1e-12  # as in torch's normalize: a vector of zeros stays so


@dataclass(frozen=True, eq=False)
class TextProjection:
    """The vector of an item that training never saw: weight (W z / |z| + c).

    With a hidden layer z / |z| is first made into relu(V z / |z| + d).

    Attributes:
        matrix: W, float32 (D, E), or (D, H) behind a hidden layer.
        shift: c, float32 (D,).
        weight: how strongly it counts, float32 ().
        hidden_matrix: V, float32 (H, E), or None.
        hidden_shift: d, float32 (H,), or None.
    """

    matrix: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    hidden_matrix: npt.NDArray[np.float32] | None = None
    hidden_shift: npt.NDArray[np.float32] | None = None

    def vectors(self, texts: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Project the teacher's vectors of some texts, (n, E), to vectors of items, (n, D).

        Raises:
            InputError: they are of another width than the teacher's.
            NonFiniteError: a NaN or infinity.
        """
        first = self.matrix if self.hidden_matrix is None else self.hidden_matrix
        width = first.shape[1]
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
        if self.hidden_matrix is not None:
            assert self.hidden_shift is not None  # noqa: S101 - for mypy
            units = np.maximum(units @ self.hidden_matrix.T + self.hidden_shift, 0)
        found: npt.NDArray[np.float32] = self.weight * (units @ self.matrix.T + self.shift)
        return found


def projection_arrays(projection: TextProjection) -> dict[str, npt.NDArray[np.float32]]:
    """Return its arrays by name, to be kept in a file."""
    arrays = {
        "matrix": projection.matrix,
        "shift": projection.shift,
        "weight": projection.weight,
        "hidden_matrix": projection.hidden_matrix,
        "hidden_shift": projection.hidden_shift,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def read_projection(arrays: Mapping[str, npt.NDArray[Any]], size: int) -> TextProjection:
    """Build a projection to vectors of `size` numbers from its arrays.

    Raises:
        KeyError: one is missing.
        ValueError: they do not fit together, or hold a NaN or infinity.
    """
    found = TextProjection(arrays["matrix"], arrays["shift"], arrays["weight"])
    parts = [found.matrix, found.shift, found.weight]
    shapes = [part.shape for part in parts]
    if "hidden_matrix" in arrays:
        hidden, shift = arrays["hidden_matrix"], arrays["hidden_shift"]
        if hidden.ndim != 2 or not shift.shape == hidden.shape[:1] == found.matrix.shape[1:]:
            raise ValueError(f"a hidden layer of {hidden.shape} before a projection of {shapes}")
        found = replace(found, hidden_matrix=hidden, hidden_shift=shift)
        parts += [hidden, shift]
    if len(shapes[0]) != 2 or [shapes[0][0], *shapes[1:]] != [size, (size,), ()]:
        raise ValueError(f"a projection of {shapes}, expected one to {size} numbers")
    if not all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts):
        raise ValueError("a projection of other than finite float32 numbers")
    return found
