"""A run as TensorBoard event files: a folder for each training, so that their curves overlay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from dllm2rec.tracking.metric_names import markdown, named, path_of
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Record, Silent, TrainingName


class TensorBoard(Silent):
    """Writes below `folder`; every epoch is on disk before the next begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder
        self._writer: SummaryWriter | None = None

    def run(self, settings: Mapping[str, Any]) -> None:
        """Write the settings as text."""
        text = json.dumps(settings, indent=1)
        self._write_text("settings", f"```json\n{text}\n```")

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Note where the training's events go."""
        self._place = self._folder / path_of(training)

    def batch(self, done: int, total: int, loss: float) -> None:
        """Write nothing: an epoch's means say more."""

    def epoch(self, record: Record) -> None:
        """Write every figure of the epoch."""
        epoch = round(record["epoch"])
        if self._writer is None:
            # A resumed training may repeat epochs: those that its earlier events hold are dropped.
            self._writer = SummaryWriter(self._place, purge_step=epoch)
        for tag, value in named(record):
            self._writer.add_scalar(tag, value, epoch)
        self._writer.flush()

    def finish(self, summary: str) -> None:
        """Close the training's file."""
        self.close()

    def remark(self, training: TrainingName, text: str) -> None:
        """Log nothing: the row of the results says what came of it."""

    def results(self, table: MetricTable) -> None:
        """Write the table as text."""
        self._write_text("test", markdown(table))

    def close(self) -> None:
        """Close what is open."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_text(self, tag: str, text: str) -> None:
        writer = SummaryWriter(self._folder)
        writer.add_text(tag, text)
        writer.close()
