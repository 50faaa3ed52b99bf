"""Which negatives a training draws: what each row excludes, and rows that exclude everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import sample_negatives
from dllm2rec.config.model import LossConfig
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError


def rows_to_keep(dataset: SequenceDataset, rows: Rows, config: LossConfig) -> npt.NDArray[np.bool_]:
    """Which train rows are trained on, (R,): all, but those that `loss.neg_fallback` skips."""
    kept = np.ones(len(rows), dtype=np.bool_)
    if config.base != "softmax" and config.neg_fallback == "skip":
        kept[_without_negative(dataset, _excluded_from(dataset, rows, config), rows.end + 1)] = (
            False
        )
    return kept


@dataclass(frozen=True, eq=False)
class NegativeSampler:
    """Draws an epoch's negatives for every train row, keyed by (seed, epoch, row, draw).

    Attributes:
        dataset: where the excluded items stand.
        begin: the first excluded event of each row, (R,), int64.
        end: one past the last, which is the target, (R,), int64.
        n_negatives: M.
    """

    dataset: SequenceDataset
    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    n_negatives: int

    def epoch(self, seed: int, epoch: int) -> Tensor:
        """Draw the negatives of one epoch, (R, M), int32, on the CPU."""
        drawn = sample_negatives(
            self.dataset.events,
            self.begin,
            self.end,
            np.arange(len(self.end), dtype=np.uint64),
            n_items=self.dataset.n_items,
            n_negatives=self.n_negatives,
            seed=seed,
            epoch=epoch,
        )
        return torch.from_numpy(drawn.view(np.int32))

    def log_expected(self) -> Tensor:
        """log(M / (N - excluded items)) of each row, (R,), float32."""
        possible = self.dataset.n_items - distinct_counts(self.dataset.events, self.begin, self.end)
        return torch.from_numpy(np.log(self.n_negatives / possible).astype(np.float32))


def negative_sampler(
    dataset: SequenceDataset, config: LossConfig, rows: Rows | None = None
) -> NegativeSampler | None:
    """Return the sampler that a loss needs, or None if it draws no negatives.

    Without `rows` it draws for the train split.

    Raises:
        InputError: the whole history is to be excluded and the dataset has no users, or a row
            excludes every item; the message names its user.
    """
    if config.base == "softmax":
        return None
    rows = dataset.train if rows is None else rows
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
            f"{dataset.name}: windows without users, expected users to exclude the whole "
            "history of",
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
    who = f"train row {row + 1}"
    if dataset.users is not None:
        who = f"user {dataset.users.of_event(int(rows.end[row]))!r}"
    return InputError(
        f"{dataset.name}: {who} has met all {dataset.n_items} items ({n_rows:,} such train rows), "
        "expected one that can be a negative",
        code="E-NEG",
        hint='set loss.neg_fallback = "skip" to pass over such rows, or loss.exclude = "window"',
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
