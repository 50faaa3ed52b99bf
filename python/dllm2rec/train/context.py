"""What all trainings of a student share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from dllm2rec.batches.training_data import TrainingData
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.choose_memory import count_train_pairs
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.students.pair_memory import PairCounts
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Progress


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """The same for every student with the teacher, or for every student without it.

    Attributes:
        dataset: what to learn from.
        teacher: None trains the students alone.
        data: both, as trainings read them, on the device.
        progress: receives how each training goes.
        interrupts: holds Ctrl-C and SIGTERM back until a state is saved.
    """

    dataset: SequenceDataset
    teacher: TeacherKnowledge | None
    data: TrainingData
    progress: Progress
    interrupts: Interrupts

    @cached_property
    def pair_counts(self) -> dict[float, PairCounts]:
        """Which items follow which in the train rows: counted once, for all students."""
        return count_train_pairs(self.dataset)

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.data.target_counts.device
