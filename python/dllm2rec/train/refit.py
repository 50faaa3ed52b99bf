"""What validation chose, trained once more on train and validation rows together."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import cache

import numpy as np

from dllm2rec.batches.device_splits import device_splits
from dllm2rec.batches.training_data import training_data
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.choose_memory import count_train_pairs
from dllm2rec.runs.checkpoint import REFIT, Checkpoint
from dllm2rec.runtime.distributed import check_same
from dllm2rec.students.memory.pair_memory import make_memory
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import Training


def refit(chosen: Checkpoint, context: TrainingContext) -> Generator[None, None, Checkpoint]:
    """Train the chosen student anew on train and validation rows; yield after every step.

    Same seed, settings and schedule, and as many epochs as validation chose; the pair memory is
    counted again, in the form that was chosen. The record keeps the validation metrics of the
    chosen student: those of the new one would say nothing, as it has seen the rows.
    """
    n_epochs = int(chosen.record["epoch"])
    wider = _with_validation(chosen.config, context)
    training = wider.new_training(chosen.config)
    with context.interrupts.deferred():
        yield from _epochs(training, n_epochs, wider)
    memory = None
    if chosen.memory is not None:
        form = chosen.memory.form
        memory = make_memory(wider.pair_counts()[form.count_decay], form)
    record = {**chosen.record, REFIT: float(n_epochs)}
    return replace(chosen, student=training.student, record=record, memory=memory)


def _epochs(training: Training, n_epochs: int, context: TrainingContext) -> Generator[None]:
    while training.epoch < n_epochs:
        for _ in training.steps(Silent()):
            context.interrupts.check()
            yield
        check_same(training.stepper.parameters, f"refit, epoch {training.epoch + 1}")
        training.close_epoch({"epoch": training.epoch + 1.0, **training.losses()})
    training.stepper.optimizer.swap_average()


def _with_validation(config: Config, context: TrainingContext) -> TrainingContext:
    """The same context with the validation rows among the train rows."""
    dataset = with_validation_rows(context.dataset)
    teacher = None
    if context.teacher is not None:
        teacher = without_answers(context.teacher, len(context.dataset.validation), dataset.n_items)
    splits = device_splits(config, dataset, context.device)
    return replace(
        context,
        dataset=dataset,
        teacher=teacher,
        data=training_data(config, splits, teacher),
        pair_counts=cache(lambda: count_train_pairs(dataset)),
    )


def with_validation_rows(dataset: SequenceDataset) -> SequenceDataset:
    """A dataset whose validation rows are train rows too, behind the others."""
    return replace(dataset, train=dataset.train.followed_by(dataset.validation))


def without_answers(teacher: TeacherKnowledge, n_rows: int, n_items: int) -> TeacherKnowledge:
    """A teacher with `n_rows` more train rows, for which it has no answer."""
    if teacher.ranking is None:
        return teacher

    def longer(numbers: np.ndarray | None, fill: float) -> np.ndarray | None:
        if numbers is None:
            return None
        shape = (n_rows, *numbers.shape[1:])
        return np.concatenate([numbers, np.full(shape, fill, numbers.dtype)])

    # A row without a list has no confidence; a number has to stand there.
    known = teacher.target_distance
    return replace(
        teacher,
        ranking=longer(teacher.ranking, n_items),
        distance=longer(teacher.distance, 0.0),
        target_distance=longer(known, 0.0 if known is None else float(known.mean())),
    )
