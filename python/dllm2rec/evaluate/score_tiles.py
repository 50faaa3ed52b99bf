"""Scores of users and items as torch tensors, tile by tile: no users x items matrix is ever held.

A tile is a product of one shape: some users against `tile_width` items, the last tile padded.
A target's score comes from a product of that same shape, of its users with their targets' vectors,
so that it is rounded as it will be in its tile and an item with the same vector ties exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.errors import InputError, NonFiniteError

TILE_ITEMS = 8192  # of a tile at most
TILE_STEP = 64
BLOCK_USERS = 2048
# A product of vectors is at most that of their lengths: far below what float32 holds, no score has
# to be looked at.
SAFE_SCORE = 1e38


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows and the items listed for them.

    Attributes:
        listed: rows and items whose score is moved, int64 (2, n), each pair once, ordered by block
            of users, then item.
        place: where each stands among the scores of its block and tile, int64 (n,).
        cuts: where in `listed` each block's tiles begin, (blocks, tiles + 1).
        shifts: what is added to each score, float32 (n,); None where one number is for all.
    """

    listed: torch.Tensor
    place: torch.Tensor
    cuts: npt.NDArray[np.int64]
    shifts: torch.Tensor | None = None

    def shift_of(self, begin: int, end: int, otherwise: float) -> torch.Tensor | float:
        """What is added to the scores of some pairs."""
        return otherwise if self.shifts is None else self.shifts[begin:end]


@dataclass(frozen=True, eq=False)
class Problem:
    """Vectors, bias and listed items on one device.

    Attributes:
        users: float32 (B, D).
        items: (N, D), of any float type; a tile of them at a time becomes float32.
        bias: float32 (N,) or None.
        pairs: rows and items whose score is moved; None without a window.
        shift: what is added to the scores of listed items that have no shift of their own.
        is_safe: whether no score can be NaN or +inf: then none is looked at for that.
    """

    users: torch.Tensor
    items: torch.Tensor
    bias: torch.Tensor | None
    pairs: Pairs | None
    shift: float
    is_safe: bool

    @classmethod
    def of(
        cls,
        users: torch.Tensor,
        items: torch.Tensor,
        bias: torch.Tensor | None,
        pairs: Pairs | None,
        shift: float,
    ) -> Problem:
        """Check bias and shift, and bound the scores."""
        if np.isnan(shift) or shift == np.inf:
            raise InputError(f"window_offset = {shift}, expected a finite number or -inf")
        facts = [_longest(users), _longest(items)]
        if bias is not None:
            bias = bias.detach().float()
            facts += [bias.amax(), bias.masked_fill(bias == -torch.inf, 0).abs().amax()]
        if pairs is not None and pairs.shifts is not None:
            shifts = pairs.shifts.masked_fill(pairs.shifts == -torch.inf, 0)
            facts.append(torch.cat([shifts, shifts.new_zeros(1)]).abs().amax())
        user, item, *of_bias = read(torch.stack(facts))
        if bias is not None and not of_bias[0] < np.inf:
            row = int((~(bias < np.inf)).nonzero()[0, 0])
            raise refusal("bias", row, 0, float(bias[row]))
        magnitudes = of_bias if bias is None else of_bias[1:]
        bound = user * item + sum(magnitudes) + (0.0 if shift == -np.inf else abs(shift))
        return cls(users.float(), items, bias, pairs, float(shift), bound < SAFE_SCORE)

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
        if self.pairs is not None:
            begin, end = self.pairs.cuts[block_index, tile_index : tile_index + 2]
            place = self.pairs.place[begin:end]
            flat = product.view(-1)
            flat[place] = self.moved(flat[place], self.pairs.shift_of(begin, end, self.shift))
        return scores

    def product(self, rows: slice, vectors: torch.Tensor) -> torch.Tensor:
        """Users x `tile_width`, the shape of all tiles, 0 behind the vectors; NaN for overflows."""
        missing = tile_width(len(self.items)) - len(vectors)
        vectors = vectors.float()
        if missing:
            vectors = torch.nn.functional.pad(vectors, (0, 0, 0, missing))
        product = self.users[rows] @ vectors.T
        return product if self.is_safe else torch.where(product.isfinite(), product, torch.nan)

    def moved(self, scores: torch.Tensor, shift: torch.Tensor | float) -> torch.Tensor:
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
        if self.pairs is None:
            return target_scores
        row, item = self.pairs.listed
        is_target = item == targets[row]  # of a row's pairs one at most
        is_listed = torch.zeros_like(targets, dtype=torch.int32)
        is_listed.index_add_(0, row, is_target.int())
        shift: torch.Tensor | float = self.shift
        if self.pairs.shifts is not None:
            own = self.pairs.shifts.where(is_target, 0.0)
            shift = torch.zeros_like(target_scores).index_add_(0, row, own)
        return torch.where(is_listed > 0, self.moved(target_scores, shift), target_scores)


