"""The rows of a dataset on a device: made once a run, and shared by all its trainings.

They depend on the dataset and on the settings `loss`, `train.prefix_rows` and
`student.window_offset`: not on the student's name, the teacher, the ranking weight or the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import NegativeSampler, negative_sampler, rows_to_keep
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceEvents, DeviceRows, device_events
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.distill.choose_loss import weighs_window


@dataclass(frozen=True, eq=False)
class DeviceSplits:
    """Train and validation rows on one device, over one copy of the events.

    Test rows are left where they are: they are read once, when a student has been trained.

    Attributes:
        dataset: where they come from.
        events: what all rows point into.
        train: R rows to learn from: those of the train split, then prefix rows if they are asked
            for; rows without a possible negative are left out where `loss.neg_fallback` is "skip".
        validation: rows to choose by.
        is_trained: which rows of the train split and of its prefix rows `train` holds, (>= R,).
        target_counts: how often each item is a train target, (N,), int64.
        sampler: draws the negatives of `train`; None for a loss that has none.
        log_expected: log of how often an epoch is expected to draw each possible negative, (R,);
            None for a loss that does not correct for it.
    """

    dataset: SequenceDataset
    events: DeviceEvents
    train: DeviceRows
    validation: DeviceRows
    is_trained: npt.NDArray[np.bool_]
    target_counts: Tensor
    sampler: NegativeSampler | None
    log_expected: Tensor | None

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.target_counts.device


def device_splits(config: Config, dataset: SequenceDataset, device: torch.device) -> DeviceSplits:
    """Put the train and validation rows of a dataset on a device.

    Raises:
        InputError: a row excludes every item as a negative, or the whole history is to be excluded
            and the dataset has no users.
    """
    events = device_events(dataset, device)
    rows = dataset.train
    # Rows are copied only where some come or go: those of a large log stay in its files.
    if config.train.prefix_rows and len(added := prefix_rows(dataset)):
        rows = rows.followed_by(added)
    is_trained = rows_to_keep(dataset, rows, config.loss)
    if not is_trained.all():
        rows = rows.take(is_trained)
    sampler = negative_sampler(dataset, rows, config.loss)
    log_expected = None
    if sampler is not None and weighs_window(config):
        log_expected = sampler.log_expected().to(device)
    return DeviceSplits(
        dataset=dataset,
        events=events,
        train=events.rows(rows),
        validation=events.rows(dataset.validation),
        is_trained=is_trained,
        target_counts=torch.from_numpy(dataset.target_counts()).to(device),
        sampler=sampler,
        log_expected=log_expected,
    )
