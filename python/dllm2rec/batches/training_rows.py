"""What a training step reads of each row: its window, its negatives, the teacher's list.

All of it lies on the device before the first step; a batch is gathered there by row number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.batches.device_splits import DeviceSplits
from dllm2rec.batches.passes import Passes
from dllm2rec.config.model import Config, DistillationConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceRows, PassWindows
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.choose_loss import list_meaning
from dllm2rec.distill.teacher_lists import TeacherLists, teacher_lists
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The train split on the device, with what the teacher says of each row.

    Attributes:
        rows: R rows: those of the train split, prefix rows where they are asked for, the teacher's
            histories.
        lists: the teacher's lists, or None; prefix rows have empty ones.
        log_expected: as in `Batch`, of all rows.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        passes: which rows the encoder learns together; None where each has a pass of its own.
        n_histories: how many rows, the last ones, are the teacher's histories: they have a window
            and a list, but no target.
    """

    rows: DeviceRows
    lists: TeacherLists | None
    log_expected: Tensor | None
    in_softmax: Tensor | None = None
    n_histories: int = 0
    passes: Passes | None = None

    @property
    def n_targets(self) -> int:
        """How many rows, the first ones, have a target."""
        return len(self.rows) - self.n_histories

    def without_lists(self) -> TrainingRows:
        """The rows with a target alone, and no lists: histories would teach nothing."""
        n = self.n_targets
        log_expected = None if self.log_expected is None else self.log_expected[:n]
        return TrainingRows(self.rows.first(n), None, log_expected, self.in_softmax)

    def in_passes(self, capacity: int) -> TrainingRows:
        """The rows of one training that learns several in a pass, at most `capacity` a step."""
        return replace(self, passes=Passes(torch.zeros_like(self.rows.end), capacity))

    def batch(self, rows: Tensor, negatives: Tensor | None) -> Batch:
        """Gather a batch on the device.

        Args:
            rows: row numbers, (B,), int64.
            negatives: the epoch's negatives of every row, (R, M), int32, or None.
        """
        log_expected = None if self.log_expected is None else self.log_expected[rows]
        passes = None if self.passes is None else self.passes.of(self.rows, rows)
        if rows.device.type == "cuda":
            return self._gathered(rows, negatives, log_expected, passes)
        sequences, lengths, targets = self.rows.windows(rows)
        drawn = None if negatives is None else negatives[rows].long()
        lists = None if self.lists is None else self.lists.of_rows(rows)
        parts = [targets[:, None], drawn, None if lists is None else lists.items]
        listed = torch.cat([part for part in parts if part is not None], dim=1)
        has_target = self._has_target(rows)
        return Batch(
            sequences, lengths, targets, drawn, log_expected, lists, listed, has_target, passes
        )

    def _has_target(self, rows: Tensor) -> Tensor | None:
        return rows < self.n_targets if self.n_histories else None

    def _gathered(
        self,
        rows: Tensor,
        negatives: Tensor | None,
        log_expected: Tensor | None,
        passes: PassWindows | None,
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
        has_target = self._has_target(rows)
        targets = listed[:, 0]
        return Batch(
            sequences, lengths, targets, drawn, log_expected, lists, listed, has_target, passes
        )


def training_rows(
    config: Config, splits: DeviceSplits, teacher: TeacherKnowledge | None
) -> TrainingRows:
    """Put beside the train rows what the teacher says of them.

    The lists do not depend on the ranking weight, unless all are 0: then there are none.

    Raises:
        InputError: the configuration needs something the teacher does not have.
    """
    dataset, device = splits.dataset, splits.device
    counted = seen_items(dataset) if config.leaves_out_unseen else None
    lists = teacher_lists(dataset, teacher, list_settings(config), list_meaning(config), counted)
    if lists is not None:
        lists = lists.followed_by_empty(len(splits.is_trained) - len(dataset.train))
        if not splits.is_trained.all():
            lists = lists.take(torch.from_numpy(splits.is_trained))
        lists = lists.to(device)
    return TrainingRows(
        rows=splits.train,
        lists=lists,
        log_expected=splits.log_expected,
        in_softmax=None if counted is None else torch.from_numpy(counted).to(device),
    )


def list_settings(config: Config) -> DistillationConfig:
    """The settings of the lists for all ranking weights: of the greatest, which is 0 if all are."""
    weight = max(config.distillation.ranking_weights)
    return config.distillation.model_copy(update={"ranking_weight": weight})


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
