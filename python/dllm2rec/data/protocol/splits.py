"""From a log to train, validation and test rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows
from dllm2rec.data.logs.interactions import SPLITS
from dllm2rec.data.protocol.model import Protocol
from dllm2rec.data.protocol.user_order import (
    OrderedLog,
    blocks,
    first_places,
    follows_same_user,
    user_parts,
)
from dllm2rec.errors import InputError
from dllm2rec.storage import scratch

Int64Vector = npt.NDArray[np.int64]
NONE = len(SPLITS)  # an event that is no target
_SIGN = np.uint64(
    1 << 63
)  # turned over, it makes the order of signed numbers that of unsigned ones


def split_targets(log: OrderedLog, protocol: Protocol) -> npt.NDArray[np.uint8]:
    """Say of each event which split it is a target of: index into `SPLITS`, or `NONE`, uint8 (n,).

    A user's first event has no history and is no target. `leave_one_out` and `leave_k_out` need
    `2 * leave + 1` events of a user: the others are no targets at all. Of a user's n events
    `user_ratio` gives floor(n * share) to test, as many by its share to validation, both from the
    end. `global_time` counts rows from the earliest, equal times in the order of the file, or as
    `row_order` says.

    Raises:
        InputError: `global_time` without times, `given` without a split in the file.
    """
    split = scratch.empty(len(log), np.uint8)
    if protocol.split == "global_time":
        _by_time(log, protocol, split)
        return split
    for events, part in log.user_blocks():
        split[events] = _of_users(part, protocol)
    return split


def _of_users(log: OrderedLog, protocol: Protocol) -> npt.NDArray[np.uint8]:
    """The same where no user's split depends on another user."""
    starts = _starts(log)
    split = np.full(len(log), NONE, np.uint8)
    if protocol.split == "given":
        if log.splits is None:
            raise InputError(
                "split = 'given', but the file has no column of splits, expected one that says "
                "train, validation or test",
                code="E-SPLIT",
                hint="name it with --split-column",
            )
        split[:] = log.splits
        split[starts[:-1]] = NONE
        if protocol.cut_validation:
            _cut_validation(starts, split)
    else:
        _by_user(starts, protocol, split)
    if protocol.rows == "full_windows":
        split[_short(starts, protocol.window)] = NONE
    return split


def _starts(log: OrderedLog) -> Int64Vector:
    """Where the events of each user who has one begin, and the end."""
    return np.append(np.flatnonzero(~follows_same_user(log)), len(log))


def _cut_validation(starts: Int64Vector, split: npt.NDArray[np.uint8]) -> None:
    """Give the last train target of each user who has two or more to validation, in place."""
    if (split == SPLITS.index("validation")).any():
        message = "cut_validation = true, but the log has validation events of its own"
        raise InputError(f"{message}, expected none", code="E-SPLIT", hint="leave it out")
    places = np.flatnonzero(split == SPLITS.index("train"))
    ends = np.searchsorted(places, starts[1:])
    several = np.diff(ends, prepend=0) > 1
    split[places[ends[several] - 1]] = SPLITS.index("validation")


def _short(starts: Int64Vector, max_length: int) -> npt.NDArray[np.bool_]:
    """Which events have a history shorter than a window and are not their user's last.

    A user of up to `max_length` events has one row, the last event; a longer one those with full
    windows.
    """
    sizes = np.diff(starts)
    needed = np.minimum(max_length, np.maximum(sizes - 1, 0))
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    return np.asarray(place < np.repeat(needed, sizes), bool)


def _by_user(starts: Int64Vector, protocol: Protocol, split: npt.NDArray[np.uint8]) -> None:
    sizes = np.diff(starts)
    if protocol.split == "user_ratio":
        _, validation, test = protocol.shares
        # 1e-9: 0.1 * 10 may come out below 1.
        n_test = np.floor(sizes * test + 1e-9).astype(np.int64)
        n_validation = np.floor(sizes * validation + 1e-9).astype(np.int64)
        used = sizes >= 2
    else:
        n_test = n_validation = np.full(len(sizes), protocol.leave)
        used = sizes >= 2 * protocol.leave + 1
    # Where the number of the split changes within a user, and back; summed up it is the number.
    change = np.zeros(len(split) + 1, np.int8)
    for n in (n_test, n_test + n_validation):
        ends = starts[1:][used]
        np.add.at(change, np.maximum(ends - n[used], starts[:-1][used]), 1)
        np.add.at(change, ends, -1)
    np.cumsum(change[:-1], dtype=np.int8, out=split.view(np.int8))
    split[starts[:-1]] = NONE
    split[np.repeat(~used, sizes)] = NONE


def _by_time(log: OrderedLog, protocol: Protocol, split: npt.NDArray[np.uint8]) -> None:
    if log.times is None:
        raise InputError(
            "split = 'global_time', but the log has no times, expected a column of timestamps",
            code="E-SPLIT",
            hint="name it with --time-column, or choose split = 'leave_one_out'",
        )
    for events, part in log.user_blocks():
        starts = _starts(part)
        split[events] = len(SPLITS) - 1
        split[events][starts[:-1]] = NONE
        if protocol.rows == "full_windows":
            split[events][_short(starts, protocol.window)] = NONE
    targets = _Targets(log, split, by_user=protocol.row_order == "time")
    n = sum(int(np.count_nonzero(split[block] != NONE)) for block in blocks(len(log)))
    train, validation, _ = protocol.shares
    for number, share in ((1, train + validation), (0, train)):
        targets.give_earliest(int(n * share + 1e-9), number)


