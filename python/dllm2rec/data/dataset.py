"""Items, events and rows: the one shape of data that everything above works on."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec import _core
from dllm2rec.data.hashing import hash_array, hash_texts
from dllm2rec.errors import InputError

Int64Vector = npt.NDArray[np.int64]
UInt32Vector = npt.NDArray[np.uint32]
UInt32Matrix = npt.NDArray[np.uint32]

# Above this many ids, near names are looked for among those with the same beginning only.
_NEAR_NAMES_LIMIT = 50_000
_CHECKED = 1 << 22  # rows looked at together


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items: what a dense index `0..n_items-1` stands for outside.

    Attributes:
        item_ids: one distinct string per item, as the user's data names it.
        titles: one string per item, "" where unknown; None where the data has no titles at all.
    """

    item_ids: list[str]
    titles: list[str] | None = None

    def __repr__(self) -> str:
        """Sizes and the first item."""
        titles = "no titles" if self.titles is None else f"titled {self.titles[0]!r}"
        return f"Catalogue: {self.n_items:,} items, the first {self.item_ids[0]!r}, {titles}"

    def __post_init__(self) -> None:
        for name in ("item_ids", "titles"):
            if isinstance(getattr(self, name), str):  # would be read letter by letter
                raise InputError(f"catalogue: {name} is one text, expected a list of texts")
        if not self.item_ids:
            raise InputError("catalogue: no items, expected at least one", code="E-EMPTY")
        if len(self._indices) != len(self.item_ids):
            twice = next(i for n, i in enumerate(self.item_ids) if self._indices[i] != n)
            raise InputError(f"catalogue: item id {twice!r} twice, expected distinct ids")
        if self.titles is not None and len(self.titles) != self.n_items:
            raise InputError(
                f"catalogue: {len(self.titles)} titles for {self.n_items} items, expected as many"
            )

    @property
    def n_items(self) -> int:
        """How many items there are; also the padding index."""
        return len(self.item_ids)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {item_id: index for index, item_id in enumerate(self.item_ids)}

    def index_of(self, item_id: str) -> int:
        """Return the dense index of an external id.

        Raises:
            InputError: no item has this id; the message names the nearest ones.
        """
        index = self._indices.get(item_id)
        if index is None:
            raise InputError(
                f"unknown item id {item_id!r}, expected one of {self.n_items} ids; nearest: "
                f"{self.near_text(item_id)}",
                code="E-ITEM-UNKNOWN",
            )
        return index

    def find_all(self, item_ids: Iterable[str]) -> list[int | None]:
        """Return the dense index of each external id, None where no item has it."""
        return [*map(self._indices.get, item_ids)]

    def near_text(self, item_id: str) -> str:
        """The nearest ids, as a message names them."""
        names = self.item_ids
        if len(names) > _NEAR_NAMES_LIMIT:
            names = [name for name in names if name[:2] == item_id[:2]][:_NEAR_NAMES_LIMIT]
        near = difflib.get_close_matches(item_id, names, n=3)
        return ", ".join(map(repr, near)) or "no similar id"


@dataclass(frozen=True, eq=False)
class Rows:
    """Pointers into the events: row r predicts `events[end[r]]` from the events before it.

    Attributes:
        start: first event of the row's user that may be seen, int64 (R,).
        end: the target's place, int64 (R,); above `start`, so that a history has an item.
    """

    start: Int64Vector
    end: Int64Vector

    def __repr__(self) -> str:
        return f"Rows: {len(self):,}"

    def __post_init__(self) -> None:
        for name, pointers in (("start", self.start), ("end", self.end)):
            if pointers.dtype != np.int64 or pointers.ndim != 1:
                raise InputError(
                    f"rows.{name}: {pointers.dtype} {pointers.shape}, expected int64 (R,)"
                )
        if self.start.shape != self.end.shape:
            raise InputError(
                f"rows: {self.start.size} starts and {self.end.size} ends, expected as many"
            )
        for begin in range(0, self.end.size, _CHECKED):
            part = slice(begin, begin + _CHECKED)
            bad = (self.start[part] < 0) | (self.end[part] <= self.start[part])
            if not bad.any():
                continue
            row = begin + int(bad.argmax())
            raise InputError(
                f"rows[{row}]: start {self.start[row]}, end {self.end[row]}, "
                "expected 0 <= start < end: a row needs a history of one item"
            )

    def __len__(self) -> int:
        return self.end.size

    def take(self, indices: npt.NDArray[np.integer] | npt.NDArray[np.bool_] | slice) -> Rows:
        """Return the rows at `indices` (positions, a mask or a slice), in that order."""
        return Rows(self.start[indices], self.end[indices])

    def followed_by(self, other: Rows) -> Rows:
        """Return these rows and then the others'."""
        return Rows(
            np.concatenate([self.start, other.start]), np.concatenate([self.end, other.end])
        )


@dataclass(frozen=True, eq=False)
class Windows:
    """Rows cut out of the events, as a student reads them.

    Attributes:
        sequences: the last L items before the target, oldest first, right-padded with n_items,
            uint32 (R, L).
        lengths: how many of them are real, 1..L, uint32 (R,).
        targets: the item to predict, uint32 (R,).
    """

    sequences: UInt32Matrix
    lengths: UInt32Vector
    targets: UInt32Vector

    def __len__(self) -> int:
        return self.targets.size


