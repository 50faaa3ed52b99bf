"""What all trainings of a student share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from dllm2rec.batches.training_data import TrainingData, make_student
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.students.memory.pair_memory import PairCounts
from dllm2rec.students.sharded import shard
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Progress
from dllm2rec.train.loop import Training


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """The same for every student with the teacher, or for every student without it.

    Attributes:
        dataset: what to learn from.
        teacher: None trains the students alone.
        data: both, as trainings read them, on the device.
        pair_counts: gives how often items follow which in the train rows, by the decay of counts;
            counted once, for all students.
        progress: receives how each training goes.
        interrupts: holds Ctrl-C and SIGTERM back until a state is saved.
    """

    dataset: SequenceDataset
    teacher: TeacherKnowledge | None
    data: TrainingData
    pair_counts: Callable[[], Mapping[float, PairCounts]]
    progress: Progress
    interrupts: Interrupts

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.data.target_counts.device

    def new_training(self, config: Config) -> Training:
        """A training of one ranking weight before its first step: weights from the seed."""
        torch.manual_seed(config.train.seed)
        student = make_student(config, self.dataset, self.teacher)
        if config.train.shard_items:
            student = shard(student)
        student = student.to(self.device)
        weight = max(config.distillation.ranking_weights)
        return Training(student, self.data.for_ranking_weight(weight), config)
