"""One kind of training: made as the run makes it, watched for a moment, and thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.model import Config, TrainConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.plan.memory import device_peak_bytes, fits, forget_peaks, step_bytes, still_bytes
from dllm2rec.plan.timing import StepTimes, endless, measure, scratch_folder
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.students import Student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.train.checkpointer import Checkpointer
from dllm2rec.train.loop import Training


@dataclass(frozen=True)
class TrialResult:
    """What one kind of training takes.

    Attributes:
        student: as it then was.
        n_rows: how many it learns from.
        memory: bytes by part; where it was watched, the last part is the rest of the measured peak.
        times: None where it does not fit.
        first_s: seconds before the first step, of the first training of this kind.
        again_s: the same of the others: kernels are compiled by then.
        save_s: seconds of one checkpoint.
        state_s: seconds to save the state of a training.
        load_s: seconds to read the checkpoint, as before the test rows.
        state_bytes: of the tensors of that state.
    """

    student: Student
    n_rows: int
    memory: dict[str, int]
    times: StepTimes | None
    first_s: float = 0.0
    again_s: float = 0.0
    save_s: float = 0.0
    state_s: float = 0.0
    load_s: float = 0.0
    state_bytes: int = 0

    def seconds(self, n_trainings: int, settings: TrainConfig) -> float | None:
        """All trainings of this kind to their last epoch, each epoch the best so far."""
        if self.times is None:
            return None
        epochs_s = settings.max_epochs * (self.times.epoch_s + self.save_s)
        n_states = settings.max_epochs * -(-self.n_rows // settings.batch_size)
        if settings.save_every_s > 0:
            n_states = min(n_states, round(epochs_s / settings.save_every_s))
        states_s = (1 + n_states) * self.state_s
        return self.first_s + (n_trainings - 1) * self.again_s + n_trainings * (epochs_s + states_s)


def train_for_a_moment(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    *,
    seconds: float,
    again: bool,
) -> TrialResult:
    """Train for about `seconds` and measure; nothing of it is kept.

    Args:
        config: of one ranking weight.
        dataset: what to learn from.
        teacher: None where there is none.
        device: where to train.
        seconds: how long to look at the steps.
        again: whether trainings of this kind follow, whose start is to be measured too.

    Raises:
        NonFiniteError: a loss stopped being finite, as it would in the run.
    """
    forget_peaks(device)
    held_before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    config = endless(config)
    try:
        began = time.perf_counter()
        student = _new_student(config, dataset, teacher, device)
        data = make_training_data(config, dataset, teacher, device)
        n_rows = len(data.rows.rows)
        still = still_bytes(student, data)
        if device.type == "cpu":
            step = step_bytes(student, data, config)
            if not fits(still, step, device):
                return TrialResult(student, n_rows, still | {"a step": step}, None)
        training = Training(student, data, config)
        making_s = time.perf_counter() - began
        times = measure(training, seconds)
    except torch.OutOfMemoryError:
        return _too_large(config, dataset, teacher)
    peak = device_peak_bytes(device) - held_before
    first_s = again_s = making_s + times.start_s
    if again and device.type == "cuda":
        began = time.perf_counter()
        other = Training(_new_student(config, dataset, teacher, device), data, config)
        making_s = time.perf_counter() - began
        again_s = making_s + measure(other, 0.0).start_s
    rest = "steps, measured" if device.type == "cuda" else "process and steps, measured"
    save_s, state_s, load_s = _saving(training, dataset.max_length)
    return TrialResult(
        student=student,
        n_rows=n_rows,
        memory=still | {rest: max(0, peak - sum(still.values()))},
        times=times,
        first_s=first_s,
        again_s=again_s,
        save_s=save_s,
        state_s=state_s,
        load_s=load_s,
        state_bytes=sum(t.numel() * t.element_size() for t in training.tensors().values()),
    )


def _new_student(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> Student:
    torch.manual_seed(config.train.seed)
    return make_student(config, dataset, teacher).to(device)


def _too_large(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> TrialResult:
    """What can be counted of a training that has no room on its GPU."""
    cpu = torch.device("cpu")
    student = _new_student(config, dataset, teacher, cpu)
    data = make_training_data(config, dataset, teacher, cpu)
    return TrialResult(student, len(data.rows.rows), still_bytes(student, data), None)


def _saving(training: Training, max_length: int) -> tuple[float, float, float]:
    """Seconds to write a checkpoint, to write its state, and to read the first."""
    with scratch_folder() as folder:
        checkpointer = Checkpointer(folder, Interrupts(), max_length, [])
        for epoch in (1.0, 2.0):  # the second one replaces, as nearly all of a run do
            began = time.perf_counter()
            checkpointer.after_epoch(training, {"epoch": epoch, SELECTION: epoch})
        saved = time.perf_counter()
        checkpointer.save_state(training)
        stood = time.perf_counter()
        load_checkpoint(folder)
        return saved - began, stood - saved, time.perf_counter() - stood
