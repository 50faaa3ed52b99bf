"""`dllm2rec evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.evaluation import (
    SampledBy,
    Shown,
    Views,
    check_views,
    drawn_items,
    shown,
)
from dllm2rec.cli.options import (
    CutoffsOption,
    DatasetOption,
    DeviceOption,
    ExcludeSeenOption,
    JsonOption,
    Split,
    SplitOption,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.paths import (
    check_folders_there,
    check_is_run,
    check_run_there,
)
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:
    from dllm2rec.data.dataset import SequenceDataset
    from dllm2rec.tracking.metric_table import MetricTable

EXAMPLES = """\b
Examples:
  dllm2rec evaluate runs/games-1
  dllm2rec evaluate runs/games-1 --split validation --k 10 --k 50 --json
  dllm2rec evaluate runs/games-1 --slices --per-row games-1.parquet
  dllm2rec evaluate --scores bert4rec.npy --dataset datasets/games
  dllm2rec evaluate --scores bert4rec.npy --dataset datasets/games --per-row bert4rec.parquet
  dllm2rec evaluate --vectors users.npy items.npy --dataset datasets/games
  dllm2rec evaluate --lists bm25.trec --dataset datasets/games --teacher datasets/games/teacher
  dllm2rec evaluate --lists run.json --targets qrels.json
"""


@dataclass(frozen=True)
class EvaluateRequest:
    """What `dllm2rec evaluate` was asked for; each field is the option of its name."""

    run: Path | None
    scores: Path | None
    lists: Path | None
    vectors: tuple[Path, Path] | None
    bias: Path | None
    targets: Path | None
    candidates: Path | None
    dataset: Path | None
    teacher: Path | None
    split: str
    ks: tuple[int, ...] | None
    exclude_seen: bool
    views: Views
    beyond: bool
    device: str | None
    threads: int | None
    json: bool


def evaluate(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A folder that train wrote.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of RUN: what another model scored."),
    ] = None,
    lists: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead of RUN: another system's lists.")
    ] = None,
    vectors: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="USERS ITEMS", help="Instead of RUN: another model's vectors."),
    ] = None,
    bias: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Added to the items' scores.")
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
    split: SplitOption = Split.test,
    k: CutoffsOption = None,
    exclude_seen: ExcludeSeenOption = False,
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
    beyond: Annotated[
        bool,
        typer.Option("--beyond-accuracy", help="Coverage, Gini, novelty, popularity lift, too."),
    ] = False,
    dialect: Annotated[
        str,
        typer.Option(metavar="NAME", help="Count as a library does; see compare-metrics."),
    ] = "standard",
    sampled_negatives: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only as older papers: among N drawn items a row."),
    ] = None,
    sampled_by: Annotated[
        SampledBy | None, typer.Option(help="How they are drawn; by default uniform.")
    ] = None,
    sampling_seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Of these draws; by default 0.")
    ] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Score the students of a run beside its baselines, or another model's scores or lists.

    Scores are a matrix of float16, float32 or float64 in a .npy, .safetensors or .parquet file: a
    row for each row of the split, in the dataset's order, and a column for each item. Vectors are
    two such files, a row of USERS for each row of the split, one of ITEMS for each item.

    Lists are a TREC run, CSV, TSV, Parquet, JSON lines or ranx's JSON, with columns user_id (or
    row), item_id, and rank or score. Whoever has none counts as missed.
    """
    request = EvaluateRequest(
        run,
        scores=scores,
        lists=lists,
        vectors=vectors,
        bias=bias,
        targets=targets,
        candidates=candidates,
        dataset=dataset,
        teacher=teacher,
        split=split.value,
        ks=tuple(sorted(set(k))) if k else None,
        exclude_seen=exclude_seen,
        views=Views(
            dialect,
            per_row=per_row,
            slices=slices,
            sampled_negatives=sampled_negatives,
            sampling_seed=sampling_seed,
            sampled_by=None if sampled_by is None else sampled_by.value,
        ),
        beyond=beyond,
        device=None if device is None else device.value,
        threads=threads,
        json=json,
    )
    _evaluate(request)


