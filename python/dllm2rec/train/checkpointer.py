"""What a training writes into its student's folder: a line per epoch, its best student, a state."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from dllm2rec.runs.checkpoint import Checkpoint, save_checkpoint
from dllm2rec.runs.epoch_log import append_epoch, rewrite_epochs
from dllm2rec.runs.training_state import TrainingState, save_state
from dllm2rec.runs.trial import Trial, trial_of
from dllm2rec.runtime.distributed import agreed, is_first
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.storage.pointers import pointer_of_weight
from dllm2rec.students.sharded import is_sharded, whole_student
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.train.loop import Record, Training, TrainingCallback

_log = logging.getLogger(__name__)


class Checkpointer(TrainingCallback):
    """Saves a student's trainings, one trial after the other, in one folder.

    Of several processes only the first writes; all hold the records.

    Attributes:
        folder: the student's.
        records: one of every epoch done, each with the fields of its `Trial`.
        keeps_each_weight: whether the best of every ranking weight is kept, to choose among later.
    """

    def __init__(
        self,
        folder: Path,
        interrupts: Interrupts,
        max_length: int,
        records: list[Record],
        *,
        keeps_each_weight: bool = False,
    ) -> None:
        self.folder = folder
        self.keeps_each_weight = keeps_each_weight
        self.records = records
        self._interrupts = interrupts
        self._max_length = max_length
        self._saved = time.monotonic()
        self._stops_together = False
        # Drops what a killed process left of a line, and epochs after its state: they are redone.
        if is_first():
            rewrite_epochs(folder, records)

    def after_step(self, training: Training) -> None:
        """Save the state every `train.save_every_s`, then act on a signal that came."""
        due = time.monotonic() - self._saved >= training.config.train.save_every_s
        if is_sharded(training.student):  # all take part in saving, and in stopping
            due, self._stops_together = agreed(due and is_first(), self._interrupts.came)
            if self._stops_together:
                self._interrupts.join()
        if due:
            self.save_state(training)
        self._interrupts.check()

    def released(self, training: Training) -> AbstractContextManager[None]:
        """Let a signal end the validation pass at once, unless others would wait for this one."""
        if is_sharded(training.student):
            return nullcontext()
        return self._interrupts.released()

    def after_epoch(self, training: Training, record: Record) -> None:
        """Write the epoch's line, and the student if none before was better."""
        trial = trial_of(training.config)
        pointers = self._pointers(record, trial)
        self.records.append({**trial._asdict(), **record})
        student = whole_student(training.student) if pointers else None  # of all processes' parts
        if not is_first():
            return
        if student is not None:
            config = training.config
            best = Checkpoint(student, config, student.n_items, self._max_length, record)
            save_checkpoint(self.folder, f"{trial}-epoch-{record['epoch']:.0f}", best, pointers)
        append_epoch(self.folder, self.records[-1])

    def _pointers(self, record: Record, trial: Trial) -> list[str]:
        """The pointers whose students were none better than the one of this record."""
        earlier = {"best": self.records}
        if self.keeps_each_weight:
            weight = trial.ranking_weight
            of_weight = [one for one in self.records if one["ranking_weight"] == weight]
            earlier[pointer_of_weight(weight)] = of_weight
        return [
            pointer
            for pointer, records in earlier.items()
            if all(record[SELECTION] > one[SELECTION] for one in records)
        ]

    def save_state(self, training: Training) -> None:
        """Save the state of the training."""
        if not is_first():
            if is_sharded(training.student):
                training.tensors()  # its part goes to the first
            return
        state = TrainingState(
            tensors=training.tensors(),
            config=training.config.model_dump(mode="json"),
            n_items=training.student.n_items,
            step=training.step,
            seconds=training.seconds,
            records=self.records,
            trial=trial_of(training.config),
            device=training.device.type,
        )
        save_state(self.folder, state)
        self._saved = time.monotonic()

    def save_interrupted(self, training: Training) -> None:
        """Save the state of a training that is stopped here, and say how to resume it.

        Of a table in parts only where all stop at the same step; else what was saved stays.
        """
        if is_sharded(training.student) and not self._stops_together:
            return
        self.save_state(training)
        if not is_first():
            return
        _log.info(
            "saved epoch %d, step %d in %s; go on with: dllm2rec train --resume %s",
            training.epoch + 1,
            training.step,
            self.folder,
            self.folder.parent,
        )
