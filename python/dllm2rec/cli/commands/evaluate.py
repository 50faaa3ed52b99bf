"""`dllm2rec evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from dllm2rec.cli.paths import (
    check_file_there,
    check_folders_there,
    check_is_run,
    check_new_parquet,
    check_run_there,
)
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:
    from dllm2rec.evaluate.rows.slices import SliceTable
    from dllm2rec.tracking.metric_table import MetricTable

EXAMPLES = """\b
Examples:
  dllm2rec evaluate runs/games-1
  dllm2rec evaluate runs/games-1 --split validation --k 10 --k 50 --json
  dllm2rec evaluate runs/games-1 --slices --per-row games-1.parquet
  dllm2rec evaluate --scores bert4rec.npy --dataset datasets/games
  dllm2rec evaluate --lists bm25.trec --dataset datasets/games --teacher datasets/games/teacher
  dllm2rec evaluate --lists run.json --targets qrels.json
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
    lists: Path | None
    targets: Path | None
    candidates: Path | None
    dataset: Path | None
    teacher: Path | None
    split: str
    ks: tuple[int, ...] | None
    exclude_seen: bool
    per_row: Path | None
    slices: bool
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
    lists: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of RUN: another system's lists.")
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Relevant items, many a user or row.")
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Items that alone count, one id a line.")
    ] = None,
    dataset: DatasetOption = None,
    teacher: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's teacher, or one beside the lists.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Rows to score.")] = Split.test,
    k: Annotated[
        list[int] | None, typer.Option("--k", min=1, metavar="K", help="Cut-off; may be repeated.")
    ] = None,
    exclude_seen: Annotated[
        bool, typer.Option("--exclude-seen", help="Items of a row's history are no candidates.")
    ] = False,
    per_row: Annotated[
        Path | None,
        typer.Option(
            "--per-row", metavar="FILE.parquet", help="Keep every scorer's rank on every row there."
        ),
    ] = None,
    slices: Annotated[
        bool,
        typer.Option("--slices", help="Metrics by kinds of targets, histories and users, too."),
    ] = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Score the students of a run beside its baselines, or another model's scores or lists.

    FILE.npy holds a matrix of float16, float32 or float64: a row for each row of the split, in the
    dataset's order, and a column for each item.

    Lists are a TREC run, CSV, TSV, Parquet, JSON lines or ranx's JSON, with columns user_id (or
    row), item_id, and rank or score. Whoever has none counts as missed.
    """
    request = EvaluateRequest(
        run,
        scores=scores,
        lists=lists,
        targets=targets,
        candidates=candidates,
        dataset=dataset,
        teacher=teacher,
        split=split.value,
        ks=tuple(sorted(set(k))) if k else None,
        exclude_seen=exclude_seen,
        per_row=per_row,
        slices=slices,
        device=None if device is None else device.value,
        threads=threads,
        json=json,
    )
    _evaluate(request)


def _evaluate(request: EvaluateRequest) -> None:
    given = {"run": request.run, "scores": request.scores, "lists": request.lists}
    sources = {name: str(path) for name, path in given.items() if path is not None}
    if len(sources) != 1:
        raise ConfigError("evaluate: expected one of RUN, --scores and --lists")
    if request.lists is None and (request.targets or request.candidates):
        raise ConfigError("evaluate: --targets and --candidates are for --lists")
    if request.lists is not None:
        shown = Shown(_of_lists(request))
    elif request.scores is not None:
        shown = Shown(_of_scores(request))
    else:
        shown = _of_run(request)
    if request.json:
        print_json({**sources, "split": request.split, **shown.as_json()})
        return
    from dllm2rec.cli.output.slice_tables import print_slices
    from dllm2rec.cli.output.tables import metric_table, print_table

    print_table(metric_table(shown.table))
    print_slices(shown.slices)


@dataclass(frozen=True)
class Shown:
    """What an evaluation found: the table, and its slices where they were asked for."""

    table: MetricTable
    slices: Sequence[SliceTable] = ()

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints; `slices` only where they were asked for."""
        slices = [one.as_json() for one in self.slices]
        return self.table.as_json() | ({"slices": slices} if slices else {})


def _of_run(request: EvaluateRequest) -> Shown:
    assert request.run is not None  # noqa: S101 - for mypy
    chosen = request.device or "auto"
    check_device(chosen)
    check_run_there(request.run)
    check_folders_there(request.dataset, request.teacher)
    check_is_run(request.run)
    if request.per_row is not None:
        check_new_parquet(request.per_row, "--per-row")
    use_threads(request.threads)

    from dllm2rec.evaluate.evaluate_split import KS
    from dllm2rec.evaluate.rows.per_row_file import write_per_row
    from dllm2rec.evaluate.rows.slices import slice_rows
    from dllm2rec.runs.run_folder import open_dataset
    from dllm2rec.runs.score_rows import score_rows
    from dllm2rec.runtime.distributed import is_first, process_group

    ks = request.ks or KS
    with process_group(chosen):
        data = open_dataset(request.run, request.dataset)
        scored = score_rows(
            request.run,
            dataset=data,
            teacher=request.teacher,
            split=request.split,
            ks=ks,
            exclude_seen=request.exclude_seen,
            device=chosen,
        )
        if request.per_row is not None and is_first():
            write_per_row(request.per_row, scored, data)
        slices = slice_rows(scored, data, ks) if request.slices else ()
        return Shown(scored.table(ks), slices)


def _of_scores(request: EvaluateRequest) -> MetricTable:
    if request.dataset is None:
        raise ConfigError("evaluate: --scores without --dataset, expected the dataset it is of")
    if request.teacher is not None:
        raise ConfigError("evaluate: --teacher beside --scores, which have none")
    if request.per_row is not None or request.slices:
        raise ConfigError(
            "evaluate: --per-row and --slices are of a RUN, expected none of --scores"
        )
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


def _of_lists(request: EvaluateRequest) -> MetricTable:
    assert request.lists is not None  # noqa: S101 - for mypy
    if request.device is not None:
        raise ConfigError("evaluate: --device beside --lists, which need none")
    if request.per_row is not None or request.slices:
        raise ConfigError("evaluate: --per-row and --slices are of a RUN, expected none of --lists")
    if request.dataset is None and (request.targets is None or request.teacher is not None):
        raise ConfigError("evaluate: --lists without --dataset, expected it or --targets alone")
    for path in (request.lists, request.targets, request.candidates):
        if path is not None:
            check_file_there(path)
    check_folders_there(request.dataset, request.teacher)
    use_threads(request.threads)

    from dllm2rec.evaluate.lists.evaluate_lists import evaluate_lists

    dataset = teacher = candidates = None
    if request.dataset is not None:
        from dllm2rec.data.formats.load_dataset import load_dataset

        dataset = load_dataset(request.dataset)
        if request.teacher is not None:
            from dllm2rec.teacher.folder import load_teacher

            teacher = load_teacher(request.teacher, dataset)
    if request.candidates is not None:
        from dllm2rec.cli.recommend_inputs import read_ids

        candidates = read_ids(request.candidates)
    return evaluate_lists(
        request.lists,
        dataset,
        targets=request.targets,
        split=request.split,
        ks=request.ks,
        exclude_seen=request.exclude_seen,
        candidates=candidates,
        teacher=teacher,
    )
