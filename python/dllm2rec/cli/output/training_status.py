"""The status of one training: how far it is, its best epoch, and how long it may still take."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from dllm2rec.cli.output.units import size_text, time_text
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.progress import Outlook, Record, TrainingName

# So many epochs, the newest, make the pace.
PACE_EPOCHS = 5


class TrainingStatus:
    """One training, from what its `Progress` receives.

    Attributes:
        training: which one.
        n_epochs: at most so many.
        epochs: how many are done.
        done: batches of the current epoch.
        total: batches of an epoch, 0 while not known.
        loss: the newest.
        record: of the newest epoch, empty before there is one.
        best: the best validation ndcg@20, None before there is one.
        best_epoch: where it was reached.
    """

    def __init__(
        self,
        training: TrainingName,
        n_epochs: int,
        records: Sequence[Record] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.training = training
        self.n_epochs = n_epochs
        self.epochs = 0
        self.done = self.total = 0
        self.loss: float | None = None
        self.record: Record = {}
        self.best: float | None = None
        self.best_epoch = 0
        self._clock = clock
        self._ends = [clock()]  # of the epochs, after the beginning of the first
        for record in records:
            self._take(record)

    def batch(self, done: int, total: int, loss: float) -> None:
        """Take the newest reading within an epoch."""
        self.done, self.total, self.loss = done, total, loss

    def epoch(self, record: Record) -> None:
        """Take an epoch that ended."""
        self._take(record)
        self._ends.append(self._clock())

    def _take(self, record: Record) -> None:
        self.record, self.epochs = record, round(record["epoch"])
        self.done, self.loss = 0, record.get("loss", self.loss)
        reached = record.get(SELECTION)
        if reached is not None and (self.best is None or reached > self.best):
            self.best, self.best_epoch = reached, self.epochs

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._ends[0]

    def left_s(self) -> float | None:
        """Seconds to the last epoch at the pace so far, None while there is none.

        Early stopping may end it sooner. The first epoch, which also warms up, makes the pace only
        while it is alone.
        """
        taken = [b - a for a, b in itertools.pairwise(self._ends)]
        spent = self._clock() - self._ends[-1]
        if taken:
            pace = statistics.median((taken[1:] or taken)[-PACE_EPOCHS:])
            return max(0.0, pace * (self.n_epochs - self.epochs) - min(spent, pace))
        if self.done and self.total:
            return spent * (self.n_epochs * self.total / self.done - 1)
        return None

    def loss_parts(self) -> dict[str, float]:
        """The parts of the newest epoch's loss; none where it has only one."""
        parts = {k.removeprefix("loss_"): v for k, v in self.record.items() if "loss_" in k}
        return parts if len(parts) > 1 else {}


class RunStatus:
    """How far a run is: which training of how many, how long all of them may still take.

    Attributes:
        outlook: what the run said is to come, None before it did.
        number: of the training that runs, from 1; 0 before the first.
    """

    def __init__(self) -> None:
        self.outlook: Outlook | None = None
        self.number = 0
        self._durations: list[float] = []

    def start(self) -> None:
        """Take that another training begins."""
        self.number += 1

    def finish(self, seconds: float) -> None:
        """Take how long one took."""
        self._durations.append(seconds)

    def number_text(self) -> str:
        """`training 2 of at most 6`; empty where that is not known."""
        known = self.outlook is not None and 0 < self.number <= self.outlook.n_trainings
        if not known or self.outlook is None or self.outlook.n_trainings == 1:
            return ""
        return f"training {self.number} of at most {self.outlook.n_trainings}"

    def beat_text(self) -> str:
        """What is to be beaten on validation; empty where that is not known."""
        if self.outlook is None or self.outlook.to_beat is None:
            return ""
        name, value = self.outlook.to_beat
        return f"to beat: {name} {value:.4f}"

    def left_text(self, status: TrainingStatus) -> str:
        """The time for all trainings that are left; empty where that is not known, or for one.

        Those to come are taken to last as long as those that ended; before the first has, as long
        as the one that runs if no early stopping ends it.
        """
        left = status.left_s()
        if left is None or self.outlook is None or not self.number_text():
            return ""
        to_come = max(0, self.outlook.n_trainings - self.number)
        if not self._durations:
            return f"at most {time_text(left + to_come * (status.elapsed_s + left))} for all"
        return f"about {time_text(left + to_come * statistics.fmean(self._durations))} for all"


def gpu_text() -> str:
    """What tensors hold of the GPU now and held at most; empty where none is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return f"GPU {size_text(now)}, peak {size_text(most)}"
