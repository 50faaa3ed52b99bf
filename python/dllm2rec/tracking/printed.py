"""How a training looks from Python: plain lines on stderr, which notebooks show below the cell."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dllm2rec.runtime.distributed import is_first
from dllm2rec.tracking.metric_names import EPOCH_METRICS
from dllm2rec.tracking.progress import Progress, Record, Silent, TrainingName


class PrintedProgress(Silent):
    """A `Progress` of plain lines on stderr: one when a training begins, one an epoch."""

    def __init__(self) -> None:
        self._name, self._n_epochs = "", 0

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Say what begins, and after how many epochs."""
        self._name, self._n_epochs = str(training), n_epochs
        self._say(f"epochs {len(records) + 1} to at most {n_epochs}")

    def epoch(self, record: Record) -> None:
        """Say how an epoch went."""
        shown = [f"{key} {record[key]:.4f}" for key in ("loss", *EPOCH_METRICS) if key in record]
        self._say("  ".join([f"epoch {record['epoch']:.0f}/{self._n_epochs}", *shown]))

    def finish(self, summary: str) -> None:
        """Say how the training ended."""
        self._say(summary)

    def remark(self, training: TrainingName, text: str) -> None:
        """Say it of its training."""
        self._name = str(training)
        self._say(text)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._name}: {text}\n")
        sys.stderr.flush()


def as_progress(progress: Progress | bool) -> Progress:
    """The `Progress` that a caller means: True is printed lines, False is silence.

    Of several processes the first alone prints.
    """
    if isinstance(progress, bool):
        return PrintedProgress() if progress and is_first() else Silent()
    return progress
