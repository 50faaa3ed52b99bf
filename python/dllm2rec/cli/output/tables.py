"""Tables for people: pure functions of results, and the one that prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from dllm2rec.cli.output.bench_report import Row, grouped
from dllm2rec.data.protocol.filters import Step
from dllm2rec.runtime.visible import visible, visible_lines
from dllm2rec.tracking.metric_table import (
    MetricRow,
    MetricTable,
    Recommendation,
    best_text,
    shown_metrics,
)


def print_table(table: RenderableType) -> None:
    """Print as wide as the table is: a narrow terminal wraps lines, nothing is cut off.

    Control characters are spelt out, whatever the cells hold.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
    """
    console = Console(highlight=False)
    options = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=options).maximum)
    safe = [
        Segment(visible_lines(part.text), part.style, part.control)
        for part in console.render(table)
    ]
    # Rich would end the process by itself where it finds a pipe closed: it gets nothing to write.
    sys.stdout.flush()
    with console.capture() as captured:
        console.print(Segments(safe), end="")
    print(captured.get(), end="")


def metric_table(result: MetricTable, columns: Sequence[str] | None = None) -> Group:
    """Lay scorers out under each other, the best of each column marked by `*` (and bold).

    Args:
        result: the rows and how they were scored.
        columns: metric keys to show; by default `shown_metrics`.
    """
    columns = shown_metrics(result.rows) if columns is None else columns
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for key in columns:
        table.add_column(key, justify="right", no_wrap=True)
    for row in result.rows:
        cells = (_cell(row, key, best_text(result.rows, key)) for key in columns)
        table.add_row(escape(row.name), *cells)
    # A title of the table itself would be wrapped to the width of the table.
    notes = [Text(f"note: {note}") for note in result.notes]
    return Group(Text(f"{result.title}: {result.protocol()}"), table, *notes)


def dialect_table(result: MetricTable, differences: Mapping[str, str]) -> Group:
    """Lay one scorer's metrics out, a row a dialect, and say below how each differs."""
    keys = list(dict.fromkeys(key for row in result.rows for key in row.metrics if "@" in key))
    rows = [
        [row.name, *(f"{row.metrics[key]:.4f}" if key in row.metrics else "-" for key in keys)]
        for row in result.rows
    ]
    said = fact_table((row.name, differences[row.name]) for row in result.rows)
    notes = [Text(f"note: {note}") for note in result.notes]
    head = Text(f"{result.title}: {result.protocol()}")
    return Group(head, plain_table(["", *keys], rows), Text(""), said, *notes)


def _cell(row: MetricRow, key: str, best: str) -> str:
    value, spread = row.metrics.get(key), row.deviation.get(key)
    if value is None:
        return "-"
    text = f"{value:.4f}"
    shown = f"[bold]*{text}[/bold]" if text == best else text
    return shown if spread is None else f"{shown} ±{spread:.4f}"


def recommendation_table(rows: Iterable[Recommendation]) -> Table:
    """Lay one list out: rank, item id, title (where any item has one), score."""
    rows = list(rows)
    titled = any(row.title is not None for row in rows)
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("item")
    if titled:
        table.add_column("title", max_width=60, no_wrap=True, overflow="ellipsis")
    table.add_column("score", justify="right")
    for row in rows:
        title = [escape(visible(row.title or ""))] if titled else []
        table.add_row(str(row.rank), escape(visible(row.item_id)), *title, f"{row.score:.4f}")
    return table


def fact_table(
    facts: Iterable[tuple[str, int | str]], *, justify: Literal["left", "right"] = "left"
) -> Table:
    """Lay out names and what is known of them, one per line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify=justify)
    for name, value in facts:
        table.add_row(escape(name), f"{value:,}" if isinstance(value, int) else escape(value))
    return table


def plain_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Lay out rows of texts under their heads; all but the first column is of figures."""
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def step_table(steps: Sequence[Step]) -> Table:
    """Lay out what each rule left and how many events it dropped."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rule", no_wrap=True)
    for name in ("events", "users", "items", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    before = steps[0].events if steps else 0
    for step in steps:
        numbers = (step.events, step.users, step.items, before - step.events)
        table.add_row(escape(step.rule), *(f"{number:,}" for number in numbers))
        before = step.events
    return table


def bench_table(rows: Sequence[Row]) -> Table:
    """Lay benches out: our median, then each peer as a multiple of it, the nearest peer first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("bench", no_wrap=True)
    table.add_column("dllm2rec", justify="right", no_wrap=True)
    table.add_column("peers, times as long")
    for row in rows:
        nearest = sorted(row.ratios.items(), key=lambda peer: peer[1])
        peers = "; ".join(f"{name} {_times(ratio)}" for name, ratio in nearest)
        table.add_row(escape(grouped(row.group)), _duration(row.ours_s), escape(peers or "-"))
    return table


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
