"""How a student makes an item's vector of the teacher's vector of its text, kept for new items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dllm2rec.errors import InputError, NonFiniteError


@dataclass(frozen=True, eq=False)
class TextProjection:
    """The vector of an item that training never saw: weight (W z / |z| + c).

    Attributes:
        matrix: W, (D, E).
        shift: c, (D,).
        weight: how strongly it counts, ().
    """

    matrix: Tensor
    shift: Tensor
    weight: Tensor

    @torch.no_grad()
    def vectors(self, texts: Tensor) -> Tensor:
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
        finite = texts.isfinite().all(1)
        if not finite.all():
            row = int(finite.logical_not().nonzero()[0])
            raise NonFiniteError(f"vectors[{row}]: a NaN or infinity, expected numbers")
        weight = float(self.weight)
        # The order of `ItemEmbedding.table`, so that an item gets the vector it would have there.
        rows = torch.add(
            self.matrix.new_zeros(len(texts), len(self.shift)), self.shift, alpha=weight
        )
        return rows.addmm_(F.normalize(texts.float(), dim=1), self.matrix.T, alpha=weight)


def projection_tensors(projection: TextProjection) -> dict[str, Tensor]:
    """Return its tensors by name, on the CPU, to be kept in a file."""
    parts = {
        "matrix": projection.matrix,
        "shift": projection.shift,
        "weight": projection.weight,
    }
    return {name: part.detach().cpu().contiguous() for name, part in parts.items()}


def read_projection(tensors: Mapping[str, Tensor], size: int) -> TextProjection:
    """Build a projection to vectors of `size` numbers from its tensors.

    Raises:
        KeyError: one is missing.
        ValueError: they do not fit together, or hold a NaN or infinity.
    """
    found = TextProjection(tensors["matrix"], tensors["shift"], tensors["weight"])
    shapes = [tuple(part.shape) for part in (found.matrix, found.shift, found.weight)]
    if len(shapes[0]) != 2 or [shapes[0][0], *shapes[1:]] != [size, (size,), ()]:
        raise ValueError(f"a projection of {shapes}, expected one to {size} numbers")
    if not all(bool(part.isfinite().all()) for part in (found.matrix, found.shift, found.weight)):
        raise ValueError("a projection with a NaN or infinity")
    return found
