"""Which events of a log in the order of its users the rules on repeats and the k-core leave."""

from __future__ import annotations

import numpy as np

from dllm2rec.data.protocol.user_order import (
    Mask,
    OrderedLog,
    blocks,
    count,
    follows_same_user,
)
from dllm2rec.storage import scratch


def count_ties(log: OrderedLog) -> int:
    """Count the events at the time of the one before: only the file orders them."""
    return sum(int(np.count_nonzero(_tied(part))) for _, part in log.user_blocks())


def _tied(log: OrderedLog) -> Mask:
    ties = follows_same_user(log)
    if log.times is None:
        ties[:] = False
    else:
        ties[1:] &= log.times[1:] == log.times[:-1]
    return ties


def without_duplicates(log: OrderedLog) -> Mask:
    """Keep the first of events with the same user, item and time."""
    kept = scratch.empty(len(log), bool)
    for events, part in log.user_blocks():
        kept[events] = _without_duplicates(part)
    return kept


def _without_duplicates(log: OrderedLog) -> Mask:
    ties = _tied(log)
    starts = ~ties
    ties[:-1] |= ties[1:]  # the first of each run too
    places = np.flatnonzero(ties)
    kept = np.ones(len(log), bool)
    if log.times is None or not len(places):
        return kept
    # Runs of one user and one time are numbered; a run has few events.
    keys = np.cumsum(starts[places]).astype(np.uint64) << np.uint64(32) | log.items[places]
    _, first = np.unique(keys, return_index=True)
    kept[places] = False
    kept[places[first]] = True
    return kept


def without_repeats(log: OrderedLog, rule: str) -> Mask:
    """Keep the first or the last of a user's events with one item, or of those in a row."""
    kept = scratch.empty(len(log), bool)
    for events, part in log.user_blocks():
        kept[events] = _without_repeats(part, rule)
    return kept


def _without_repeats(log: OrderedLog, rule: str) -> Mask:
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
        kept = scratch.empty(len(log), bool)
        for block in blocks(len(log)):
            kept[block] = ~(few_users[log.users[block]] | few_items[log.items[block]])
        log = log.take(kept)
