"""What a training starts from: a fresh student, and all that it reads, on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dllm2rec.batches.asked_rows import with_histories
from dllm2rec.batches.device_splits import DeviceSplits, device_splits
from dllm2rec.batches.negative_sampler import NegativeSampler
from dllm2rec.batches.training_rows import (
    TrainingRows,
    seen_items,
    training_rows,
)
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceEvents, DeviceRows
from dllm2rec.distill.baselines.embedding_losses import embedding_loss
from dllm2rec.errors import InputError
from dllm2rec.students import Student, build_student
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything a training reads, on its device.

    Attributes:
        rows: what it learns from.
        validation: rows to choose by.
        events: what all rows point into, those of the test split too.
        target_counts: how often each item is a train target, (N,), int64.
        sampler: draws the negatives; None for a loss that has none.
        row_names: how a message calls the rows, such as "games train rows".
        has_users: whether the rows are those of a log.
    """

    rows: TrainingRows
    validation: DeviceRows
    events: DeviceEvents
    target_counts: Tensor
    sampler: NegativeSampler | None
    row_names: str
    has_users: bool

    def for_ranking_weight(self, weight: float) -> TrainingData:
        """The same without the teacher's lists where their weight is 0: the loss has no term then.

        Its histories go with them. All else is shared.
        """
        if weight > 0:
            return self
        sampler, n = self.sampler, self.rows.n_targets
        if sampler is not None:
            sampler = replace(sampler, begin=sampler.begin[:n], end=sampler.end[:n], listed=None)
        return replace(self, rows=self.rows.without_lists(), sampler=sampler)


def make_student(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> Student:
    """Build the student that a configuration describes, fresh weights from torch's generator.

    Raises:
        InputError: embedding distillation is asked for and the teacher has no embeddings.
    """
    distillation = config.distillation
    embeddings: Tensor | None = None
    if distillation.embedding_weight > 0:
        if teacher is None or teacher.item_embeddings is None:
            raise no_vectors()
        embeddings = torch.from_numpy(teacher.item_embeddings)
    student = build_student(
        config.student,
        n_items=dataset.n_items,
        max_length=dataset.max_length,
        teacher_embeddings=embeddings if distillation.projects else None,
        embedding_weight=distillation.embedding_weight,
        embedding_sides=distillation.embedding_sides,
        variant=config.variant,
        known_items=_known_items(config, dataset),
    )
    if embeddings is not None and not distillation.projects:
        method, size = distillation.embedding_method, config.student.hidden_size
        student.embedding_loss = embedding_loss(method, embeddings, size, config.student.init_std)
    return student


def _known_items(config: Config, dataset: SequenceDataset) -> Tensor | None:
    """Which items have a vector of their own, (N,); None for all."""
    if config.distillation.projects and not config.distillation.item_offset:
        return torch.zeros(dataset.n_items, dtype=torch.bool)
    return torch.from_numpy(seen_items(dataset)) if config.leaves_out_unseen else None


def no_vectors() -> InputError:
    """The error of embedding distillation where the teacher has no item embeddings."""
    return InputError(
        "embedding distillation without item embeddings, expected the teacher's",
        hint="add all_embeddings.pt to the teacher's folder, or set "
        "distillation.embedding_weight = 0",
    )


def training_data(
    config: Config, splits: DeviceSplits, teacher: TeacherKnowledge | None
) -> TrainingData:
    """What the trainings of one student read, for all its ranking weights and seeds.

    Raises:
        InputError: the configuration needs what the teacher does not have.
    """
    rows, sampler = training_rows(config, splits, teacher), splits.sampler
    row_names = f"{splits.dataset.name} train rows"
    if teacher is not None and teacher.histories is not None and rows.lists is not None:
        rows, sampler = with_histories(rows, config, splits, teacher.histories)
        row_names += f" (from {rows.n_targets} on, histories of the teacher)"
    # In a softmax's sum every item stands for itself, the listed ones too.
    singly = config.loss.takes_negatives_singly
    if singly and config.loss.exclude_listed and rows.lists is not None:
        assert sampler is not None  # noqa: S101 - for mypy
        sampler = sampler.without(rows.lists.items_or(-1).cpu().numpy())
    return TrainingData(
        rows=rows,
        validation=splits.validation,
        events=splits.events,
        target_counts=splits.target_counts,
        sampler=sampler,
        row_names=row_names,
        has_users=splits.dataset.has_users,
    )


def make_training_data(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> TrainingData:
    """Put on a device what one training reads, where nothing else is to share it.

    Raises:
        InputError: the configuration needs what the teacher or the dataset does not have.
    """
    return training_data(config, device_splits(config, dataset, device), teacher)
