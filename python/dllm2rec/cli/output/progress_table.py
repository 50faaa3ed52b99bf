"""How training looks: a table that grows on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dllm2rec.cli.output.training_status import RunStatus, TrainingStatus, gpu_text
from dllm2rec.cli.output.units import time_text
from dllm2rec.cli.torchrun import process_name
from dllm2rec.runtime.visible import visible
from dllm2rec.tracking.metric_names import EPOCH_METRICS, SELECTION
from dllm2rec.tracking.progress import Outlook, Progress, Record, Silent, TrainingName

# Drawing takes a millisecond or two; four times a second is as often as anyone reads.
DRAW_EVERY_S = 0.25
BAR_WIDTH = 20
# Columns after the name, by width; the last ones only where the terminal has room for them.
COLUMNS = {"dropout": 7, "weight": 6, "seed": 5, "epoch": 7, "loss": 7} | {
    SELECTION: 7,
    "best (epoch)": 12,
}
MORE_COLUMNS = {"rows/s": 10, "time": 12}
NAME_WIDTH, GAP = 24, "  "


@contextmanager
def watching(stream: IO[str] | None = None) -> Iterator[Progress]:
    """Show trainings on `stream`, by default stderr; of several processes the first alone does."""
    if process_name():
        yield Silent()
        return
    console = Console(file=stream or sys.stderr, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        with drawing(console) as drawn:
            yield drawn
    else:
        yield Lines(console.file)


def record_text(record: Mapping[str, float]) -> str:
    """One epoch in one line: its number, losses, what selects, speed; the file has the rest."""
    terms = [key for key in record if key.startswith("loss_")]
    shown = ["loss", *(terms if len(terms) > 1 else []), *EPOCH_METRICS]
    parts = [f"epoch {record['epoch']:.0f}"]
    parts += [f"{key.removeprefix('loss_')} {record[key]:.4f}" for key in shown if key in record]
    if "rows_per_s" in record:
        parts.append(f"{record['rows_per_s']:,.0f} rows/s")
    return "  ".join(parts)


class Lines(Silent):
    """A `Progress` of plain lines: one when a training starts, one an epoch, one at its end."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._status, self._run = TrainingStatus(TrainingName(""), 0), RunStatus()

    def outlook(self, outlook: Outlook) -> None:
        """Say what is to be beaten."""
        self._run.outlook = outlook
        if text := self._run.beat_text():
            print(visible(f"{text} ({SELECTION} on validation)"), file=self._stream, flush=True)

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Say what begins."""
        self._status = TrainingStatus(training, n_epochs, records)
        self._run.start()
        number = self._run.number_text()
        self._say(f"at most {n_epochs} epochs{number and f', {number}'}")

    def epoch(self, record: Record) -> None:
        """Say how the epoch went, which was the best, and what is left."""
        status = self._status
        status.epoch(record)
        parts = [record_text(record)]
        if status.best is not None:
            parts.append(f"best {status.best:.4f} ({status.best_epoch})")
        if (left := status.left_s()) and status.epochs < status.n_epochs:
            parts.append(f"at most {time_text(left)} left")
        parts += [total] if (total := self._run.left_text(status)) else []
        self._say("  ".join(parts))

    def finish(self, summary: str) -> None:
        """Say how the training ended and how long it took."""
        self._run.finish(self._status.elapsed_s)
        self._say(f"{summary} ({self._status.elapsed_s:.1f} s)")

    def remark(self, training: TrainingName, text: str) -> None:
        """Say it of its training."""
        self._print(training, text)

    def _say(self, text: str) -> None:
        self._print(self._status.training, text)

    def _print(self, training: TrainingName, text: str) -> None:
        print(visible(f"{training}: {text}"), file=self._stream, flush=True)


class Drawn(Silent):
    """A `Progress` of one line a training, and two below the one that runs."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._status: TrainingStatus | None = None
        self._run = RunStatus()
        self._drawn_at = 0.0
        self._headed = self._seeds = False

    def stage(self, text: str) -> None:
        """Show what is under way, until something else is."""
        if self._status is None:
            self._live.update(Text(f"{visible(text)} ...", style="dim"), refresh=True)

    def outlook(self, outlook: Outlook) -> None:
        """Keep it for the lines below the training that runs."""
        self._run.outlook = outlook

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Show what begins, below a heading where it is the first."""
        self._run.start()
        self._status = TrainingStatus(training, n_epochs, records)
        if not self._headed:
            self._headed, self._seeds = True, training.seed is not None
            self._live.update(Text(""), refresh=True)  # the stage before
            width, dropouts = self._live.console.width, training.dropout is not None
            self._live.console.print(heading(width, seeds=self._seeds, dropouts=dropouts))
        self._draw(at_once=True)

    def batch(self, done: int, total: int, loss: float) -> None:
        """Move the bar."""
        if self._status is not None:
            self._status.batch(done, total, loss)
            self._draw()

    def epoch(self, record: Record) -> None:
        """Show the epoch's figures."""
        if self._status is not None:
            self._status.epoch(record)
            self._draw()

    def finish(self, summary: str) -> None:
        """Leave the training's line where it is, and make room for the next one."""
        if self._status is not None:
            self._run.finish(self._status.elapsed_s)
            width = self._live.console.width
            self._live.update(Text(""))
            self._live.console.print(line(self._status, width, seeds=self._seeds))
            self._live.refresh()
            self._status = None

    def remark(self, training: TrainingName, text: str) -> None:
        """Leave it below the lines of the trainings, broken where the terminal ends."""
        said = Text(GAP + visible(f"{training}: {text}"), style="dim")
        self._live.console.print(said, soft_wrap=False)

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._status is None or (now - self._drawn_at < DRAW_EVERY_S and not at_once):
            return
        self._drawn_at = now
        width = self._live.console.width
        drawn = picture(self._status, width, seeds=self._seeds, run=self._run)
        self._live.update(drawn, refresh=True)