class _Targets:
    """The events that are targets, by time; equal times by place in the file.

    Args:
        log: in the order of its users.
        split: of each event, `NONE` for those that are no target; changed in place.
        by_user: the place of an event is that of its user's first.
    """

    def __init__(self, log: OrderedLog, split: npt.NDArray[np.uint8], *, by_user: bool) -> None:
        assert log.times is not None  # noqa: S101 - for mypy
        self._times, self._split, self._log = log.times, split, log
        self._first = first_places(log) if by_user else None

    def give_earliest(self, n: int, number: int) -> None:
        """Give the n earliest targets to a split; of equal times and places as they come."""
        bound, n_before = self._nth(n)
        at_bound = []
        for block in blocks(len(self._split)):
            split, times = self._split[block], self._times[block]
            is_target = split != NONE
            split[is_target & (times < bound)] = number
            at_bound.append(np.flatnonzero(is_target & (times == bound)) + block.start)
        tied = np.concatenate(at_bound)
        order = np.argsort(self._places(tied), kind="stable")
        self._split[tied[order[: n - n_before]]] = number

    def _places(self, events: Int64Vector) -> npt.NDArray[np.uint32]:
        if self._first is None:
            return self._log.places[events]
        users = self._log.users[events]
        having = np.flatnonzero(np.diff(self._log.starts()))
        return self._first[np.searchsorted(having, users)]

    def _nth(self, n: int) -> tuple[int, int]:
        """The time of the n-th earliest target, and how many are before it.

        Found 16 bits at a time, the highest first: a pass each, and no column is sorted.
        """
        if n == 0:
            return np.iinfo(np.int64).min, 0
        prefix, n_before = 0, 0
        for shift in (48, 32, 16, 0):
            counts = np.zeros(1 << 16, np.int64)
            for block in blocks(len(self._split)):
                keys = self._times[block][self._split[block] != NONE].view(np.uint64) ^ _SIGN
                if shift < 48:
                    keys = keys[keys >> np.uint64(shift + 16) == prefix]
                digits = (keys >> np.uint64(shift)) & np.uint64(0xFFFF)
                counts += np.bincount(digits.astype(np.int64), minlength=1 << 16)
            ends = n_before + np.cumsum(counts)
            digit = int(np.searchsorted(ends, n))
            n_before = int(ends[digit] - counts[digit])
            prefix = prefix << 16 | digit
        return prefix - (1 << 63), n_before


def last_rows(rows: Rows) -> Rows:
    """Return each user's last row, of rows in the order of the log."""
    starts, ends = [], []
    for block in blocks(len(rows)):
        start = rows.start[block]
        last = np.append(start[1:] != start[:-1], True)
        starts.append(start[last])
        ends.append(rows.end[block][last])
    if not starts:
        return rows
    start, end = np.concatenate(starts), np.concatenate(ends)
    # A user whose rows two blocks hold has two.
    last = np.append(start[1:] != start[:-1], True)
    return Rows(start[last], end[last])


def known_items(events: npt.NDArray[np.uint32], train: Rows, n_items: int) -> npt.NDArray[np.bool_]:
    """Return which items some train row has in its history or as its target, (N,)."""
    known = np.zeros(n_items, bool)
    # All histories of a user begin at the first event; the last target reaches furthest.
    train = last_rows(train)
    for block in blocks(len(events)):
        touched = slice(
            np.searchsorted(train.end, block.start), np.searchsorted(train.start, block.stop)
        )
        change = np.zeros(block.stop - block.start + 1, np.int8)
        change[np.maximum(train.start[touched] - block.start, 0)] = 1
        change[np.minimum(train.end[touched] + 1 - block.start, len(change) - 1)] -= 1
        inside = np.cumsum(change[:-1], dtype=np.int8) > 0
        known[events[block][inside]] = True
    return known


def rows_of(starts: Int64Vector, split: npt.NDArray[np.uint8], number: int) -> Rows:
    """Return the rows of one split, in the order of the log; `starts` are where users begin."""
    n = sum(int(np.count_nonzero(split[block] == number)) for block in blocks(len(split)))
    start, end, done = scratch.empty(n, np.int64), scratch.empty(n, np.int64), 0
    for first, last in user_parts(starts):
        begin = starts[first]
        places = begin + np.flatnonzero(split[begin : starts[last]] == number)
        per_user = np.diff(np.searchsorted(places, starts[first : last + 1]))
        part = slice(done, done + len(places))
        start[part], end[part] = np.repeat(starts[first:last], per_user), places
        done += len(places)
    return Rows(start, end)


def in_time(
    rows: Rows, starts: Int64Vector, times: Int64Vector, first_place: npt.NDArray[np.uint32]
) -> Rows:
    """Return rows by the time of their targets, then by the first place of their user in the file.

    Args:
        rows: in the order of the log.
        starts: where each user's events begin, and the end, (n_users + 1,).
        times: of each event.
        first_place: of each user, (n_users,).
    """
    user = np.searchsorted(starts, rows.end, side="right") - 1
    return rows.take(np.lexsort((rows.end, first_place[user], times[rows.end])))


def sampled(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Draw n of the rows without repeats, in their order; all if there are no more."""
    if n >= len(rows):
        return rows
    return rows.take(np.sort(rng.choice(len(rows), n, replace=False)))
