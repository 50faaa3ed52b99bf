"""How a plan looks."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from dllm2rec.cli.output.lines import say
from dllm2rec.cli.output.tables import print_table
from dllm2rec.cli.output.units import size_text, time_text
from dllm2rec.plan.run import Plan
from dllm2rec.plan.student_plan import StudentPlan


def print_plan(plan: Plan) -> None:
    """Print what the run is, a line for each of its students, what they are made of, and totals."""
    say(
        f"{plan.dataset}: {plan.n_train:,} train, {plan.n_validation:,} validation and "
        f"{plan.n_test:,} test rows, {plan.n_items:,} items; on {plan.device}"
    )
    print_table(student_table(plan))
    say()
    print_table(part_table(plan, "parameters"))
    say()
    print_table(part_table(plan, "memory"))
    say()
    for line in totals(plan):
        say(line)


def student_table(plan: Plan) -> Table:
    """A line for each student."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in (
        "parameters",
        "checkpoint",
        "steps per epoch",
        "memory",
        "s per epoch",
        "trainings",
        "all epochs",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for student_plan in plan.students:
        table.add_row(
            escape(student_plan.name),
            f"{student_plan.n_parameters:,}",
            size_text(student_plan.checkpoint_bytes),
            f"{student_plan.steps_per_epoch:,}",
            size_text(student_plan.memory_bytes),
            _epoch_text(student_plan),
            f"{plan.n_seeds * student_plan.n_trainings}",
            "does not fit"
            if student_plan.seconds is None
            else time_text(plan.n_seeds * student_plan.seconds),
        )
    return table


def part_table(plan: Plan, what: str) -> Table:
    """What parameters or memory of each student are made of, a line a part."""
    columns = [
        student_plan.parameters if what == "parameters" else student_plan.memory
        for student_plan in plan.students
    ]
    table = Table(box=None, pad_edge=False)
    table.add_column(what, no_wrap=True)
    for student_plan in plan.students:
        table.add_column(escape(student_plan.name), justify="right", no_wrap=True)
    for part in dict.fromkeys(part for column in columns for part in column):
        counts = [column.get(part, 0) for column in columns]
        if any(counts):
            shown = (f"{n:,}" if what == "parameters" else size_text(n) for n in counts)
            table.add_row(part, *shown)
    return table


def totals(plan: Plan) -> list[str]:
    """The whole run in a few lines."""
    lines = [
        f"memory of the process: {size_text(plan.host_bytes)}",
        f"checkpoints on disk: {size_text(plan.disk_bytes)}",
    ]
    if plan.seconds is None:
        lines.append("time: not known, since a student does not fit; lower train.batch_size")
    else:
        lines.append(
            f"time: about {time_text(plan.seconds)}, if every training goes to its last epoch, "
            f"{plan.max_epochs}; it ends earlier after {plan.patience} epochs without a better one"
            f" ({time_text(plan.opening_s + plan.baselines_s + plan.report_s)} of it are for "
            "reading the data, the baselines and the report)"
        )
    return lines


def _epoch_text(student_plan: StudentPlan) -> str:
    if student_plan.train_s is None or student_plan.validation_s is None:
        return "-"
    return f"{student_plan.train_s + student_plan.validation_s:.3g}"
