"""How long an epoch takes: the run's own loop is started, watched for a moment and stopped."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dllm2rec.config import Config
from dllm2rec.evaluate.split import split_counts
from dllm2rec.progress import Silent
from dllm2rec.report.curves import can_draw, draw_curves
from dllm2rec.report.facts import Epochs
from dllm2rec.settings import changed
from dllm2rec.students import Student
from dllm2rec.train.loop import Task, Training, fit

# More than any watch lasts: neither the last epoch nor patience shall end it.
MANY_EPOCHS = 1_000_000


@dataclass(frozen=True)
class Pace:
    """Seconds: before the first step, for the steps of an epoch, and for a validation pass.

    `keys` are those of an epoch's record, none where no epoch was seen whole.
    """

    start_s: float
    train_s: float
    validation_s: float
    keys: tuple[str, ...] = ()

    @property
    def epoch_s(self) -> float:
        """An epoch with its validation pass."""
        return self.train_s + self.validation_s


class _Enough(Exception):  # noqa: N818 - no error: it leaves an epoch that would take too long
    """The watch has seen what it needs."""


@dataclass
class _Watch(Silent):
    """A `Progress` that notes when batches were done and leaves a long first epoch early."""

    limit: float
    marks: list[tuple[float, int]] = field(default_factory=list)
    n_batches: int = 0
    n_epochs: int = 0

    def batch(self, done: int, total: int, loss: float) -> None:
        """Note when; in the first epoch, stop once there is a pace and the time is up."""
        now = time.perf_counter()
        self.n_batches = total
        self.marks.append((now, done))
        if self.n_epochs == 0 and done < total and len(self.marks) > 1 and now > self.limit:
            raise _Enough

    def epoch(self, record: Mapping[str, float]) -> None:
        """Count."""
        self.n_epochs += 1


def measure(student: Student, task: Task, config: Config, seconds: float) -> Pace:
    """Train for about `seconds`, at least two readings of the loss, and tell the pace.

    The first of several epochs is left out: caches are cold. Where one epoch is longer than the
    watch, its pace is taken between the first and the last reading, and a validation pass is timed
    by itself.

    Raises:
        NonFiniteError: a loss stopped being finite, as it would in the run.
    """
    began = time.perf_counter()
    watch = _Watch(limit=began + seconds)
    endless = changed(config, train={"max_epochs": MANY_EPOCHS, "patience": MANY_EPOCHS})
    records: list[dict[str, float]] = []
    start_s = 0.0
    try:
        for record in fit(Training(student, task, endless), watch):
            if not records:
                start_s = time.perf_counter() - began - record["train_s"] - record["validation_s"]
            records.append(record)
            if time.perf_counter() > watch.limit:
                break
    except _Enough:
        (first_s, first), (last_s, last) = watch.marks[0], watch.marks[-1]
        batch_s = (last_s - first_s) / (last - first)
        return Pace(
            start_s=max(0.0, first_s - began - first * batch_s),
            train_s=batch_s * watch.n_batches,
            validation_s=_validation_pass(student, task, config),
        )
    warm = records[1:] or records
    train_s, validation_s = (
        statistics.median(record[key] for record in warm) for key in ("train_s", "validation_s")
    )
    return Pace(start_s, train_s, validation_s, tuple(records[0]))


def _validation_pass(student: Student, task: Task, config: Config) -> float:
    began = time.perf_counter()
    split_counts(student, task.validation, exclude_seen=config.evaluation.exclude_seen)
    return time.perf_counter() - began


def report_s(keys: Sequence[tuple[str, ...]], n_epochs: int) -> float:
    """Draw the curves of trainings with such records, as the report does, and tell the seconds.

    Args:
        keys: of each training's records; empty where none was seen.
        n_epochs: of each.
    """
    if not can_draw():
        return 0.0
    began, epochs = time.perf_counter(), range(1, n_epochs + 1)
    draw_curves(
        [
            Epochs(f"{number}", tuple(dict.fromkeys(one, 1.0) | {"epoch": n} for n in epochs))
            for number, one in enumerate(keys)
        ]
    )
    return time.perf_counter() - began
