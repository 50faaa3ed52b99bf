"""A log in the order of its users, and the rules that drop events from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.arrays import UINT32_MAX
from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.errors import InputError
from dllm2rec.storage import scratch

Mask = npt.NDArray[np.bool_]
UInt32Vector = npt.NDArray[np.uint32]
Int64Vector = npt.NDArray[np.int64]
Number = TypeVar("Number", np.uint8, np.uint32, np.int64)

# Events looked at together: a hundred million at once would need several times their memory.
_BLOCK = 1 << 22
# Events that are ordered together: some 60 bytes each, for as long as it takes.
_PART = 1 << 24


@dataclass(frozen=True, eq=False)
class OrderedLog:
    """Events by user, then time, then place in the file.

    Attributes:
        users: uint32 (n,), not falling.
        items: uint32 (n,).
        places: where in the file each event was, uint32 (n,).
        times: microseconds, int64 (n,), or None.
        splits: index into `SPLITS`, uint8 (n,), or None.
        n_users: as many as the numbers of users reach.
        n_items: as many as the numbers of items reach.
    """

    users: UInt32Vector
    items: UInt32Vector
    places: UInt32Vector
    times: Int64Vector | None
    splits: npt.NDArray[np.uint8] | None
    n_users: int
    n_items: int

    def __len__(self) -> int:
        """The number of events."""
        return len(self.users)

    def take(self, kept: Mask) -> OrderedLog:
        """Return the events that are kept, in the same memory: this log is of no use any longer."""
        if bool(kept.all()):
            return self
        return OrderedLog(
            squeezed(self.users, kept),
            squeezed(self.items, kept),
            squeezed(self.places, kept),
            None if self.times is None else squeezed(self.times, kept),
            None if self.splits is None else squeezed(self.splits, kept),
            self.n_users,
            self.n_items,
        )

    def part(self, events: slice) -> OrderedLog:
        """Return some events, as views."""
        return OrderedLog(
            self.users[events],
            self.items[events],
            self.places[events],
            None if self.times is None else self.times[events],
            None if self.splits is None else self.splits[events],
            self.n_users,
            self.n_items,
        )

    def user_blocks(self) -> Iterator[tuple[slice, OrderedLog]]:
        """Yield whole users, some million events together: where they are, and they."""
        starts = self.starts()
        for first, last in user_parts(starts):
            events = slice(int(starts[first]), int(starts[last]))
            yield events, self.part(events)

    def starts(self) -> Int64Vector:
        """Return where each user's events begin, and the end, int64 (n_users + 1,)."""
        counts = count(self.users, self.n_users)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def squeezed(values: npt.NDArray[Number], kept: Mask) -> npt.NDArray[Number]:
    """Move what is kept to the front, block by block: no second column is needed."""
    size = 0
    for block in blocks(len(values)):
        part = values[block][kept[block]]
        values[size : size + len(part)] = part
        size += len(part)
    if not values.flags.owndata:
        return values[:size]
    values.resize(size, refcheck=False)
    return values