@contextmanager
def drawing(console: Console) -> Iterator[Drawn]:
    """Keep the running training's lines on a terminal as long as the block runs."""
    # No thread that draws: it would take the interpreter from the training.
    with Live(
        Text(""), console=console, auto_refresh=False, transient=True, redirect_stdout=False
    ) as live:
        yield Drawn(live)


def heading(width: int, *, seeds: bool, dropouts: bool = False) -> Text:
    """The names of the columns."""
    columns = _columns(width, seeds=seeds, dropouts=dropouts)
    text = _laid({"name": "training", **{name: name for name in columns}}, columns, width)
    text.stylize("dim")
    return text


def line(status: TrainingStatus, width: int, *, seeds: bool, runs: bool = False) -> Text:
    """One training in one line of at most `width` cells, each figure below its heading."""
    training, record = status.training, status.record
    epoch = min(status.epochs + runs, status.n_epochs)
    cells = {"name": training.student, "epoch": f"{epoch}/{status.n_epochs}"}
    if training.dropout is not None:
        cells["dropout"] = f"{training.dropout:g}"
    if training.ranking_weight is not None:
        cells["weight"] = f"{training.ranking_weight:g}"
    if training.seed is not None:
        cells["seed"] = f"{training.seed}"
    if status.loss is not None:
        cells["loss"] = f"{status.loss:.4f}"
    if SELECTION in record:
        cells[SELECTION] = f"{record[SELECTION]:.4f}"
    if status.best is not None:
        cells["best (epoch)"] = f"{status.best:.4f} {f'({status.best_epoch})':>5}"
    if "rows_per_s" in record:
        cells["rows/s"] = f"{record['rows_per_s']:,.0f}"
    cells["time"] = time_text(status.elapsed_s)
    return _laid(cells, _columns(width, seeds=seeds, dropouts="dropout" in cells), width)


def picture(
    status: TrainingStatus, width: int, *, seeds: bool, run: RunStatus | None = None
) -> RenderableType:
    """The running training: its line, the batches of its epoch, what is left of it and of all.

    Always as many lines, none longer than `width`: what is below never moves.
    """
    first = line(status, width, seeds=seeds, runs=True)
    first.stylize("bold")
    parts = [f"{name} {value:.4f}" for name, value in status.loss_parts().items()]
    batch = f"{status.done:,}/{status.total:,}" if status.total else ""
    below = Table.grid(padding=(0, 2, 0, 0))
    below.add_column(width=BAR_WIDTH + 2)
    below.add_column(no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(total=status.total or 1, completed=status.done, width=BAR_WIDTH)
    below.add_row(_indented(bar), Text("  ".join([batch, *parts]).strip()))
    left = status.left_s()
    facts = [
        f"{status.record['rows_per_s']:,.0f} rows/s" if "rows_per_s" in status.record else "",
        "" if left is None else f"at most {time_text(left)} left",
        gpu_text(),
    ]
    return Group(first, below, _joined(facts, width), *_of_run(status, width, run))


def _of_run(status: TrainingStatus, width: int, run: RunStatus | None) -> list[Text]:
    """Which training of how many, the time left for all, and what is to be beaten."""
    if run is None or run.outlook is None:
        return []
    return [_joined([run.number_text(), run.left_text(status), run.beat_text()], width)]


def _joined(facts: Sequence[str], width: int) -> Text:
    text = Text(GAP + GAP.join(fact for fact in facts if fact), no_wrap=True)
    text.truncate(width, overflow="ellipsis")
    return text


def _indented(bar: ProgressBar) -> Table:
    grid = Table.grid()
    grid.add_row(Text(GAP), bar)
    return grid


def _columns(width: int, *, seeds: bool, dropouts: bool) -> dict[str, int]:
    optional = {"seed": seeds, "dropout": dropouts}
    columns = {name: size for name, size in COLUMNS.items() if optional.get(name, True)}
    more = columns | MORE_COLUMNS
    needed = NAME_WIDTH + sum(more.values()) + len(GAP) * len(more)
    return more if width >= needed else columns


def _laid(cells: Mapping[str, str], columns: Mapping[str, int], width: int) -> Text:
    others = sum(columns.values()) + len(GAP) * len(columns)
    name = Text(cells["name"])
    name.truncate(max(8, min(NAME_WIDTH, width - others)), overflow="ellipsis", pad=True)
    parts = [f"{cells.get(column, ''):>{size}}" for column, size in columns.items()]
    text = Text(GAP).join([name, *map(Text, parts)])
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text
