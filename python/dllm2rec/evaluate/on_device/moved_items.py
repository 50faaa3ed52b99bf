"""Items listed for rows, and what is added to their scores, on the device of the vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.errors import InputError

TILE_ITEMS = 8192  # of a tile at most
TILE_STEP = 64
BLOCK_USERS = 2048


@dataclass(frozen=True, eq=False)
class Listed:
    """Pairs of a row and an item that it lists.

    Attributes:
        keys: row * N + item, each once, ascending, int64 (n,).
        n_rows: B.
        n_items: N.
    """

    keys: torch.Tensor
    n_rows: int
    n_items: int

    @cached_property
    def rows(self) -> torch.Tensor:
        """The row of each pair, int64 (n,)."""
        return self.keys // self.n_items

    @cached_property
    def items(self) -> torch.Tensor:
        """The item of each pair, int64 (n,)."""
        return self.keys % self.n_items

    @cached_property
    def offsets(self) -> torch.Tensor:
        """Where each row's pairs begin, int64 (B + 1,)."""
        first = torch.arange(self.n_rows + 1, device=self.keys.device) * self.n_items
        return torch.searchsorted(self.keys, first)

    @cached_property
    def by_tile(self) -> TileOrder:
        """The pairs in the order of tiles."""
        block = self.rows // BLOCK_USERS * self.n_items + self.items
        ordered = (block * BLOCK_USERS + self.rows % BLOCK_USERS).sort()
        block, within = ordered.values // BLOCK_USERS, ordered.values % BLOCK_USERS
        width = tile_width(self.n_items)
        begins = torch.arange(0, self.n_items + width, width, device=block.device)
        blocks = torch.arange(-(-self.n_rows // BLOCK_USERS), device=block.device)
        edges = blocks[:, None] * self.n_items + begins.clamp(max=self.n_items)
        cuts = torch.searchsorted(block, edges).cpu().numpy()
        return TileOrder(ordered.indices, within * width + block % self.n_items % width, cuts)

    def find(self, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where some keys stand among the pairs, and whether they are there at all."""
        if len(self.keys) == 0:
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return place, self.keys[place] == keys

    def only(self, kept: torch.Tensor) -> Listed:
        """Some of the pairs."""
        return replace(self, keys=self.keys[kept])


class TileOrder(NamedTuple):
    """Pairs by block of users, then item, then row.

    Attributes:
        order: the pairs' numbers in that order, int64 (n,).
        place: where each stands among the scores of its block and tile, int64 (n,).
        cuts: where each block's tiles begin, (blocks, tiles + 1).
    """

    order: torch.Tensor
    place: torch.Tensor
    cuts: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Moved:
    """Listed items, and what is added to the scores of all, or to each, float32 (n,)."""

    listed: Listed
    shift: float | torch.Tensor

    def shift_of(self, kept: torch.Tensor | slice) -> float | torch.Tensor:
        """What is added to the scores of some pairs."""
        return self.shift[kept] if isinstance(self.shift, torch.Tensor) else self.shift

    def only(self, kept: torch.Tensor) -> Moved:
        """Some of the pairs."""
        return Moved(self.listed.only(kept), self.shift_of(kept))


def listed_items(window: tuple[torch.Tensor, torch.Tensor], n_users: int, n_items: int) -> Listed:
    """Check and order a window: offsets and items, int64 on the device of the users.

    One integer per pair, sorted where it is: on the host this took longer than the ranking.
    """
    offsets, items = window
    ends = (offsets[:1] == 0).all() & (offsets[-1:] == len(items)).all()
    if len(offsets) != n_users + 1 or bool((offsets.diff() < 0).any() | ~ends):
        raise InputError(
            f"window: {len(offsets)} offsets for {n_users} rows and {len(items)} listed items, "
            "expected one more than rows, rising from 0 to the number of listed items"
        )
    return Listed(torch.unique(_keys(offsets, items, n_items)), n_users, n_items)


def moved_items(
    listed: Listed | None,
    shift: float,
    bonuses: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None,
    n_users: int,
    n_items: int,
) -> tuple[Moved, ...]:
    """What is added to which scores; no pair of a row and an item stands in two of the parts.

    Args:
        listed: the window's pairs, or None.
        shift: what is added to their scores.
        bonuses: offsets, items and values, items ascending within a row; or None.
        n_users: B.
        n_items: N.
    """
    window = None if listed is None else Moved(listed, shift)
    if bonuses is None:
        return () if window is None else (window,)
    offsets, items, values = bonuses
    remembered = Listed(_keys(offsets, items, n_items), n_users, n_items)
    values = values.float()
    if window is None:
        return (Moved(remembered, values),)
    in_window = window.listed.find(remembered.keys)[1]
    both = Moved(remembered, torch.where(in_window, values + shift, values))
    return both, window.only(~remembered.find(window.listed.keys)[1])


def _keys(offsets: torch.Tensor, items: torch.Tensor, n_items: int) -> torch.Tensor:
    rows = torch.arange(len(offsets) - 1, device=offsets.device)
    return rows.repeat_interleave(offsets.diff(), output_size=len(items)) * n_items + items


def tile_width(n_items: int) -> int:
    """How many items a tile has: tiles as even as can be, no narrower than a block of users."""
    n_tiles = max(1, -(-n_items // TILE_ITEMS))
    even = -(-n_items // (n_tiles * TILE_STEP)) * TILE_STEP
    return min(TILE_ITEMS, max(BLOCK_USERS, even))