def _evaluate(request: EvaluateRequest) -> None:
    if request.run is None:
        found, sources = _of_files(request), _sources(request)
    else:
        found, sources = _of_run(request), {"run": str(request.run)}
    if request.json:
        print_json({**sources, "split": request.split, **found.as_json()})
        return
    from dllm2rec.cli.output.slice_tables import print_list_figures, print_slices
    from dllm2rec.cli.output.tables import metric_table, print_table

    print_table(metric_table(found.table))
    print_slices(found.slices)
    if found.beyond is not None:
        print_list_figures(found.beyond)


def _of_run(request: EvaluateRequest) -> Shown:
    assert request.run is not None  # noqa: S101 - for mypy
    if _sources(request):
        raise ConfigError("evaluate: expected one of RUN, --scores, --vectors and --lists")
    if request.targets or request.candidates or request.bias:
        raise ConfigError("evaluate: --targets, --candidates and --bias are for files, not a RUN")
    chosen = request.device or "auto"
    check_device(chosen)
    check_run_there(request.run)
    check_folders_there(request.dataset, request.teacher)
    check_is_run(request.run)
    check_views(request.views, beyond=request.beyond, kind="run", is_plain=True)
    use_threads(request.threads)

    from dllm2rec.evaluate.dialects.measured import check_dialect, measured_rows
    from dllm2rec.evaluate.evaluate_split import KS, rows_to_rank
    from dllm2rec.runs.run_folder import open_dataset
    from dllm2rec.runs.score_rows import score_among
    from dllm2rec.runtime.distributed import process_group

    ks = request.ks or KS
    check_dialect(request.views.dialect)
    with process_group(chosen):
        data = open_dataset(request.run, request.dataset)
        rows_to_rank(data, request.split, ks)  # what cannot be asked is refused first
        seen = request.exclude_seen
        scored = score_among(
            request.run,
            data,
            drawn_items(request.views, data, request.split, exclude_seen=seen),
            teacher=request.teacher,
            split=request.split,
            exclude_seen=seen,
            device=chosen,
        )
        found = shown(measured_rows(scored), data, ks, request.views)
        return replace(found, beyond=_beyond(request, data, ks)) if request.beyond else found


def _beyond(request: EvaluateRequest, data: SequenceDataset, ks: Sequence[int]) -> MetricTable:
    from dllm2rec.comparisons.lists_of_run import evaluate_lists_of_run

    assert request.run is not None  # noqa: S101 - for mypy
    return evaluate_lists_of_run(
        request.run,
        dataset=data,
        teacher=request.teacher,
        split=request.split,
        ks=ks,
        exclude_seen=request.exclude_seen,
        device=request.device or "auto",
    )


def _sources(request: EvaluateRequest) -> dict[str, str]:
    """The files that stand in the place of a run."""
    vectors = None if request.vectors is None else " ".join(map(str, request.vectors))
    given = {"scores": request.scores, "lists": request.lists, "vectors": vectors}
    return {name: str(value) for name, value in given.items() if value is not None}


def _of_files(request: EvaluateRequest) -> Shown:
    sources = _sources(request)
    if len(sources) != 1:
        raise ConfigError("evaluate: expected one of RUN, --scores, --vectors and --lists")
    (name,) = sources
    if request.beyond:
        raise ConfigError(f"evaluate: --beyond-accuracy with --{name}, expected a RUN")
    is_plain = not (request.targets or request.candidates) and request.dataset is not None
    check_views(request.views, beyond=False, kind=name, is_plain=is_plain)
    if request.device is not None and name == "lists":
        raise ConfigError("evaluate: --device beside --lists, which are read on the CPU")
    check_device(request.device or "cpu")
    if request.bias is not None and request.vectors is None:
        raise ConfigError("evaluate: --bias without --vectors")

    from dllm2rec.cli.evaluate_files import FileRequest, evaluate_files

    vectors = request.vectors or ()
    return evaluate_files(
        FileRequest(
            kind=name,
            files=tuple(p for p in (request.scores, request.lists, *vectors, request.bias) if p),
            dataset=request.dataset,
            teacher=request.teacher,
            targets=request.targets,
            candidates=request.candidates,
            split=request.split,
            ks=request.ks,
            exclude_seen=request.exclude_seen,
            views=request.views,
            device=request.device or "cpu",
            threads=request.threads,
        )
    )
