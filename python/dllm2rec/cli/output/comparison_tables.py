"""A comparison for people: a table for each metric, the costs beside the first."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dllm2rec.cli.output.lines import say
from dllm2rec.cli.output.tables import print_table
from dllm2rec.comparisons.comparison import ComparedScorer, Comparison
from dllm2rec.comparisons.cost import Cost
from dllm2rec.comparisons.texts import COST_HEADS, HEADS, cells, cost_cells, family


def print_comparison(found: Comparison) -> None:
    """Print the tables, and what a reader should know."""
    say(found.protocol())
    say(f"against {found.against}, {found.reason}; {family(found)}")
    for metric in found.metrics:
        say()
        print_table(_table(metric, found.of_metric(metric)))
    if found.costs:
        say()
        print_table(_costs(found.costs))
    if found.notes:
        say()
    for note in found.notes:
        say(f"note: {note}")


def _table(metric: str, rows: list[ComparedScorer]) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(("", metric, *HEADS)):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(escape(row.name), *map(escape, cells(row)))
    return table


def _costs(costs: Mapping[str, Cost]) -> Group:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(("", *COST_HEADS)):
        table.add_column(escape(head), justify="right" if number else "left", no_wrap=True)
    for name, cost in costs.items():
        table.add_row(escape(name), *map(escape, cost_cells(cost)))
    return Group(Text("cost, on this machine"), table)
