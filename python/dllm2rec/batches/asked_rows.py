"""Rows to learn from whose list alone is known: histories that a teacher was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.batches.device_splits import DeviceSplits
from dllm2rec.batches.negative_sampler import NegativeSampler, negative_sampler, rows_to_keep
from dllm2rec.batches.training_rows import TrainingRows, list_settings, seen_items
from dllm2rec.config.model import Config, DistillationConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceEvents
from dllm2rec.distill.choose_loss import list_meaning
from dllm2rec.distill.teacher_lists import Meaning, TeacherLists, teacher_lists
from dllm2rec.teacher.asked_histories import AskedHistories, as_train_rows
from dllm2rec.teacher.knowledge import TeacherKnowledge


def with_histories(
    rows: TrainingRows, config: Config, splits: DeviceSplits, histories: AskedHistories
) -> tuple[TrainingRows, NegativeSampler | None]:
    """Put a row behind the others for each history whose list holds an item that may be learnt.

    The events are copied, so that rows without the teacher are untouched.

    Args:
        rows: those with a target, with lists.
        config: of a ranking weight above 0.
        splits: where they come from.
        histories: what the teacher was asked.

    Returns:
        All rows, and the sampler of their negatives, if the loss draws any.

    Raises:
        InputError: a history leaves no item to draw as a negative.
    """
    dataset, device = as_train_rows(splits.dataset, histories), splits.device
    counted = seen_items(splits.dataset) if config.leaves_out_unseen else None
    lists = _history_lists(dataset, histories, list_settings(config), list_meaning(config), counted)
    kept = lists.kept.any(dim=1).numpy() & rows_to_keep(dataset, dataset.train, config.loss)
    asked = dataset.train.take(kept)
    added = torch.from_numpy(dataset.events[splits.dataset.events.size :].view("int32"))
    events = torch.cat([splits.events.events, added.to(device)])
    behind = DeviceEvents(events, dataset.max_length, dataset.n_items).rows(asked)
    sampler, log_expected = splits.sampler, rows.log_expected
    if sampler is not None:
        own = negative_sampler(dataset, asked, config.loss)
        assert own is not None  # noqa: S101 - for mypy: the loss draws negatives
        begin, end = np.append(sampler.begin, own.begin), np.append(sampler.end, own.end)
        sampler = replace(own, begin=begin, end=end)
        if log_expected is not None:
            log_expected = torch.cat([log_expected, own.log_expected().to(device)])
    assert rows.lists is not None  # noqa: S101 - for mypy
    both = TrainingRows(
        rows=rows.rows.followed_by(behind),
        lists=rows.lists.followed_by(lists.take(torch.from_numpy(kept)).to(device)),
        log_expected=log_expected,
        in_softmax=rows.in_softmax,
        n_histories=len(asked),
    )
    return both, sampler


def _history_lists(
    dataset: SequenceDataset,
    histories: AskedHistories,
    config: DistillationConfig,
    meaning: Meaning,
    counted: npt.NDArray[np.bool_] | None = None,
) -> TeacherLists:
    """Prepare the lists of a teacher's histories, as `teacher_lists` does those of train rows.

    They may be shorter than `top_k`. Of what came next nothing is known: by the paper's confidence
    each history weighs 1/K, what train rows weigh on average.

    Args:
        dataset: as of `as_train_rows`.
        histories: its A train rows.
        config: of a ranking weight above 0.
        meaning: what is prepared of each place.
        counted: which items may be listed, (N,), or None for all.
    """
    ranking = np.where(histories.rankings < 0, dataset.n_items, histories.rankings)
    rows = TeacherKnowledge(
        ranking=ranking.astype(np.uint32),
        distance=histories.distances,
        target_distance=np.zeros(len(histories), dtype=np.float32),  # all alike
        short_lists=True,
    )
    lists = teacher_lists(dataset, rows, config, meaning, counted)
    assert lists is not None  # noqa: S101 - for mypy: the ranking weight is above 0
    return lists
