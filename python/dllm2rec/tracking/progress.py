"""What a run tells whoever watches: a command draws it, loggers keep it, a call is silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from dllm2rec.tracking.metric_table import MetricTable


@dataclass(frozen=True)
class Outlook:
    """What is to come, as a run says it before its first training.

    Attributes:
        n_trainings: how many trainings are left, at most: a grid may stop before its end.
        to_beat: what needs no training and reached most on validation, and its ndcg@20; None while
            that is not known.
    """

    n_trainings: int
    to_beat: tuple[str, float] | None = None


# Of an epoch: its number (`epoch`, from 1), losses, validation metrics and speed, by name.
Record = Mapping[str, float]


@dataclass(frozen=True)
class TrainingName:
    """Which training of a run.

    Attributes:
        student: as tables call it: `sasrec`, `sasrec + dllm2rec`.
        ranking_weight: the one of this training; None where the student has only one.
        seed: that of this training; None where the run has only one.
        dropout: that of this training; None where the student has only one.
    """

    student: str
    ranking_weight: float | None = None
    seed: int | None = None
    dropout: float | None = None

    def __str__(self) -> str:
        """`sasrec + dllm2rec (ranking weight 0.3, seed 1)`, without what is None."""
        parts = [] if self.dropout is None else [f"dropout {self.dropout:g}"]
        parts += [] if self.ranking_weight is None else [f"ranking weight {self.ranking_weight:g}"]
        parts += [] if self.seed is None else [f"seed {self.seed}"]
        return f"{self.student} ({', '.join(parts)})" if parts else self.student


class Progress(Protocol):
    """Told how a run goes: `run`, then for each training `start`, batches, epochs and `finish`.

    A `remark` may come between trainings.
    """

    def run(self, settings: Mapping[str, Any]) -> None:
        """Begin a run: what it is made from, as its `run.json` holds it."""

    def stage(self, text: str) -> None:
        """Say what is under way before the first training: it may take a while."""

    def outlook(self, outlook: Outlook) -> None:
        """Take what is to come; again, from any thread, when more is known."""

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Begin a training of at most `n_epochs` epochs; `records` are of those done before."""

    def batch(self, done: int, total: int, loss: float) -> None:
        """Report that `done` of this epoch's `total` batches are done, `loss` the newest known."""

    def epoch(self, record: Record) -> None:
        """Report an epoch: its number (`epoch`, from 1), losses and validation metrics."""

    def finish(self, summary: str) -> None:
        """End the training with one line."""

    def remark(self, training: TrainingName, text: str) -> None:
        """Take one more line on a training that has ended."""

    def results(self, table: MetricTable) -> None:
        """End the run with its table of the test rows."""


class Silent:
    """A `Progress` that says nothing."""

    def run(self, settings: Mapping[str, Any]) -> None:
        """Say nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def outlook(self, outlook: Outlook) -> None:
        """Say nothing."""

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Say nothing."""

    def batch(self, done: int, total: int, loss: float) -> None:
        """Say nothing."""

    def epoch(self, record: Record) -> None:
        """Say nothing."""

    def finish(self, summary: str) -> None:
        """Say nothing."""

    def remark(self, training: TrainingName, text: str) -> None:
        """Say nothing."""

    def results(self, table: MetricTable) -> None:
        """Say nothing."""


class BufferedProgress(Silent):
    """A `Progress` that buffers the calls of trainings, to make them to another afterwards."""

    def __init__(self) -> None:
        self._calls: list[Callable[[Progress], None]] = []

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Keep it."""
        self._calls.append(lambda progress: progress.start(training, n_epochs, records))

    def epoch(self, record: Record) -> None:
        """Keep it."""
        self._calls.append(lambda progress: progress.epoch(record))

    def finish(self, summary: str) -> None:
        """Keep it."""
        self._calls.append(lambda progress: progress.finish(summary))

    def remark(self, training: TrainingName, text: str) -> None:
        """Keep it."""
        self._calls.append(lambda progress: progress.remark(training, text))

    def tell(self, progress: Progress) -> None:
        """Tell another all that was kept, and forget it."""
        calls, self._calls = self._calls, []
        for call in calls:
            call(progress)


class ProgressGroup:
    """A `Progress` that tells several, in their order."""

    def __init__(self, watchers: Sequence[Progress]) -> None:
        self._watchers = tuple(watchers)

    def run(self, settings: Mapping[str, Any]) -> None:
        """Tell all."""
        for one in self._watchers:
            one.run(settings)

    def stage(self, text: str) -> None:
        """Tell all."""
        for one in self._watchers:
            one.stage(text)

    def outlook(self, outlook: Outlook) -> None:
        """Tell all."""
        for one in self._watchers:
            one.outlook(outlook)

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Tell all."""
        for one in self._watchers:
            one.start(training, n_epochs, records)

    def batch(self, done: int, total: int, loss: float) -> None:
        """Tell all."""
        for one in self._watchers:
            one.batch(done, total, loss)

    def epoch(self, record: Record) -> None:
        """Tell all."""
        for one in self._watchers:
            one.epoch(record)

    def finish(self, summary: str) -> None:
        """Tell all."""
        for one in self._watchers:
            one.finish(summary)

    def remark(self, training: TrainingName, text: str) -> None:
        """Tell all."""
        for one in self._watchers:
            one.remark(training, text)

    def results(self, table: MetricTable) -> None:
        """Tell all."""
        for one in self._watchers:
            one.results(table)


def wait_at_stage(work: Future[Any], progress: Progress, text: str, every_s: float = 3.0) -> None:
    """Wait for work of another thread, and say again and again that it goes on, and how long.

    Args:
        work: what is waited for; what it raises is raised.
        progress: is told the stage, with the seconds behind it once there are some.
        text: what is under way.
        every_s: seconds between two lines.
    """
    began = time.monotonic()
    progress.stage(text)
    while not wait([work], every_s).done:
        progress.stage(f"{text}, {time.monotonic() - began:.0f} s so far")
    work.result()