@dataclass(frozen=True, eq=False)
class Users:
    """Whose events are whose.

    Attributes:
        ids: external ids, Arrow strings (n_users,).
        starts: where each user's events begin, and the end, int64 (n_users + 1,).
    """

    ids: pa.Array
    starts: Int64Vector

    def of_event(self, event: int) -> str:
        """Return the id of the user of an event."""
        place = int(np.searchsorted(self.starts, event, side="right")) - 1
        return str(self.ids[place].as_py())


@dataclass(frozen=True, eq=False)
class SequenceDataset:
    """Everybody's events in one array, and which places of it are train, validation and test rows.

    Attributes:
        name: how reports call it.
        catalogue: the items.
        events: item indices, user after user, each user's oldest first, uint32 (n_events,).
        max_length: L, how many items of a history a student sees.
        train: rows to learn from.
        validation: rows to choose by.
        test: rows to report.
        has_users: whether `start` is the beginning of a user's whole history. False in the authors'
            layout, where each row of a file is a pseudo-user and only the window is known.
        notes: what a reader of results should know about the data, one sentence each.
        users: who they are, for messages; None where that is not known.
        folder: where it was read, so that a run can find it again; None if it was made in memory.
    """

    name: str
    catalogue: Catalogue
    events: UInt32Vector
    max_length: int
    train: Rows
    validation: Rows
    test: Rows
    has_users: bool
    notes: list[str] = field(default_factory=list)
    users: Users | None = None
    folder: Path | None = None

    def __repr__(self) -> str:
        """A few lines: sizes, no arrays."""
        rows = ", ".join(f"{len(rows):,} {name}" for name, rows in self.splits().items())
        return (
            f"SequenceDataset {self.name!r}: {self.n_items:,} items, {self.events.size:,} events\n"
            f"  rows: {rows}; windows of up to {self.max_length} items\n"
            f"  read from {self.folder}; {len(self.notes)} notes in .notes"
        )

    def __post_init__(self) -> None:
        if self.events.dtype != np.uint32 or self.events.ndim != 1:
            raise InputError(
                f"events: {self.events.dtype} {self.events.shape}, expected uint32 (n_events,)"
            )
        if self.max_length < 1:
            raise InputError(f"max_length: {self.max_length}, expected at least 1")
        if self.events.size and int(self.events.max()) >= self.n_items:
            place = int((self.events >= self.n_items).argmax())
            raise InputError(
                f"events[{place}]: item {self.events[place]}, expected 0..{self.n_items - 1}"
            )
        for name, rows in self.splits().items():
            self._check_inside(name, rows)

    @property
    def n_items(self) -> int:
        """How many items the catalogue has; also the padding index."""
        return self.catalogue.n_items

    def splits(self) -> dict[str, Rows]:
        """Return the three row sets by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def windows(self, rows: Rows) -> Windows:
        """Cut the windows of some rows: history `events[max(start, end-L):end]`, target `[end]`.

        Raises:
            InputError: a row points outside the events.
        """
        self._check_inside("rows", rows)
        start, end = (np.ascontiguousarray(pointers) for pointers in (rows.start, rows.end))
        return Windows(
            *_core.gather_windows(self.events, start, end, self.max_length, self.n_items)
        )

    def window_begin(self, rows: Rows) -> Int64Vector:
        """Return where each row's window begins in the events, int64 (R,)."""
        return np.maximum(rows.start, rows.end - self.max_length)

    def targets(self, rows: Rows) -> UInt32Vector:
        """Return the rows' targets, uint32 (R,), without cutting windows."""
        return self.events[rows.end]

    def target_counts(self) -> Int64Vector:
        """Count how often each item is the target of a train row, int64 (n_items,)."""
        counts = np.zeros(self.n_items, np.int64)
        for begin in range(0, len(self.train), _CHECKED):
            ends = self.train.end[begin : begin + _CHECKED]
            counts += np.bincount(self.events[ends], minlength=self.n_items)
        return counts

    def fingerprint(self) -> str:
        """Return the sha256 of rows, events and catalogue: what a teacher folder belongs to.

        Whatever makes a teacher's row r or item i mean something else changes it; the name, the
        notes and the machine's byte order do not.
        """
        digest = hashlib.sha256(f"dataset-1 {self.max_length} {self.has_users} ".encode())
        for rows in self.splits().values():
            hash_array(digest, rows.start)
            hash_array(digest, rows.end)
        hash_array(digest, self.events)
        hash_texts(digest, self.catalogue.item_ids)
        hash_texts(digest, self.catalogue.titles)
        return digest.hexdigest()

    def _check_inside(self, name: str, rows: Rows) -> None:
        if len(rows) and int(rows.end.max()) >= self.events.size:
            row = int((rows.end >= self.events.size).argmax())
            raise InputError(
                f"{name}[{row}]: target at event {rows.end[row]}, "
                f"expected one of {self.events.size} events"
            )
