"""What a training starts from: a fresh student, and its rows on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import NegativeSampler, negative_sampler
from dllm2rec.batches.training_rows import (
    TrainingRows,
    leaves_out_unseen,
    seen_items,
    train_rows,
    training_rows,
)
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceRows, device_rows
from dllm2rec.errors import InputError
from dllm2rec.students import Student, build_student
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything a training needs, on its device."""

    rows: TrainingRows
    validation: DeviceRows
    target_counts: Tensor  # (N,), how often each item is a train target
    sampler: NegativeSampler | None
    row_names: str  # how to call a row in a message, such as "games train row"


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
            raise InputError(
                "embedding distillation without item embeddings, expected the teacher's",
                hint="add all_embeddings.pt to the teacher's folder, or set "
                "distillation.embedding_weight = 0",
            )
        embeddings = torch.from_numpy(teacher.item_embeddings)
    return build_student(
        config.student,
        n_items=dataset.n_items,
        max_length=dataset.max_length,
        teacher_embeddings=embeddings,
        embedding_weight=distillation.embedding_weight,
        embedding_sides=distillation.embedding_sides,
        variant=config.variant,
        known_items=torch.from_numpy(seen_items(dataset)) if leaves_out_unseen(config) else None,
    )


def make_training_data(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> TrainingData:
    """Put on the device what the loop reads."""
    return TrainingData(
        rows=training_rows(dataset, teacher, config, device),
        validation=device_rows(dataset, dataset.validation, device),
        target_counts=torch.from_numpy(dataset.target_counts()).to(device),
        sampler=negative_sampler(dataset, train_rows(dataset, config), config.loss),
        row_names=f"{dataset.name} train rows",
    )
