"""The status of one training: how far it is, its best epoch, and how long it may still take."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from dllm2rec.cli.output.units import size_text
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.progress import Record, TrainingName

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


def gpu_text() -> str:
    """What tensors hold of the GPU now and held at most; empty where none is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return ""
    now, most = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    return f"GPU {size_text(now)}, peak {size_text(most)}"
