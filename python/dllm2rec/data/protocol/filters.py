"""The rules of a protocol that drop events, each noting what it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.data.protocol.drop_events import core, without_duplicates, without_repeats
from dllm2rec.data.protocol.model import Protocol, microseconds
from dllm2rec.data.protocol.user_order import OrderedLog, blocks, count
from dllm2rec.errors import InputError
from dllm2rec.storage import scratch


@dataclass(frozen=True)
class Step:
    """What one rule left.

    Attributes:
        rule: the rule, with its parameter, such as `rating >= 4`.
        events: events that are left.
        users: users who still have one.
        items: items that still have one.
    """

    rule: str
    events: int
    users: int
    items: int


def first_filters(
    log: Interactions, protocol: Protocol, title_of: list[str] | None, steps: list[Step]
) -> npt.NDArray[np.bool_]:
    """Say which events the rules on ratings, times and titles keep; note what each left.

    Raises:
        InputError: a rule needs what the log does not have.
    """
    kept = scratch.full(len(log), 1, bool)

    def apply(rule: str, keeps: Callable[[slice], npt.NDArray[np.bool_]]) -> None:
        users, items = np.zeros(log.n_users, bool), np.zeros(log.n_items, bool)
        for block in blocks(len(log)):
            kept[block] &= keeps(block)
            users[log.users[block][kept[block]]] = True
            items[log.items[block][kept[block]]] = True
        counts = (int(np.count_nonzero(each)) for each in (kept, users, items))
        steps.append(Step(rule, *counts))

    if (least := protocol.min_rating) is not None:
        ratings = log.ratings
        if ratings is None:
            raise missing("min_rating", "ratings", "--rating-column")
        apply(f"rating >= {least:g}", lambda block: ratings[block] >= least)
    for name, date in (("since", protocol.since), ("until", protocol.until)):
        if date is None:
            continue
        times = log.times
        if times is None:
            raise missing(name, "times", "--time-column")
        compare = np.greater_equal if name == "since" else np.less
        apply(f"{name} {date}", partial(_compared, compare, times, microseconds(date)))
    if protocol.min_title_length:
        if title_of is None:
            raise missing("min_title_length", "titles", "--titles")
        lengths = np.fromiter(map(len, title_of), np.int64, len(title_of))
        long_enough = lengths >= protocol.min_title_length
        apply(
            f"title of {protocol.min_title_length} characters or more",
            lambda block: long_enough[log.items[block]],
        )
    return kept


def _compared(
    compare: np.ufunc, times: npt.NDArray[np.int64], moment: int, block: slice
) -> npt.NDArray[np.bool_]:
    return np.asarray(compare(times[block], moment), bool)


def later_filters(log: OrderedLog, protocol: Protocol, steps: list[Step]) -> OrderedLog:
    """Apply the rules on duplicates, repeats and the k-core; note what each left.

    Raises:
        InputError: duplicates are to be dropped, but the log has no times.
    """
    if protocol.duplicates == "drop":
        if log.times is None:
            raise missing("duplicates", "times", "--time-column")
        log = log.take(without_duplicates(log))
        steps.append(step_of("first of the same user, item and time", log))
    if protocol.repeats != "keep":
        log = log.take(without_repeats(log, protocol.repeats))
        which = {"first": "first", "last": "last", "consecutive": "first in a row"}
        steps.append(step_of(f"{which[protocol.repeats]} of the same user and item", log))
    if protocol.min_user_events > 1 or protocol.min_item_events > 1:
        log, rounds = core(log, protocol.min_user_events, protocol.min_item_events)
        rule = (
            f"users >= {protocol.min_user_events}, items >= {protocol.min_item_events} events "
            f"({rounds} rounds)"
        )
        steps.append(step_of(rule, log))
    return log


def step_of(rule: str, log: OrderedLog) -> Step:
    """Count what is left."""
    users = int(np.count_nonzero(count(log.users, log.n_users)))
    items = int(np.count_nonzero(count(log.items, log.n_items)))
    return Step(rule, len(log), users, items)


def missing(field_name: str, what: str, option: str) -> InputError:
    """Return the error for a rule that needs what the log does not have."""
    return InputError(
        f"{field_name} is set, but the log has no {what}, expected some",
        code="E-COLUMN",
        hint=f"name them with {option}",
    )
