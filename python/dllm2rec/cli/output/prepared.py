"""What `dllm2rec prepare` prints."""

from __future__ import annotations

from dllm2rec.auditing.audit import Audit
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.output.tables import fact_table, print_table, step_table
from dllm2rec.data.prepare_run import PrepareResult
from dllm2rec.data.protocol.prepare import PrepareReport


def show_prepared(result: PrepareResult, found: Audit | None) -> None:
    """Print what was read, what each rule left, and what the dataset is like."""
    say(f"read as {result.read_as}")
    for note in result.notes:
        say(f"note: {note}")
    if result.report is not None:
        print_table(step_table(result.report.steps))
    counts = {**result.counts, **_checks(result.report)}
    print_table(fact_table(counts.items(), justify="right"))
    if found is not None:
        print_table(fact_table(found.facts().items()))
    elif result.form == "dataset":
        say(f"dllm2rec audit {result.out} says how sequential the data is, and more")
    say(f"{result.form} written to {result.out}")


def _checks(report: PrepareReport | None) -> dict[str, int | str]:
    """What the report counts besides its steps."""
    if report is None:
        return {}
    leaks, later = report.leaks, report.leaks.train_after_test
    return {
        "users without a row": report.users_without_row,
        **{f"{name} rows before sampling": n for name, n in report.sampled_from.items()},
        **{f"cold {name} targets": n for name, n in report.cold_targets.items()},
        "cold targets dropped": report.cold_dropped,
        "events at the time of the one before": report.ties,
        "items without a title": report.untitled_items,
        "leak: other rows that are in train": leaks.rows_in_train,
        "leak: targets in their own window": leaks.targets_in_window,
        "leak: targets in the history of a train row": leaks.targets_in_train,
        "leak: train targets after the first test target": "no times" if later is None else later,
    }
