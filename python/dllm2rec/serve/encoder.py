"""What a recommender asks of whatever runs a student: users of windows, and lists."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.students.memory.pair_memory import ItemBonuses

FloatMatrix: TypeAlias = npt.NDArray[np.float32]
Lists: TypeAlias = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]
# Offsets (B + 1,) into the items of all rows.
ListedItems: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]
# Codes, in the order of the kernel; of each item their scale, and how far off its score can be.
ItemCodes: TypeAlias = tuple[npt.NDArray[np.int8], FloatMatrix, FloatMatrix]

# Above and below, a pass over the vectors themselves is as fast.
FEW_USERS, MANY_ITEMS = 32, 10_000


@dataclass(frozen=True, eq=False)
class Windows:
    """The newest items of some histories.

    Attributes:
        sequences: oldest first, right-padded, uint32 (B, L).
        lengths: how many are real, uint32 (B,).
    """

    sequences: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.uint32]

    def lists(self) -> ListedItems:
        """Offsets (B + 1,) into the items of all windows."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        is_real = np.arange(self.sequences.shape[1]) < self.lengths[:, None]
        return offsets, self.sequences[is_real]


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """The items as a student knows them, in this machine's memory.

    Attributes:
        table: vectors of the items of a window, float32 (N + 1, D), the padding's last.
        output: what scores the items, (N, D'); None where the table does.
        bias: added to their scores, (N,), or None.
    """

    table: FloatMatrix
    output: FloatMatrix | None
    bias: npt.NDArray[np.float32] | None

    @property
    def matrix(self) -> FloatMatrix:
        """What scores the items, (N, D')."""
        return self.table[:-1] if self.output is None else self.output

    def codes_for(self, n_users: int) -> ItemCodes | None:
        """What scores are first looked at by, where that is faster: few users, many items.

        Made when it is first asked for: a second for ten million items.
        """
        return self.codes if n_users <= FEW_USERS and len(self.matrix) >= MANY_ITEMS else None

    @cached_property
    def codes(self) -> ItemCodes:
        """The vectors that score in eight bits, with how far off each can be."""
        return _core.code_items(np.ascontiguousarray(self.matrix))

    def direction_codes_for(self, n_items: int) -> ItemCodes | None:
        """The same of the directions."""
        return (
            self._direction_codes
            if n_items <= FEW_USERS and len(self.matrix) >= MANY_ITEMS
            else None
        )

    @cached_property
    def _direction_codes(self) -> ItemCodes:
        return _core.code_items(self.directions)

    @cached_property
    def directions(self) -> FloatMatrix:
        """The vectors that score, scaled to unit length, (N, D'); a vector of zeros stays so."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        scaled: FloatMatrix = (self.matrix / np.maximum(lengths, 1e-12)).astype(np.float32)
        return scaled

    def followed_by(self, rows: FloatMatrix) -> ItemVectors:
        """These items and then more, known by their vectors alone; the table must score."""
        table = np.concatenate([self.table[:-1], rows, self.table[-1:]])
        bias = self.bias
        if bias is not None:
            bias = np.concatenate([bias, np.zeros(len(rows), bias.dtype)])
        return ItemVectors(table, None, bias)

    def take(self, kept: npt.NDArray[np.bool_]) -> ItemVectors:
        """Some of the items, (N,) bool."""
        return ItemVectors(
            self.table[np.append(kept, True)],
            None if self.output is None else self.output[kept],
            None if self.bias is None else self.bias[kept],
        )


class Encoder(Protocol):
    """A student's network over some items; nothing of it ever changes, threads may share it."""

    @property
    def max_length(self) -> int:
        """L, the width of the windows."""

    @property
    def place(self) -> str:
        """Where it computes, such as `cpu`."""

    def over(self, items: ItemVectors) -> Self:
        """The same network over other items."""

    def users(self, windows: Windows) -> FloatMatrix:
        """Encode windows, (B, D')."""

    def top_n(
        self,
        users: FloatMatrix,
        k: int,
        bias: npt.NDArray[np.float32] | None,
        window: tuple[ListedItems, float],
        bonuses: ItemBonuses | None,
    ) -> Lists:
        """List the best items, as `host_top_n`."""


def host_top_n(
    users: FloatMatrix,
    matrix: FloatMatrix,
    k: int,
    bias: npt.NDArray[np.float32] | None,
    window: tuple[ListedItems, float],
    bonuses: ItemBonuses | None,
    codes: ItemCodes | None = None,
) -> Lists:
    """List the `k` best items of each user by the Rust kernel.

    Args:
        users: (B, D').
        matrix: (N, D').
        k: in 1..N.
        bias: (N,), -inf to mask an item, or None.
        window: items listed for each row, and what is added to their scores.
        bonuses: what is added to the scores of some items.
        codes: of the matrix; the lists are the same to the last bit, but faster for a few users.

    Returns:
        Items uint32 (B, k) and scores float32 (B, k); missing places hold N and -inf.
    """
    (offsets, listed), shift = window
    moved = offsets, listed, shift
    if codes is not None:
        return _core.coded_top_n(users, matrix, codes, k, bias, moved, bonuses)
    return _core.fused_top_n(users, matrix, k, bias, moved, bonuses)
