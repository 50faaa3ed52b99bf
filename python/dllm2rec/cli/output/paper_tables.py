"""The paper's table for people, and a line for each of its trainings."""

from __future__ import annotations

from dllm2rec.cli.output.lines import say
from dllm2rec.cli.output.tables import plain_table, print_table
from dllm2rec.cli.output.units import time_text
from dllm2rec.cli.streams import tell
from dllm2rec.rerun.paper.cells import PARTS
from dllm2rec.rerun.paper.reproduce_table import PAGE_FILE, Step
from dllm2rec.rerun.paper.table import PaperTable
from dllm2rec.rerun.paper.texts import HEADS, TITLES, cells_of, lines
from dllm2rec.tracking.metric_names import SELECTION


def tell_step(step: Step) -> None:
    """Say which training ended, what it reached on validation, and how long the others may take."""
    record = step.record
    name = " ".join(str(record[key]) for key in ("dataset", "student", "method") if record[key])
    weights = record["ranking_weight"], record["embedding_weight"]
    if all(isinstance(weight, int | float) for weight in weights):
        name += f", weights {weights[0]:g} and {weights[1]:g}"
    reached = record.get("validation", {}).get(SELECTION)
    found = "diverged" if "failed" in record else ""
    if reached is not None:
        found = f"validation {SELECTION} {reached:.4f}"
    parts = [
        f"{step.n_done} of about {step.n_done + step.n_left}",
        f"{name}, seed {record['seed']}",
    ]
    parts += [found] if found else []
    parts += [f"{record['seconds']:.1f} s"]
    left = f"; about {time_text(step.left_s)} left" if step.n_left else ""
    tell(f"{': '.join(parts[:2])}: {', '.join(parts[2:])}{left}")


def print_paper_table(table: PaperTable) -> None:
    """Print the parts that are there, and what they come to."""
    for part in PARTS:
        rows = table.of_part(part)
        if rows:
            say(TITLES[part])
            print_table(plain_table(HEADS, [cells_of(row) for row in rows]))
            say()
    for line in lines(table):
        say(line)
    say(f"written to {table.folder}/{PAGE_FILE}")
