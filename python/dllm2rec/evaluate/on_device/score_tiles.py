"""Scores of users and items as torch tensors, tile by tile: no users x items matrix is ever held.

A tile is a product of one shape: some users against `tile_width` items, the last tile padded.
A target's score comes from a product of that same shape, of its users with their targets' vectors,
so that it is rounded as it will be in its tile and an item with the same vector ties exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dllm2rec.errors import NonFiniteError
from dllm2rec.evaluate.on_device.moved_items import BLOCK_USERS, Moved, tile_width

# A product of vectors is at most that of their lengths: far below what float32 holds, no score has
# to be looked at.
SAFE_SCORE = 1e38


@dataclass(frozen=True, eq=False)
class Problem:
    """Vectors, bias and listed items on one device.

    Attributes:
        users: float32 (B, D).
        items: (N, D), of any float type; a tile of them at a time becomes float32.
        bias: float32 (N,) or None.
        moved: pairs of a row and an item whose score is moved; no pair stands in two parts.
        is_safe: whether no score can be NaN or +inf: then none is looked at for that.
    """

    users: torch.Tensor
    items: torch.Tensor
    bias: torch.Tensor | None
    moved: tuple[Moved, ...]
    is_safe: bool

    @classmethod
    def of(
        cls,
        users: torch.Tensor,
        items: torch.Tensor,
        bias: torch.Tensor | None,
        moved: tuple[Moved, ...] = (),
    ) -> Problem:
        """Check the bias, and bound the scores."""
        facts = [_longest(users), _longest(items)]
        if bias is not None:
            bias = bias.detach().float()
            facts += [bias.amax(), bias.masked_fill(bias == -torch.inf, 0).abs().amax()]
        largest = users.new_zeros((), dtype=torch.float32)
        for part in moved:
            if isinstance(part.shift, torch.Tensor):
                shifts = part.shift.masked_fill(part.shift == -torch.inf, 0).abs()
                largest = torch.cat([shifts, largest[None]]).amax()
            elif part.shift != -np.inf:
                largest = largest.clamp(min=abs(part.shift))
        facts.append(largest)
        user, item, *of_bias = read(torch.stack(facts))
        if bias is not None and not of_bias[0] < np.inf:
            row = int((~(bias < np.inf)).nonzero()[0, 0])
            raise refusal("bias", row, 0, float(bias[row]))
        magnitudes = of_bias if bias is None else of_bias[1:]
        bound = user * item + sum(magnitudes)
        return cls(users.float(), items, bias, moved, bound < SAFE_SCORE)

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Blocks of users, numbered."""
        begins = range(0, len(self.users), BLOCK_USERS)
        return ((i, slice(b, min(b + BLOCK_USERS, len(self.users)))) for i, b in enumerate(begins))

    def tiles(self) -> Iterator[tuple[int, slice]]:
        """Tiles of items, numbered."""
        width = tile_width(len(self.items))
        begins = range(0, len(self.items), width)
        return ((i, slice(b, min(b + width, len(self.items)))) for i, b in enumerate(begins))

    def scores(self, block: tuple[int, slice], tile: tuple[int, slice]) -> torch.Tensor:
        """The scores of a block and a tile; NaN where one is refused."""
        (block_index, rows), (tile_index, columns) = block, tile
        product = self.product(rows, self.items[columns])
        scores = product[:, : columns.stop - columns.start]
        if self.bias is not None:
            scores += self.bias[columns]
        flat = product.view(-1)
        for part in self.moved:
            order, places, cuts = part.listed.by_tile
            begin, end = cuts[block_index, tile_index : tile_index + 2]
            place = places[begin:end]
            flat[place] = self.shifted(flat[place], part.shift_of(order[begin:end]))
        return scores

    def product(self, rows: slice, vectors: torch.Tensor) -> torch.Tensor:
        """Users x `tile_width`, the shape of all tiles, 0 behind the vectors; NaN for overflows."""
        missing = tile_width(len(self.items)) - len(vectors)
        vectors = vectors.float()
        if missing:
            vectors = torch.nn.functional.pad(vectors, (0, 0, 0, missing))
        product = self.users[rows] @ vectors.T
        return product if self.is_safe else torch.where(product.isfinite(), product, torch.nan)

    def shifted(self, scores: torch.Tensor, shift: torch.Tensor | float) -> torch.Tensor:
        """The scores of listed items."""
        shifted = scores + shift
        return shifted if self.is_safe else torch.where(shifted < torch.inf, shifted, torch.nan)

    def target_scores(self, targets: torch.Tensor) -> torch.Tensor:
        """The score of each row's target, as its tile gives it, (B,)."""
        parts = [self.users.new_zeros(0)]
        for _, rows in self.blocks():
            product = self.product(rows, self.items[targets[rows]])
            parts.append(product.diagonal()[: rows.stop - rows.start].clone())
        target_scores = torch.cat(parts)
        if self.bias is not None:
            target_scores = target_scores + self.bias[targets]
        return self.moved_targets(target_scores, targets)

    def moved_targets(self, target_scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The scores of targets, (B,), those of listed ones moved."""
        keys = torch.arange(len(targets), device=targets.device) * len(self.items) + targets
        for part in self.moved:
            place, is_listed = part.listed.find(keys)
            if len(part.listed.keys):
                shifted = self.shifted(target_scores, part.shift_of(place))
                target_scores = torch.where(is_listed, shifted, target_scores)
        return target_scores


def _longest(vectors: torch.Tensor) -> torch.Tensor:
    """The length of the longest vector, float32 (); 0 of none."""
    is_wide = vectors.dtype == torch.float64 or not vectors.is_floating_point()
    single = vectors.float() if is_wide else vectors
    lengths = torch.linalg.vector_norm(single, dim=1, dtype=torch.float32)
    return torch.cat([lengths, lengths.new_zeros(1)]).amax()


def read(numbers: torch.Tensor) -> list[float]:
    """Wait for the device and read some numbers: all that the host asks for in between."""
    return [float(number) for number in numbers.tolist()]


def refusal(name: str, row: int, column: int, value: float) -> NonFiniteError:
    """Return the error for a number that is not finite."""
    where = f"{name} row {row} column {column}"
    return NonFiniteError(f"{where}: {value}, expected a finite number")
