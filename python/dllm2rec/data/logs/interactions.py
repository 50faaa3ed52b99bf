"""A log as it was written: who met which item, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec.errors import InputError

UInt32Vector = npt.NDArray[np.uint32]

# What the column that gives a split may say, by its number.
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Columns:
    """How the columns of a log are called; an optional one that a file lacks is left out.

    Attributes:
        user: ids of users.
        item: ids of items.
        time: when; without it the order of the file is the order.
        rating: how much the user liked it.
        split: `train`, `validation` (or `valid`, `val`) or `test`, or 0, 1, 2, where the file says.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = "timestamp"
    rating: str | None = "rating"
    split: str | None = "split"


@dataclass(frozen=True, eq=False)
class Interactions:
    """One event per row, in the order of the file; ids are numbered by their first appearance.

    Attributes:
        user_ids: distinct external ids, Arrow strings, (n_users,).
        item_ids: the same of the items, (n_items,).
        users: index into `user_ids`, uint32 (n,).
        items: index into `item_ids`, uint32 (n,).
        times: microseconds since 1970 in UTC, int64 (n,); None if the order of the file is all
            that is known.
        ratings: float32 (n,), None where there are none.
        splits: index into `SPLITS`, uint8 (n,), None where the file gives no split.
        name: how reports call it.
        notes: what was accepted but should be known, a code such as `W-TS-RANGE` first.
    """

    user_ids: pa.Array
    item_ids: pa.Array
    users: UInt32Vector
    items: UInt32Vector
    times: npt.NDArray[np.int64] | None = None
    ratings: npt.NDArray[np.float32] | None = None
    splits: npt.NDArray[np.uint8] | None = None
    name: str = "interactions"
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.users) == 0:
            raise InputError(f"{self.name}: no events, expected at least one", code="E-EMPTY")
        for name, values, dtype in (
            ("users", self.users, np.uint32),
            ("items", self.items, np.uint32),
            ("times", self.times, np.int64),
            ("ratings", self.ratings, np.float32),
            ("splits", self.splits, np.uint8),
        ):
            if values is None:
                continue
            if values.dtype != dtype or values.shape != (len(self.users),):
                raise InputError(
                    f"{name}: {values.dtype} {values.shape}, "
                    f"expected {np.dtype(dtype)} ({len(self.users)},)"
                )
        limits: list[tuple[str, npt.NDArray[np.unsignedinteger], int]] = [
            ("users", self.users, len(self.user_ids)),
            ("items", self.items, len(self.item_ids)),
        ]
        if self.splits is not None:
            limits.append(("splits", self.splits, len(SPLITS)))
        for name, numbers, limit in limits:
            if int(numbers.max()) >= limit:
                row = int((numbers >= limit).argmax())
                raise InputError(f"{name}[{row}]: {numbers[row]}, expected 0..{limit - 1}")

    def __repr__(self) -> str:
        """Sizes, no arrays."""
        having = ("times", "ratings", "splits")
        there = [name for name in having if getattr(self, name) is not None]
        what = f"with {', '.join(there)}" if there else "without times or ratings"
        return (
            f"Interactions {self.name!r}: {len(self):,} events of {self.n_users:,} users and "
            f"{self.n_items:,} items, {what}"
        )

    def __len__(self) -> int:
        """The number of events."""
        return len(self.users)

    @property
    def n_users(self) -> int:
        """How many distinct users there are."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """How many distinct items there are."""
        return len(self.item_ids)
