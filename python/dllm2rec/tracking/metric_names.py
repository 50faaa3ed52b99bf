"""The metric that selects, and what an epoch's figures are called in trackers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import TrainingName

# Early stopping and the best checkpoint go by this metric of the validation rows.
SELECTION_K = 20
SELECTION = f"ndcg@{SELECTION_K}"
# What is shown of an epoch; a record holds more.
EPOCH_METRICS = (f"hr@{SELECTION_K}", SELECTION)
TIMES = ("train_s", "validation_s", "rows_per_s")


def named(record: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """`loss/total`, `loss/ranking`, `validation/ndcg@20`, `speed/rows_per_s`; the epoch is a step.

    The word before the slash groups them. No name is the beginning of another up to its slash:
    where names are paths, one would be a file and a folder.
    """
    for key, value in record.items():
        if key == "epoch":
            continue
        if key.startswith("loss"):
            yield f"loss/{key.removeprefix('loss').strip('_') or 'total'}", value
        else:
            yield f"{'speed' if key in TIMES else 'validation'}/{key}", value


def path_of(training: TrainingName) -> str:
    """A training as a path: `sasrec+dllm2rec/weight-0.3/seed-1`."""
    dropout, weight, seed = training.dropout, training.ranking_weight, training.seed
    parts = [training.student.replace(" ", "")]
    parts += [] if dropout is None else [f"dropout-{dropout:g}"]
    parts += [] if weight is None else [f"weight-{weight:g}"]
    parts += [] if seed is None else [f"seed-{seed}"]
    return "/".join(parts)


def cells(table: MetricTable) -> tuple[list[str], list[list[str | float | None]]]:
    """The columns of a table and its rows; None where a row lacks a metric."""
    keys = list(dict.fromkeys(key for row in table.rows for key in row.metrics))
    rows = [[row.name, *(row.metrics.get(key) for key in keys)] for row in table.rows]
    return ["name", *keys], rows


def markdown(table: MetricTable) -> str:
    """A table as markdown, which trackers show as such."""
    columns, rows = cells(table)
    lines = [columns, ["---"] * len(columns), *([_text(cell) for cell in row] for row in rows)]
    head = f"{table.title}: {table.protocol()}"
    return "\n".join([head, "", *(_line(cells) for cells in lines)])


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(texts))} |"


def _escaped(texts: Iterable[str]) -> Iterator[str]:
    return (text.replace("|", "\\|") for text in texts)


def _text(cell: str | float | None) -> str:
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:.4f}"
