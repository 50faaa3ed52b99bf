"""What a training step reads of each row: its window, its negatives, the teacher's list.

All of it lies on the device before the first step; a batch is gathered there by row number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.config import Config, LossConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceRows, device_rows
from dllm2rec.errors import InputError
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.lists import TeacherLists, teacher_lists
from dllm2rec.train.negatives import sample_negatives


@dataclass(frozen=True, eq=False)
class Batch:
    """What the losses need of B rows.

    Attributes:
        sequences: windows, (B, L), right-padded with `n_items`.
        lengths: real items of each window, (B,).
        targets: the items to predict, (B,).
        negatives: sampled items, (B, M), or None where the loss draws none.
        log_expected: log of how often one non-excluded item is expected among a row's M
            negatives, (B,), or None where the loss draws none.
        lists: the teacher's lists of these rows, or None without ranking distillation.
    """

    sequences: Tensor
    lengths: Tensor
    targets: Tensor
    negatives: Tensor | None
    log_expected: Tensor | None
    lists: TeacherLists | None


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The train split on the device, with what the teacher says of each row."""

    rows: DeviceRows
    lists: TeacherLists | None
    log_expected: Tensor | None

    def batch(self, rows: Tensor, negatives: Tensor | None) -> Batch:
        """Gather a batch on the device.

        Args:
            rows: row numbers, (B,), int64.
            negatives: the epoch's negatives of every row, (R, M), int32, or None.
        """
        sequences, lengths, targets = self.rows.windows(rows)
        return Batch(
            sequences=sequences,
            lengths=lengths,
            targets=targets,
            negatives=None if negatives is None else negatives[rows].long(),
            log_expected=None if self.log_expected is None else self.log_expected[rows],
            lists=None if self.lists is None else self.lists.of_rows(rows),
        )


def training_rows(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    config: Config,
    device: torch.device,
) -> TrainingRows:
    """Put the train split and the teacher's lists on a device.

    Raises:
        InputError: the configuration needs something the teacher or the dataset does not have.
    """
    lists = teacher_lists(dataset, teacher, config.distillation, config.variant)
    sampler = negative_sampler(dataset, config.loss)
    return TrainingRows(
        rows=device_rows(dataset, dataset.train, device),
        lists=None if lists is None else lists.to(device),
        log_expected=None if sampler is None else sampler.log_expected().to(device),
    )


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


def negative_sampler(dataset: SequenceDataset, config: LossConfig) -> NegativeSampler | None:
    """Return the sampler that a loss needs, or None if it draws no negatives.

    Raises:
        InputError: the whole history is to be excluded and the dataset has no users.
    """
    if config.base == "softmax":
        return None
    rows = dataset.train
    if config.exclude == "history":
        if not dataset.has_users:
            raise InputError(
                f"{dataset.name}: windows without users, expected users to exclude the whole "
                "history of",
                hint='set loss.exclude = "window"',
            )
        begin = rows.start
    else:
        begin = dataset.window_begin(rows)
    return NegativeSampler(dataset, begin, rows.end + 1, config.n_negatives)


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


def epoch_order(n_rows: int, seed: int, epoch: int) -> Tensor:
    """Shuffle all rows for one epoch, (R,), int64: a function of seed and epoch alone."""
    order = np.random.default_rng([seed, epoch]).permutation(n_rows)
    return torch.from_numpy(order)
