"""`dllm2rec compare`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    Split,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.paths import (
    check_folders_there,
    check_is_run,
    check_new_file,
    check_source_there,
)
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:
    from dllm2rec.comparisons.comparison import Comparison
    from dllm2rec.comparisons.cost import Cost

EXAMPLES = """\b
Examples:
  dllm2rec compare runs/games-1
  dllm2rec compare runs/games-1 runs/games-2 --against sasrec --metric ndcg@10 --metric hr@10
  dllm2rec compare runs/games-1 --by user
  dllm2rec compare runs/games-1 other.parquet --html comparison.html
"""


class Unit(StrEnum):
    """What a comparison draws."""

    row = "row"
    user = "user"


@dataclass(frozen=True)
class CompareRequest:
    """What `dllm2rec compare` was asked for; each field is the option of its name."""

    sources: tuple[Path, ...]
    against: str | None
    metrics: tuple[str, ...]
    dataset: Path | None
    split: str
    exclude_seen: bool
    cost: bool
    teacher_ms: float | None
    html: Path | None
    by: str
    seed: int
    device: str
    threads: int | None
    json: bool


def compare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|FILE.parquet...",
            help="Folders that train wrote, or files of evaluate --per-row.",
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The reference; by default the best of what needs no training."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME@K", help="By default ndcg@20; may be repeated."),
    ] = None,
    dataset: DatasetOption = None,
    split: Annotated[Split, typer.Option(help="Rows of runs.")] = Split.test,
    exclude_seen: Annotated[
        bool,
        typer.Option("--exclude-seen", help="Runs: items of a row's history are no candidates."),
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost/--no-cost", help="Time the students of runs on this machine.")
    ] = True,
    teacher_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", help="What one answer of the teacher takes, beside the others."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE.html", help="Write it as a page, too.")
    ] = None,
    by: Annotated[
        Unit, typer.Option(help="What is drawn: rows, or users with all of their rows.")
    ] = Unit.row,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the draws.")] = 0,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Compare scorers on the same rows: by how much, how surely, and at what cost.

    Every scorer of the runs and files against one of them: the difference with its paired bootstrap
    interval, p and p by Holm's method, and the smallest difference that could be seen.
    """
    request = CompareRequest(
        sources=tuple(sources),
        against=against,
        metrics=tuple(dict.fromkeys(metric or ["ndcg@20"])),
        dataset=dataset,
        split=split.value,
        exclude_seen=exclude_seen,
        cost=cost,
        teacher_ms=teacher_ms,
        html=html,
        by=by.value,
        seed=seed,
        device="auto" if device is None else device.value,
        threads=threads,
        json=json,
    )
    _compare(request)


def _compare(request: CompareRequest) -> None:
    _check(request)
    use_threads(request.threads)

    from dllm2rec.comparisons.compare import check_metrics, compare_rows, score_sources

    metrics = check_metrics(request.metrics)
    scored = score_sources(
        request.sources,
        dataset=request.dataset,
        split=request.split,
        exclude_seen=request.exclude_seen,
        device=request.device,
    )
    found = compare_rows(
        scored, against=request.against, metrics=metrics, seed=request.seed, by=request.by
    )
    found = replace(found, costs=_costs(request, found))
    if request.html is not None:
        from dllm2rec.comparisons.page import write_comparison_page

        write_comparison_page(found, request.html)
    if request.json:
        print_json(found.as_json())
        return
    from dllm2rec.cli.output.comparison_tables import print_comparison

    print_comparison(found)


def _check(request: CompareRequest) -> None:
    """Refuse what cannot work, before what does it is loaded."""
    check_device(request.device)
    runs = [source for source in request.sources if source.is_dir()]
    for source in request.sources:
        check_source_there(source, "a run's folder or a file of evaluate --per-row")
    for run in runs:
        check_is_run(run)
    check_folders_there(request.dataset)
    if request.html is not None:
        check_new_file(request.html, "--html", ".html")
    if request.teacher_ms is not None and not 0 < request.teacher_ms < float("inf"):
        raise ConfigError(f"--teacher-ms {request.teacher_ms}, expected milliseconds above 0")
    if not runs and (request.dataset is not None or request.exclude_seen):
        option = "--exclude-seen" if request.exclude_seen else "--dataset"
        raise ConfigError(
            f"compare: {option} beside files alone, which say of themselves what they are"
        )


def _costs(request: CompareRequest, found: Comparison) -> dict[str, Cost]:
    """Of the students of runs, timed here, and of the teacher, as told."""
    from dllm2rec.comparisons.cost import Cost, costs_of_runs

    names = {row.name for row in found.rows}
    costs: dict[str, Cost] = {}
    if request.cost:
        runs = [source for source in request.sources if source.is_dir()]
        costs = costs_of_runs(runs, names, dataset=request.dataset, device=request.device)
    if request.teacher_ms is not None:
        if "teacher" not in names:
            raise ConfigError("--teacher-ms without a teacher among the scorers, expected one")
        costs["teacher"] = Cost(answer_ms=request.teacher_ms)
    return costs
