"""`dllm2rec evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.paths import check_folders_there, check_is_run, check_run_there
from dllm2rec.errors import ConfigError
from dllm2rec.tracking.metric_table import MetricTable

EXAMPLES = """\b
Examples:
  dllm2rec evaluate runs/games-1
  dllm2rec evaluate runs/games-1 --split validation --k 10 --k 50 --json
  dllm2rec evaluate --scores bert4rec.npy --dataset datasets/games
"""


class Split(StrEnum):
    """The rows that no training saw."""

    test = "test"
    validation = "validation"


@dataclass(frozen=True)
class EvaluateRequest:
    """What `dllm2rec evaluate` was asked for; each field is the option of its name."""

    run: Path | None
    scores: Path | None
    dataset: Path | None
    teacher: Path | None
    split: str
    ks: tuple[int, ...] | None
    exclude_seen: bool
    device: str | None
    threads: int | None
    json: bool


def evaluate(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A folder that train wrote.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="Instead of RUN: what another model scored."),
    ] = None,
    dataset: DatasetOption = None,
    teacher: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's teacher, if it was moved.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Rows to score.")] = Split.test,
    k: Annotated[
        list[int] | None, typer.Option("--k", min=1, metavar="K", help="Cut-off; may be repeated.")
    ] = None,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Items of a row's history are no candidates.")
    ] = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Score the students of a run beside its baselines, or another model's scores.

    FILE.npy holds a matrix of float16, float32 or float64: a row for each row of the split, in the
    dataset's order, and a column for each item.
    """
    request = EvaluateRequest(
        run,
        scores=scores,
        dataset=dataset,
        teacher=teacher,
        split=split.value,
        ks=tuple(sorted(set(k))) if k else None,
        exclude_seen=exclude_seen,
        device=None if device is None else device.value,
        threads=threads,
        json=json,
    )
    _evaluate(request)


def _evaluate(request: EvaluateRequest) -> None:
    if (request.run is None) == (request.scores is None):
        raise ConfigError("evaluate: expected one of RUN and --scores")
    if request.scores is None:
        table, source = _of_run(request), {"run": str(request.run)}
    else:
        table, source = _of_scores(request), {"scores": str(request.scores)}
    if request.json:
        print_json({**source, "split": request.split, **table.as_json()})
    else:
        from dllm2rec.cli.output.tables import metric_table, print_table

        print_table(metric_table(table))


def _of_run(request: EvaluateRequest) -> MetricTable:
    assert request.run is not None  # noqa: S101 - for mypy
    chosen = request.device or "auto"
    check_device(chosen)
    check_run_there(request.run)
    check_folders_there(request.dataset, request.teacher)
    check_is_run(request.run)
    use_threads(request.threads)

    from dllm2rec.runs.evaluate_run import evaluate_run
    from dllm2rec.runtime.distributed import process_group

    with process_group(chosen):
        return evaluate_run(
            request.run,
            dataset=request.dataset,
            teacher=request.teacher,
            split=request.split,
            ks=request.ks,
            exclude_seen=request.exclude_seen,
            device=chosen,
        )


def _of_scores(request: EvaluateRequest) -> MetricTable:
    if request.dataset is None:
        raise ConfigError("evaluate: --scores without --dataset, expected the dataset it is of")
    if request.teacher is not None:
        raise ConfigError("evaluate: --teacher beside --scores, which have none")
    if request.device is not None:
        raise ConfigError("evaluate: --device beside --scores, which are ranked on the CPU")
    check_folders_there(request.dataset)
    use_threads(request.threads)

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.evaluate.score_file import evaluate_scores

    assert request.scores is not None  # noqa: S101 - for mypy
    return evaluate_scores(
        request.scores,
        load_dataset(request.dataset),
        split=request.split,
        ks=request.ks,
        exclude_seen=request.exclude_seen,
    )
