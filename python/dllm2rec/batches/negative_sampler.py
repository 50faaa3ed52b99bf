"""Negatives: items a row has not seen, drawn uniformly and reproducibly.

`negative_sampler` decides what each train row excludes; `sample_negatives` draws for any rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec import _core
from dllm2rec.arrays import UINT32_MAX, whole_numbers
from dllm2rec.config.model import LossConfig
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError

INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1
BLOCK_COMPARISONS = 1 << 24  # of drawn and listed items at once: 16 MiB
UINT32, INT64, UINT64 = np.dtype(np.uint32), np.dtype(np.int64), np.dtype(np.uint64)

Whole = TypeVar("Whole", np.int64, np.uint32, np.uint64)


def rows_to_keep(dataset: SequenceDataset, rows: Rows, config: LossConfig) -> npt.NDArray[np.bool_]:
    """Which train rows are trained on, (R,): all, but those that `loss.neg_fallback` skips."""
    kept = np.ones(len(rows), dtype=np.bool_)
    if config.base != "softmax" and config.neg_fallback == "skip":
        begin = _excluded_from(dataset, rows, config)
        kept[_without_negative(dataset, begin, rows.end + 1)] = False
    return kept


@dataclass(frozen=True, eq=False)
class NegativeSampler:
    """Draws an epoch's negatives for every train row, keyed by (seed, epoch, row, draw).

    Attributes:
        dataset: where the excluded items stand.
        begin: the first excluded event of each row, (R,), int64.
        end: one past the last, which is the target, (R,), int64.
        n_negatives: M.
        listed: items that are no negatives of a row either, (R, K), int32, -1 at places without
            one; or None.
    """

    dataset: SequenceDataset
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    n_negatives: int
    listed: npt.NDArray[np.int32] | None = None

    def epoch(self, seed: int, epoch: int) -> Tensor:
        """Draw the negatives of one epoch, (R, M), int32, on the CPU."""
        rows = np.arange(len(self.end))
        drawn = self._drawn(rows, 0, seed, epoch)
        if self.listed is not None:
            # A listed item is drawn again until it is none: each round has streams of its own.
            rows = _rows_with_listed(drawn, self.listed)
            for attempt in count(1):
                if not rows.size:
                    break
                listed, again = self.listed[rows], self._drawn(rows, attempt, seed, epoch)
                clashes = (drawn[rows][:, :, None] == listed[:, None, :]).any(2)
                drawn[rows] = np.where(clashes, again, drawn[rows])
                rows = rows[_rows_with_listed(drawn[rows], listed)]
        return torch.from_numpy(drawn)

    def without(self, listed: npt.NDArray[np.int32]) -> NegativeSampler:
        """The same, never drawing an item that is listed for its row.

        Raises:
            InputError: a row is left without any item; the message names its user.
        """
        _check_some_left(self, listed)
        return replace(self, listed=listed)

    def _drawn(
        self, rows: npt.NDArray[np.int64], attempt: int, seed: int, epoch: int
    ) -> npt.NDArray[np.int32]:
        return sample_negatives(
            self.dataset.events,
            self.begin[rows],
            self.end[rows],
            (rows + attempt * len(self.end)).astype(np.uint64),
            n_items=self.dataset.n_items,
            n_negatives=self.n_negatives,
            seed=seed,
            epoch=epoch,
        ).view(np.int32)

    def log_expected(self) -> Tensor:
        """log(M / (N - excluded items)) of each row, (R,), float32."""
        possible = self.dataset.n_items - distinct_counts(self.dataset.events, self.begin, self.end)
        return torch.from_numpy(np.log(self.n_negatives / possible).astype(np.float32))


def _rows_with_listed(
    drawn: npt.NDArray[np.int32], listed: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Which rows have drawn an item of their list, by number."""
    step = max(1, BLOCK_COMPARISONS // (drawn.shape[1] * listed.shape[1]))
    found = np.zeros(len(drawn), dtype=np.bool_)
    for begin in range(0, len(drawn), step):
        block = slice(begin, begin + step)
        found[block] = (drawn[block, :, None] == listed[block, None, :]).any((1, 2))
    return np.flatnonzero(found)


def _check_some_left(sampler: NegativeSampler, listed: npt.NDArray[np.int32]) -> None:
    """Look at the rows that might exclude or list every item: there are few, or few items."""
    dataset, n_items = sampler.dataset, sampler.dataset.n_items
    width = sampler.end - sampler.begin + listed.shape[1]
    for row in np.flatnonzero(width >= n_items):
        out = dataset.events[sampler.begin[row] : sampler.end[row]]
        if np.union1d(out, listed[row][listed[row] >= 0]).size == n_items:
            raise InputError(
                f"{dataset.name}: {_owner(dataset, sampler.end[row] - 1, int(row))} excludes all "
                f"{n_items} items with its teacher list, expected at least one left as a negative",
                code="E-NEG",
                hint="set loss.exclude_listed = false, or a smaller distillation.top_k",
            )


def _owner(dataset: SequenceDataset, event: int, row: int) -> str:
    """How a message calls a train row: by its user, where there are users."""
    if dataset.users is None:
        return f"train row {row + 1}"
    return f"user {dataset.users.of_event(int(event))!r}"


def negative_sampler(
    dataset: SequenceDataset, rows: Rows, config: LossConfig
) -> NegativeSampler | None:
    """Return the sampler that a loss needs for its train rows, or None if it draws no negatives.

    Raises:
        InputError: the whole history is to be excluded and the dataset has no users, or a row
            excludes every item; the message names its user.
    """
    if config.base == "softmax":
        return None
    begin = _excluded_from(dataset, rows, config)
    none_left = _without_negative(dataset, begin, rows.end + 1)
    if none_left.size:
        raise _no_negative(dataset, rows, int(none_left[0]), len(none_left))
    return NegativeSampler(dataset, begin, rows.end + 1, config.n_negatives)


def _excluded_from(
    dataset: SequenceDataset, rows: Rows, config: LossConfig
) -> npt.NDArray[np.int64]:
    if config.exclude == "window":
        return dataset.window_begin(rows)
    if not dataset.has_users:
        raise InputError(
            f"{dataset.name}: windows without users, expected users whose whole history can be "
            "excluded",
            hint='set loss.exclude = "window"',
        )
    return rows.start


def _without_negative(
    dataset: SequenceDataset, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Which rows exclude every item, by number; only as many events as items can."""
    long = np.flatnonzero(end - begin >= dataset.n_items)
    if not long.size:
        return long
    is_all = distinct_counts(dataset.events, begin[long], end[long]) == dataset.n_items
    return np.compress(is_all, long)


def _no_negative(dataset: SequenceDataset, rows: Rows, row: int, n_rows: int) -> InputError:
    who = _owner(dataset, int(rows.end[row]), row)
    return InputError(
        f"{dataset.name}: {who} has met all {dataset.n_items} items ({n_rows:,} such train rows), "
        "expected at least one item left as a negative",
        code="E-NEG",
        hint='set loss.neg_fallback = "skip" to leave such rows out, or loss.exclude = "window"',
    )


def distinct_counts(
    events: npt.NDArray[np.uint32], begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Count the distinct items of each slice `events[begin:end]`, (R,).

    Slices are walked one column at a time from their newest event, so the cost is the sum of
    their lengths times the longest; a repeat is an event whose item stands later in its slice.
    """
    lengths = end - begin
    counts = np.zeros(len(lengths), dtype=np.int64)
    following = _next_occurrence(events)
    longest = int(lengths.max(initial=0))
    for lag in range(longest):
        alive = np.flatnonzero(lengths > lag)
        place = end[alive] - 1 - lag
        counts[alive] += following[place] >= end[alive]
    return counts


def _next_occurrence(events: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Where each event's item occurs next in `events`; past the end if nowhere."""
    order = np.argsort(events, kind="stable")
    following = np.full(len(events), len(events) + 1, dtype=np.int64)
    same = events[order[1:]] == events[order[:-1]]
    following[order[:-1][same]] = order[1:][same]
    return following


def sample_negatives(
    events: npt.ArrayLike,
    begin: npt.ArrayLike,
    end: npt.ArrayLike,
    keys: npt.ArrayLike,
    *,
    n_items: int,
    n_negatives: int,
    seed: int,
    epoch: int,
) -> npt.NDArray[np.uint32]:
    """Draw `n_negatives` items for each row, uniformly among those outside `events[begin:end]`.

    Exact, in at most two steps a draw, whatever share of the catalogue a row excludes. A draw
    depends only on `seed`, `epoch`, the row's key, its index in the row and the set of excluded
    items: not on threads, on the other rows of the batch or on where a run resumed. Draws are with
    replacement. The generator is defined in rust/core/src/negatives/mod.rs.

    Args:
        events: items in the order they happened, (n_events,); uint32 is taken as it is.
        begin: where each row's excluded events begin, (B,).
        end: where they end, exclusive, (B,): past the window and the target, or past the whole
            history and the target.
        keys: what tells the rows apart, (B,), 0 to 2**64 - 1; equal keys draw alike.
        n_items: size of the catalogue, 1 to 2**32 - 1.
        n_negatives: draws per row, at least 1.
        seed: seed of the run, 0 to 2**64 - 1.
        epoch: another epoch gives other draws, 0 to 2**64 - 1.

    Returns:
        Items in 0..n_items-1, (B, n_negatives).

    Raises:
        InputError: a row excludes every item, holds an item outside the catalogue or reaches
            outside the events; the message names the row. Or a number is out of range.
    """
    draws = {"n_items": n_items, "n_negatives": n_negatives, "seed": seed, "epoch": epoch}
    try:  # a batch of a training: the kernel checks what it uses, in a fraction of the time
        return _core.sample_negatives(events, begin, end, keys, **draws)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        pass  # of other types, which are converted; or a fault, which is worded
    if not (
        1 <= n_items <= UINT32_MAX
        and 1 <= n_negatives <= INT64_MAX
        and 0 <= seed <= UINT64_MAX
        and 0 <= epoch <= UINT64_MAX
    ):
        raise InputError(
            f"n_items = {n_items}, n_negatives = {n_negatives}, seed = {seed}, epoch = {epoch}: "
            "expected n_items 1 to 2**32 - 1, n_negatives at least 1, seed and epoch 0 to 2**64 - 1"
        )
    first = _vector(begin, "begin", INT64, INT64_MAX)
    if first.size * n_negatives > INT64_MAX // UINT32.itemsize:
        raise InputError(
            f"n_negatives = {n_negatives} for {first.size} rows, expected fewer: no array holds so "
            "many"
        )
    return _core.sample_negatives(
        _vector(events, "events", UINT32, UINT32_MAX),
        first,
        _vector(end, "end", INT64, INT64_MAX),
        _vector(keys, "keys", UINT64, UINT64_MAX),
        **draws,
    )


def _vector(
    values: npt.ArrayLike, name: str, dtype: np.dtype[Whole], highest: int
) -> npt.NDArray[Whole]:
    # An array that is right already is not looked at: the kernel checks what it uses, and a look
    # at all events would cost a batch more than its draws.
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.ndim == 1:
        flags = values.flags
        if flags.c_contiguous and flags.aligned:
            return values
    array = whole_numbers(values, name, highest)
    if array.ndim != 1:
        raise InputError(f"{name}: shape {array.shape}, expected 1 axis")
    return np.array(array, dtype=dtype, order="C")
