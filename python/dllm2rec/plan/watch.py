"""One kind of training: made as the run makes it, watched for a moment, and thrown away."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from dllm2rec.checkpoint import load_checkpoint, save_checkpoint
from dllm2rec.config import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.plan.memory import device_peak_bytes, fits, forget_peaks, step_bytes, still_bytes
from dllm2rec.plan.timing import Pace, measure
from dllm2rec.students import Student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.arm import make_student, make_task
from dllm2rec.train.loop import Task


@dataclass(frozen=True)
class Watched:
    """What one kind of training takes.

    Attributes:
        student: as it then was.
        n_rows: how many it learns from.
        memory: bytes by part; where it was watched, the last part is the rest of the measured peak.
        pace: None where it does not fit.
        first_s: seconds before the first step, of the first training of this kind.
        again_s: the same of the others: kernels are compiled by then.
        save_s: seconds of one checkpoint.
        load_s: seconds to read it back, as before the test rows.
    """

    student: Student
    n_rows: int
    memory: dict[str, int]
    pace: Pace | None
    first_s: float = 0.0
    again_s: float = 0.0
    save_s: float = 0.0
    load_s: float = 0.0

    def seconds(self, n_trainings: int, n_epochs: int) -> float | None:
        """All trainings of this kind to their last epoch, each epoch saved."""
        if self.pace is None:
            return None
        epochs_s = n_epochs * (self.pace.epoch_s + self.save_s)
        return self.first_s + (n_trainings - 1) * self.again_s + n_trainings * epochs_s


def watch(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    *,
    seconds: float,
    again: bool,
) -> Watched:
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
    try:
        student, task, making_s = _made(config, dataset, teacher, device)
        n_rows = len(task.rows.rows)
        still = still_bytes(student, task)
        if device.type == "cpu":
            step = step_bytes(student, task, config)
            if not fits(still, step, device):
                return Watched(student, n_rows, still | {"a step": step}, None)
        pace = measure(student, task, config, seconds)
    except torch.OutOfMemoryError:
        return _too_large(config, dataset, teacher)
    peak = device_peak_bytes(device) - held_before
    save_s, load_s = _saving(student, config, dataset)
    again_s = making_s + pace.start_s
    if again and device.type == "cuda":
        student, task, making_s = _made(config, dataset, teacher, device)
        again_s = making_s + measure(student, task, config, 0.0).start_s
    rest = "steps, measured" if device.type == "cuda" else "process and steps, measured"
    return Watched(
        student=student,
        n_rows=n_rows,
        memory=still | {rest: max(0, peak - sum(still.values()))},
        pace=pace,
        first_s=making_s + pace.start_s,
        again_s=again_s,
        save_s=save_s,
        load_s=load_s,
    )


def _made(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> tuple[Student, Task, float]:
    """A fresh student and its task on the device, and the seconds that they took."""
    began = time.perf_counter()
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    task = make_task(config, dataset, teacher, device)
    return student, task, time.perf_counter() - began


def _too_large(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> Watched:
    """What can be counted of a training that has no room on its GPU."""
    student, task, _ = _made(config, dataset, teacher, torch.device("cpu"))
    return Watched(student, len(task.rows.rows), still_bytes(student, task), None)


def _saving(student: Student, config: Config, dataset: SequenceDataset) -> tuple[float, float]:
    """Seconds to write a checkpoint and to read it, in a folder that is removed again.

    It lies where runs are written, if it can: disks differ in how long they take to be sure.
    """
    here = Path.cwd()
    with tempfile.TemporaryDirectory(
        prefix=".dllm2rec-plan-", dir=here if os.access(here, os.W_OK) else None
    ) as name:
        folder = Path(name)
        for epoch in (1, 2):  # the second one replaces, as nearly all of a run do
            began = time.perf_counter()
            save_checkpoint(
                folder,
                f"epoch-{epoch}",
                student,
                config,
                {"epoch": float(epoch)},
                n_items=dataset.n_items,
                max_length=dataset.max_length,
            )
        saved = time.perf_counter()
        load_checkpoint(folder)
        return saved - began, time.perf_counter() - saved
