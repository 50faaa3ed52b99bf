"""Histories the slow way."""

from __future__ import annotations

import numpy as np


def order_by_user(users, times, n_users):
    """Python's own stable sort."""
    keys = [(int(u), 0 if times is None else int(times[i]), i) for i, u in enumerate(users)]
    order = [i for _, _, i in sorted(keys)]
    counts = [sum(int(u) < n for u in users) for n in range(n_users + 1)]
    return np.array(order, np.uint32), np.array(counts, np.int64)


def gather_windows(events, start, end, max_length, padding):
    """A slice a row."""
    sequences = np.full((len(end), max_length), padding, np.uint32)
    for row, (first, last) in enumerate(zip(start, end, strict=True)):
        history = events[first:last][-max_length:]
        sequences[row, : len(history)] = history
    lengths = np.minimum(end - start, max_length).astype(np.uint32)
    return sequences, lengths, events[end]
