"""How long an epoch takes: the run's own loop is started, watched for a moment and stopped."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.catalogue_file import save_catalogue
from dllm2rec.report.curves import can_draw, draw_curves
from dllm2rec.report.facts import Epochs
from dllm2rec.tracking.metric_names import EPOCH_METRICS
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit

# More than any watch lasts: neither the last epoch nor patience shall end it.
MANY_EPOCHS = 1_000_000


@dataclass(frozen=True)
class StepTimes:
    """Seconds: before the first step, for the steps of an epoch, and for a validation pass.

    `keys` are those of an epoch's record that the report draws.
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
class _Stopwatch(Silent):
    """A `Progress` that notes when batches were done and leaves a long first epoch early."""

    limit: float
    marks: list[tuple[float, int]] = field(default_factory=list)
    n_batches: int = 0
    ends: list[float] = field(default_factory=list)  # of the epochs

    def batch(self, done: int, total: int, loss: float) -> None:
        """Note when; in the first epoch, stop once there is a pace and the time is up."""
        now = time.perf_counter()
        self.n_batches = total
        self.marks.append((now, done))
        if not self.ends and done < total and len(self.marks) > 1 and now > self.limit:
            raise _Enough

    def epoch(self, record: Mapping[str, float]) -> None:
        """Note when."""
        self.ends.append(time.perf_counter())


def endless(config: Config) -> Config:
    """The same training, but neither its last epoch nor patience ends it."""
    return changed(config, train={"max_epochs": MANY_EPOCHS, "patience": MANY_EPOCHS})


def measure(training: Training, seconds: float) -> StepTimes:
    """Train for about `seconds`, at least two readings of the loss, and tell the pace.

    The first of several epochs is left out: caches are cold. Where one epoch is longer than the
    watch, its pace is taken between the first and the last reading, and a validation pass is timed
    by itself.

    Args:
        training: of an endless configuration.
        seconds: how long to look.

    Raises:
        NonFiniteError: a loss stopped being finite, as it would in the run.
    """
    began = time.perf_counter()
    stopwatch = _Stopwatch(limit=began + seconds)
    records: list[dict[str, float]] = []
    start_s = 0.0
    try:
        for record in fit(training, stopwatch):
            if not records:
                start_s = time.perf_counter() - began - record["train_s"] - record["validation_s"]
            records.append(record)
            if time.perf_counter() > stopwatch.limit:
                break
    except _Enough:
        (first_s, first), (last_s, last) = stopwatch.marks[0], stopwatch.marks[-1]
        batch_s = (last_s - first_s) / (last - first)
        return StepTimes(
            start_s=max(0.0, first_s - began - first * batch_s),
            train_s=batch_s * stopwatch.n_batches,
            validation_s=training.validated({})["validation_s"],
            keys=_drawn_keys(training),
        )
    validation_s = statistics.median(record["validation_s"] for record in records[1:] or records)
    # From end to end: what is drawn for an epoch and what is said of it take their time too.
    whole = [b - a for a, b in itertools.pairwise(stopwatch.ends)]
    train_s = statistics.median(whole) - validation_s if whole else records[0]["train_s"]
    return StepTimes(start_s, train_s, validation_s, _drawn_keys(training))


def _drawn_keys(training: Training) -> tuple[str, ...]:
    """What the report draws of an epoch's record."""
    return (*(f"loss_{name}" for name in training.stepper.names), "loss", *EPOCH_METRICS)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is removed again, where runs are written, if that can be.

    Disks differ in how long a flushed write takes.
    """
    here = Path.cwd()
    with tempfile.TemporaryDirectory(
        prefix=".dllm2rec-plan-", dir=here if os.access(here, os.W_OK) else None
    ) as name:
        yield Path(name)


def catalogue_s(catalogue: Catalogue) -> float:
    """Seconds to write the catalogue."""
    with scratch_folder() as folder:
        began = time.perf_counter()
        save_catalogue(folder, catalogue)
        return time.perf_counter() - began


def report_s(keys: Sequence[tuple[str, ...]], n_epochs: int) -> float:
    """Draw the curves of trainings with such records, as the report does, and tell the seconds.

    Args:
        keys: of each training's records; empty where a training does not fit.
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
