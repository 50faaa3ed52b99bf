"""What a training step reads of each row: its window, its negatives, the teacher's list.

All of it lies on the device before the first step; a batch is gathered there by row number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import negative_sampler, rows_to_keep
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import DeviceRows, device_rows
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.choose_loss import list_meaning
from dllm2rec.distill.teacher_lists import TeacherLists, teacher_lists
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The train split on the device, with what the teacher says of each row.

    Attributes:
        rows: R rows; prefix rows, where they are asked for, come last.
        lists: the teacher's lists, or None; prefix rows have empty ones.
        log_expected: as in `Batch`, of all rows.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
    """

    rows: DeviceRows
    lists: TeacherLists | None
    log_expected: Tensor | None
    in_softmax: Tensor | None = None

    def batch(self, rows: Tensor, negatives: Tensor | None) -> Batch:
        """Gather a batch on the device.

        Args:
            rows: row numbers, (B,), int64.
            negatives: the epoch's negatives of every row, (R, M), int32, or None.
        """
        log_expected = None if self.log_expected is None else self.log_expected[rows]
        if rows.device.type == "cuda":
            return self._gathered(rows, negatives, log_expected)
        sequences, lengths, targets = self.rows.windows(rows)
        drawn = None if negatives is None else negatives[rows].long()
        lists = None if self.lists is None else self.lists.of_rows(rows)
        parts = [targets[:, None], drawn, None if lists is None else lists.items]
        listed = torch.cat([part for part in parts if part is not None], dim=1)
        return Batch(sequences, lengths, targets, drawn, log_expected, lists, listed)

    def _gathered(
        self, rows: Tensor, negatives: Tensor | None, log_expected: Tensor | None
    ) -> Batch:
        from dllm2rec.kernels.gather_batch import gather  # its compiler is there only beside CUDA

        given = None
        if self.lists is not None:
            given = self.lists.items, self.lists.values, self.lists.kept
        sequences, lengths, listed, values, kept = gather(self.rows, given, negatives, rows)
        first_list = 1 + (0 if negatives is None else negatives.shape[1])
        drawn = None if negatives is None else listed[:, 1:first_list]
        lists = None
        if self.lists is not None:
            lists = TeacherLists(listed[:, first_list:], values, kept, self.lists.meaning)
        return Batch(sequences, lengths, listed[:, 0], drawn, log_expected, lists, listed)


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
    counted = seen_items(dataset) if leaves_out_unseen(config) else None
    lists = teacher_lists(dataset, teacher, config.distillation, list_meaning(config), counted)
    every = _every_row(dataset, config)
    kept = rows_to_keep(dataset, every, config.loss)
    rows = every.take(kept)
    sampler = negative_sampler(dataset, rows, config.loss)
    if config.loss.base != "sampled_softmax":
        sampler = None  # the others do not correct for how often an item is drawn
    if lists is not None:
        lists = lists.followed_by_empty(len(every) - len(dataset.train))
        if not kept.all():
            lists = lists.take(torch.from_numpy(kept))
        lists = lists.to(device)
    return TrainingRows(
        rows=device_rows(dataset, rows, device),
        lists=lists,
        log_expected=None if sampler is None else sampler.log_expected().to(device),
        in_softmax=None if counted is None else torch.from_numpy(counted).to(device),
    )


def train_rows(dataset: SequenceDataset, config: Config) -> Rows:
    """The train split, followed by its prefix rows if the configuration asks for them.

    Rows without a possible negative are left out where `loss.neg_fallback` is "skip".
    """
    every = _every_row(dataset, config)
    return every.take(rows_to_keep(dataset, every, config.loss))


def _every_row(dataset: SequenceDataset, config: Config) -> Rows:
    if not config.train.prefix_rows:
        return dataset.train
    return dataset.train.followed_by(prefix_rows(dataset))


def leaves_out_unseen(config: Config) -> bool:
    """Whether items that training never sees are known by their text alone."""
    return config.loss.unseen_by_text and config.distillation.embedding_weight > 0


def seen_items(dataset: SequenceDataset) -> npt.NDArray[np.bool_]:
    """Which items some train window or target holds, (N,)."""
    change = np.zeros(len(dataset.events) + 1, dtype=np.int64)
    np.add.at(change, dataset.window_begin(dataset.train), 1)
    np.add.at(change, dataset.train.end + 1, -1)
    seen = np.zeros(dataset.n_items, dtype=np.bool_)
    seen[dataset.events[change.cumsum()[:-1] > 0]] = True
    return seen


def epoch_order(n_rows: int, seed: int, epoch: int) -> Tensor:
    """Shuffle all rows for one epoch, (R,), int64: a function of seed and epoch alone."""
    order = np.random.default_rng([seed, epoch]).permutation(n_rows)
    return torch.from_numpy(order)
