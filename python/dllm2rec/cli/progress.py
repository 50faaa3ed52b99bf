"""How a training looks: a bar on a terminal, plain lines anywhere else, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from dllm2rec.cli.processes import process_name
from dllm2rec.progress import Progress, Silent


@contextmanager
def watching(stream: IO[str] | None = None) -> Iterator[Progress]:
    """Show tasks on `stream`, by default stderr; of several processes the first alone does."""
    if process_name():
        yield Silent()
        return
    console = Console(file=stream or sys.stderr, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with bars(console) as drawn:
            yield drawn
    else:
        yield Lines(console.file)


def record_text(record: Mapping[str, float]) -> str:
    """One epoch in one line: its number, losses, what selects, speed; the file has the rest."""
    terms = [key for key in record if key.startswith("loss_")]
    shown = ["loss", *(terms if len(terms) > 1 else []), "hr@20", "ndcg@20"]
    parts = [f"epoch {record['epoch']:.0f}"]
    parts += [f"{key.removeprefix('loss_')} {record[key]:.4f}" for key in shown if key in record]
    if "rows_per_s" in record:
        parts.append(f"{record['rows_per_s']:,.0f} rows/s")
    return "  ".join(parts)


class Lines:
    """A `Progress` of plain lines: one when a task starts, one an epoch, one at its end."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._name = ""
        self._begin = 0.0

    def start(self, name: str, n_epochs: int) -> None:
        """Say what begins."""
        self._name, self._begin = name, time.monotonic()
        self._say(f"{name}: at most {n_epochs} epochs")

    def batch(self, done: int, total: int, loss: float) -> None:
        """Say nothing: a log file has no use for it."""

    def epoch(self, record: Mapping[str, float]) -> None:
        """Say how the epoch went."""
        self._say(f"{self._name}: {record_text(record)}")

    def finish(self, summary: str) -> None:
        """Say how the task ended and how long it took."""
        self._say(f"{self._name}: {summary} ({time.monotonic() - self._begin:.1f} s)")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Drawn:
    """A `Progress` of one bar a task; the bar counts batches over all epochs."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = TaskID(0)
        self._n_epochs = 0
        self._epoch = 0

    def start(self, name: str, n_epochs: int) -> None:
        """Draw a new bar."""
        self._n_epochs, self._epoch = n_epochs, 0
        self._task = self._bars.add_task(name, total=None, note="")

    def batch(self, done: int, total: int, loss: float) -> None:
        """Move the bar."""
        self._bars.update(
            self._task,
            total=total * self._n_epochs,
            completed=total * self._epoch + done,
            note=f"epoch {self._epoch + 1}  loss {loss:.4f}",
        )

    def epoch(self, record: Mapping[str, float]) -> None:
        """Write the epoch's record beside the bar."""
        self._epoch += 1
        self._bars.update(self._task, note=record_text(record))

    def finish(self, summary: str) -> None:
        """Fill the bar, early stop or not, and write the summary beside it."""
        done = self._bars.tasks[self._bars.task_ids.index(self._task)].completed
        self._bars.update(self._task, total=done or 1, completed=done or 1, note=summary)


@contextmanager
def bars(console: Console) -> Iterator[Drawn]:
    """Keep bars on a terminal as long as the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=console) as drawing:
        yield Drawn(drawing)