def columns_of(log: Interactions) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that a protocol orders, by name."""
    columns: dict[str, npt.NDArray[Any]] = {"users": log.users, "items": log.items}
    if log.times is not None:
        columns["times"] = log.times
    if log.splits is not None:
        columns["splits"] = log.splits
    return columns


def order_log(
    columns: dict[str, npt.NDArray[Any]], kept: Mask, n_users: int, n_items: int
) -> OrderedLog:
    """Order the events that are kept by user, then time, then place in the file.

    One pass puts the events of some users beside each other, about `_PART` of them, so that each
    part is ordered in memory where it lies.

    Args:
        columns: of `columns_of`. They are taken out, so that each is freed once the log is ordered,
            if nobody else holds it.
        kept: which events, (n,).
        n_users: as many as the numbers of users reach.
        n_items: as many as the numbers of items reach.

    Raises:
        InputError: there are more events than numbers of 32 bits.
    """
    n = len(kept)
    if n > UINT32_MAX:
        raise InputError(f"a log of {n:,} events, expected at most {UINT32_MAX:,}")
    counts = np.zeros(n_users, np.int64)
    for block in blocks(n):
        counts += count(columns["users"][block][kept[block]], n_users)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    grouped = _grouped(columns, kept, starts)
    columns.clear()
    log = OrderedLog(
        grouped["users"],
        grouped["items"],
        grouped["places"],
        grouped.get("times"),
        grouped.get("splits"),
        n_users,
        n_items,
    )
    for first, last in user_parts(starts, _PART):
        part = slice(starts[first], starts[last])
        users = grouped["users"][part] - np.uint32(first)
        times = None if log.times is None else log.times[part]
        order, _ = _core.order_by_user(users, times, last - first)
        for values in grouped.values():
            values[part] = values[part][order]
    return log


def _grouped(
    columns: dict[str, npt.NDArray[Any]], kept: Mask, starts: Int64Vector
) -> dict[str, npt.NDArray[Any]]:
    """Put the users of a part beside each other, each part in the order of the file."""
    bounds = [first for first, _ in user_parts(starts, _PART)]
    next_place = starts[bounds]
    grouped = {name: scratch.empty(int(starts[-1]), v.dtype) for name, v in columns.items()}
    grouped["places"] = scratch.empty(int(starts[-1]), np.uint32)
    for block in blocks(len(kept)):
        chosen, sizes = _by_part(columns["users"][block], np.flatnonzero(kept[block]), bounds)
        cuts = np.cumsum(sizes)[:-1]
        for name, values in grouped.items():
            if name == "places":
                taken = (chosen + block.start).astype(np.uint32)
            else:
                taken = columns[name][block][chosen]
            for place, piece in zip(next_place, np.split(taken, cuts), strict=True):
                values[place : place + len(piece)] = piece
        next_place = next_place + sizes
    return grouped


def _by_part(
    users: UInt32Vector, chosen: Int64Vector, bounds: list[int]
) -> tuple[Int64Vector, Int64Vector]:
    """Return the chosen events part after part, and how many each part has."""
    if len(bounds) == 1:
        return chosen, np.array([len(chosen)])
    part = np.searchsorted(bounds, users[chosen], side="right") - 1
    # Numbers of 16 bits are sorted in two passes.
    order = np.argsort(
        part.astype(np.uint16 if len(bounds) < 1 << 16 else np.uint32), kind="stable"
    )
    return chosen[order], np.bincount(part, minlength=len(bounds))


def user_parts(starts: Int64Vector, n_events: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut users into neighbours with about `n_events` events together, one user at least.

    Yields:
        the first user and one past the last.
    """
    n_events = _BLOCK if n_events is None else n_events
    first, n_users = 0, len(starts) - 1
    while first < n_users:
        last = int(np.searchsorted(starts, starts[first] + n_events, side="right")) - 1
        last = min(max(last, first + 1), n_users)
        yield first, last
        first = last


def first_places(log: OrderedLog) -> UInt32Vector:
    """Return where in the file the first event of each user who has one was, uint32."""
    starts = log.starts()
    return np.minimum.reduceat(log.places, starts[:-1][np.diff(starts) > 0])


def blocks(n: int) -> Iterator[slice]:
    """Return slices that cover 0..n-1."""
    for begin in range(0, n, _BLOCK):
        yield slice(begin, min(n, begin + _BLOCK))


def count(numbers: UInt32Vector, n: int) -> Int64Vector:
    """Count how often each of 0..n-1 occurs, int64 (n,), without widening all numbers at once."""
    counts = np.zeros(n, np.int64)
    for block in blocks(len(numbers)):
        part = numbers[block]
        lowest = part.min()  # where numbers are in order, a block has few of them
        found = np.bincount(part - lowest)
        counts[lowest : int(lowest) + len(found)] += found
    return counts


def follows_same_user(log: OrderedLog) -> Mask:
    """Return which events have an earlier one of the same user just before them."""
    follows = np.zeros(len(log), bool)
    np.equal(log.users[1:], log.users[:-1], out=follows[1:])
    return follows


def turns_back(log: OrderedLog) -> int:
    """Count the events that the file has before the one that they follow."""
    turns = 0
    for block in blocks(len(log)):
        part = slice(max(0, block.start - 1), block.stop)
        users, places = log.users[part], log.places[part]
        turns += int(np.count_nonzero((users[1:] == users[:-1]) & (places[1:] < places[:-1])))
    return turns
