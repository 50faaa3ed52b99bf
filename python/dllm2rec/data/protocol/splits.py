"""From a log to train, validation and test rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows
from dllm2rec.data.logs.interactions import SPLITS
from dllm2rec.data.protocol.model import Protocol
from dllm2rec.data.protocol.user_order import OrderedLog, first_places
from dllm2rec.errors import InputError

Int64Vector = npt.NDArray[np.int64]
NONE = len(SPLITS)  # an event that is no target


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
    starts = log.starts()
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
        split[_first(starts)] = NONE
        if protocol.cut_validation:
            _cut_validation(starts, split)
    elif protocol.split == "global_time":
        _by_time(log, starts, protocol, split)
    else:
        _by_user(starts, protocol, split)
    if protocol.rows == "full_windows":
        split[_short(starts, protocol.window)] = NONE
    return split


def _first(starts: Int64Vector) -> Int64Vector:
    """The first event of each user who has one."""
    return starts[:-1][np.diff(starts) > 0]


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
    split[_first(starts)] = NONE
    split[np.repeat(~used, sizes)] = NONE


def _by_time(
    log: OrderedLog, starts: Int64Vector, protocol: Protocol, split: npt.NDArray[np.uint8]
) -> None:
    if log.times is None:
        raise InputError(
            "split = 'global_time', but the log has no times, expected a column of timestamps",
            code="E-SPLIT",
            hint="name it with --time-column, or choose split = 'leave_one_out'",
        )
    is_target = np.ones(len(log), bool)
    is_target[_first(starts)] = False
    if protocol.rows == "full_windows":
        is_target &= ~_short(starts, protocol.window)
    times, places = log.times[is_target], log.places[is_target]
    if protocol.row_order == "time":
        sizes = np.diff(starts)
        places = np.repeat(first_places(log), sizes[sizes > 0])[is_target]
    train, validation, _ = protocol.shares
    result = np.full(len(times), 2, np.uint8)
    for number, share in ((1, train + validation), (0, train)):
        result[_earliest(times, places, int(len(times) * share + 1e-9))] = number
    split[is_target] = result


def _earliest(times: Int64Vector, places: npt.NDArray[np.uint32], n: int) -> npt.NDArray[np.bool_]:
    """Which are the n earliest, equal times by `places`, equal places as they come."""
    if n >= len(times):
        return np.ones(len(times), bool)
    if n == 0:
        return np.zeros(len(times), bool)
    bound = np.partition(times, n - 1)[n - 1]
    chosen: npt.NDArray[np.bool_] = times < bound
    at_bound = np.flatnonzero(times == bound)
    missing = n - int(np.count_nonzero(chosen))
    chosen[at_bound[np.argsort(places[at_bound], kind="stable")[:missing]]] = True
    return chosen


def rows_of(starts: Int64Vector, split: npt.NDArray[np.uint8], number: int) -> Rows:
    """Return the rows of one split, in the order of the log; `starts` are where users begin."""
    end = np.flatnonzero(split == number)
    per_user = np.diff(np.searchsorted(end, starts))
    return Rows(np.repeat(starts[:-1], per_user), end)


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
