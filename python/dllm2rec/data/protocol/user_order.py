"""A log in the order of its users, and the rules that drop events from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.data.logs.interactions import Interactions

Mask = npt.NDArray[np.bool_]
UInt32Vector = npt.NDArray[np.uint32]
Int64Vector = npt.NDArray[np.int64]
Number = TypeVar("Number", np.uint8, np.uint32, np.int64)

# Events looked at together: a hundred million at once would need several times their memory.
_BLOCK = 1 << 22


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
            _squeezed(self.users, kept),
            _squeezed(self.items, kept),
            _squeezed(self.places, kept),
            None if self.times is None else _squeezed(self.times, kept),
            None if self.splits is None else _squeezed(self.splits, kept),
            self.n_users,
            self.n_items,
        )

    def starts(self) -> Int64Vector:
        """Return where each user's events begin, and the end, int64 (n_users + 1,)."""
        counts = count(self.users, self.n_users)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _squeezed(values: npt.NDArray[Number], kept: Mask) -> npt.NDArray[Number]:
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


def columns_of(log: Interactions, kept: Mask) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the events that are kept, themselves where all are."""
    columns: dict[str, npt.NDArray[Any]] = {"users": log.users, "items": log.items}
    if log.times is not None:
        columns["times"] = log.times
    if log.splits is not None:
        columns["splits"] = log.splits
    if bool(kept.all()):
        return columns
    places = np.flatnonzero(kept).astype(np.uint32)
    return {name: values[places] for name, values in columns.items()} | {"places": places}


def order_log(columns: dict[str, npt.NDArray[Any]], n_users: int, n_items: int) -> OrderedLog:
    """Order events by user, then time, then place in the file.

    Args:
        columns: of `columns_of`. They are taken out one by one, so that each is freed once it is
            ordered, if nobody else holds it.
        n_users: as many as the numbers of users reach.
        n_items: as many as the numbers of items reach.
    """
    order, starts = _core.order_by_user(columns.pop("users"), columns.get("times"), n_users)
    items = columns.pop("items")[order]
    times = columns.pop("times")[order] if "times" in columns else None
    splits = columns.pop("splits")[order] if "splits" in columns else None
    places = columns.pop("places")[order] if "places" in columns else order
    users = np.repeat(np.arange(n_users, dtype=np.uint32), np.diff(starts))
    return OrderedLog(users, items, places, times, splits, n_users, n_items)


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
        counts += np.bincount(numbers[block], minlength=n)
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


def tied(log: OrderedLog) -> Mask:
    """Return which events happened at the time of the one before: only the file orders them."""
    ties = follows_same_user(log)
    if log.times is None:
        ties[:] = False
    else:
        ties[1:] &= log.times[1:] == log.times[:-1]
    return ties


def without_duplicates(log: OrderedLog) -> Mask:
    """Keep the first of events with the same user, item and time."""
    ties = tied(log)
    ties[:-1] |= ties[1:]  # the first of each run too
    places = np.flatnonzero(ties)
    kept = np.ones(len(log), bool)
    if log.times is None or not len(places):
        return kept
    # Runs of one user and one time are numbered; a run has few events.
    starts = ~tied(log)[places]
    keys = np.cumsum(starts).astype(np.uint64) << np.uint64(32) | log.items[places]
    _, first = np.unique(keys, return_index=True)
    kept[places] = False
    kept[places[first]] = True
    return kept


def without_repeats(log: OrderedLog, rule: str) -> Mask:
    """Keep the first or the last of a user's events with one item, or of those in a row."""
    kept = np.ones(len(log), bool)
    if rule == "keep":
        return kept
    if rule == "consecutive":
        kept[1:] = ~(follows_same_user(log)[1:] & (log.items[1:] == log.items[:-1]))
        return kept
    keys = log.users.astype(np.uint64) << np.uint64(32) | log.items
    if rule == "last":
        keys = keys[::-1]
    _, first = np.unique(keys, return_index=True)
    kept[:] = False
    kept[len(log) - 1 - first if rule == "last" else first] = True
    return kept


def core(log: OrderedLog, min_user_events: int, min_item_events: int) -> tuple[OrderedLog, int]:
    """Drop users and items with too few events until none is left that has; and in how many rounds.

    The result is the same whatever is dropped first: the largest log in which both bounds hold.
    """
    rounds = 0
    while True:
        users = count(log.users, log.n_users)
        items = count(log.items, log.n_items)
        few_users = (users > 0) & (users < min_user_events)
        few_items = (items > 0) & (items < min_item_events)
        if not few_users.any() and not few_items.any():
            return log, rounds
        rounds += 1
        kept = np.empty(len(log), bool)
        for block in blocks(len(log)):
            kept[block] = ~(few_users[log.users[block]] | few_items[log.items[block]])
        log = log.take(kept)
