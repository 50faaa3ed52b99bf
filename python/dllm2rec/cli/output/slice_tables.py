"""Slices for people: scorers under each other, groups of rows side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dllm2rec.cli.output.lines import say
from dllm2rec.cli.output.tables import print_table
from dllm2rec.evaluate.rows.slices import SliceTable
from dllm2rec.tracking.metric_table import MetricTable


def print_slices(slices: Sequence[SliceTable]) -> None:
    """Print a table for each slicing: NDCG at the largest K; `--json` has all metrics."""
    for one in slices:
        say()
        print_table(slice_table(one))


def print_list_figures(found: MetricTable) -> None:
    """Print coverage, Gini, novelty and popularity lift at the largest K that a scorer has."""
    say()
    largest = max(int(key.partition("@")[2]) for row in found.rows for key in row.metrics)
    names = {
        "coverage": "coverage",
        "gini": "Gini",
        "novelty": "novelty, bits",
        "popularity_lift": "popularity lift",
    }
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(("", *names.values())):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in found.rows:
        values = [row.metrics.get(f"{name}@{largest}") for name in names]
        texts = ["-" if value is None else f"{value:.4f}" for value in values[:3]]
        lift = "-" if values[3] is None else f"{values[3]:+.4f}"
        table.add_row(escape(row.name), *texts, lift)
    print_table(Group(Text(f"{found.title}, the first {largest} items"), table))


def slice_table(one: SliceTable) -> Group:
    """Lay out one slicing, the best of each group marked by `*` (and bold)."""
    key = _shown(one)
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for label in one.labels:
        table.add_column(escape(label.replace(": ", "\n")), justify="right", no_wrap=True)
    table.add_row("rows", *(f"{n:,}" for n in one.n_rows))
    texts = {
        name: [f"{part[key]:.4f}" if key in part else "-" for part in parts]
        for name, parts in one.metrics.items()
    }
    best = [
        max((t for t in column if t != "-"), default="")
        for column in zip(*texts.values(), strict=True)
    ]
    for name, cells in texts.items():
        table.add_row(
            escape(name),
            *(f"[bold]*{c}[/bold]" if c == top else c for c, top in zip(cells, best, strict=True)),
        )
    return Group(Text(f"{one.name} ({one.how}), {key}"), table)


def _shown(one: SliceTable) -> str:
    keys = [key for parts in one.metrics.values() for part in parts for key in part]
    return max(
        (key for key in keys if key.startswith("ndcg@")), key=lambda key: int(key.split("@")[1])
    )