def tile_width(n_items: int) -> int:
    """How many items a tile has: tiles as even as can be, no narrower than a block of users."""
    n_tiles = max(1, -(-n_items // TILE_ITEMS))
    even = -(-n_items // (n_tiles * TILE_STEP)) * TILE_STEP
    return min(TILE_ITEMS, max(BLOCK_USERS, even))


def _longest(vectors: torch.Tensor) -> torch.Tensor:
    """The length of the longest vector, float32 (); 0 of none."""
    is_wide = vectors.dtype == torch.float64 or not vectors.is_floating_point()
    single = vectors.float() if is_wide else vectors
    lengths = torch.linalg.vector_norm(single, dim=1, dtype=torch.float32)
    return torch.cat([lengths, lengths.new_zeros(1)]).amax()


def read(numbers: torch.Tensor) -> list[float]:
    """Wait for the device and read some numbers: all that the host asks for in between."""
    return [float(number) for number in numbers.tolist()]


def listed_pairs(window: tuple[torch.Tensor, torch.Tensor], n_users: int, n_items: int) -> Pairs:
    """Check and order a window: offsets and items, int64 on the device of the users.

    One integer per pair, sorted where it is: on the host this took longer than the ranking.
    """
    offsets, items = window
    lengths = offsets.diff()
    ends = (offsets[:1] == 0).all() & (offsets[-1:] == len(items)).all()
    if len(offsets) != n_users + 1 or bool((lengths < 0).any() | ~ends):
        raise InputError(
            f"window: {len(offsets)} offsets for {n_users} rows and {len(items)} listed items, "
            "expected one more than rows, rising from 0 to the number of listed items"
        )
    rows = torch.repeat_interleave(torch.arange(n_users, device=offsets.device), lengths)
    return _laid_out(torch.unique(_keys(rows, items, n_items)), n_users, n_items)


def with_bonuses(
    pairs: Pairs | None,
    shift: float,
    bonuses: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    n_users: int,
    n_items: int,
) -> Pairs:
    """Add bonuses to listed items: offsets, items int64 and values, on the device of the users."""
    offsets, items, values = bonuses
    rows = torch.repeat_interleave(
        torch.arange(n_users, device=offsets.device), offsets.diff(), output_size=len(items)
    )
    keys, shifts = _keys(rows, items, n_items), values.float()
    if pairs is not None:
        keys = torch.cat([_keys(pairs.listed[0], pairs.listed[1], n_items), keys])
        shifts = torch.cat([shifts.new_full((pairs.listed.shape[1],), shift), shifts])
    keys, place = torch.unique(keys, return_inverse=True)
    # Two numbers at most are added up, so that their order does not matter.
    summed = shifts.new_zeros(len(keys)).index_add_(0, place, shifts)
    return replace(_laid_out(keys, n_users, n_items), shifts=summed)


def _keys(rows: torch.Tensor, items: torch.Tensor, n_items: int) -> torch.Tensor:
    """One integer per pair: by block of users, then item, then row."""
    return (rows // BLOCK_USERS * n_items + items) * BLOCK_USERS + rows % BLOCK_USERS


def _laid_out(keys: torch.Tensor, n_users: int, n_items: int) -> Pairs:
    """Lay out the pairs of some keys, which rise."""
    place, within = keys // BLOCK_USERS, keys % BLOCK_USERS
    rows, items = place // n_items * BLOCK_USERS + within, place % n_items
    width = tile_width(n_items)
    begins = torch.arange(0, n_items + width, width, device=keys.device)
    blocks = torch.arange(-(-n_users // BLOCK_USERS), device=keys.device)
    edges = blocks[:, None] * n_items + begins.clamp(max=n_items)
    cuts = torch.searchsorted(place, edges).cpu().numpy()
    return Pairs(torch.stack([rows, items]), within * width + items % width, cuts)


def refusal(name: str, row: int, column: int, value: float) -> NonFiniteError:
    """Return the error for a number that is not finite."""
    where = f"{name} row {row} column {column}"
    return NonFiniteError(f"{where}: {value}, expected a finite number")
