"""`dllm2rec compare-metrics`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

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
from dllm2rec.cli.paths import check_file_there, check_folders_there, check_is_run

EXAMPLES = """\b
Examples:
  dllm2rec compare-metrics runs/games-1
  dllm2rec compare-metrics runs/games-1 --scorer popularity --k 10 --k 20
  dllm2rec compare-metrics bm25.csv --dataset datasets/games
  dllm2rec compare-metrics run.json --targets qrels.txt
"""


@dataclass(frozen=True)
class CompareMetricsRequest:
    """What was asked for; each field is the option of its name."""

    source: Path
    dataset: Path | None
    targets: Path | None
    split: str
    ks: tuple[int, ...]
    exclude_seen: bool
    scorer: str | None
    device: str
    threads: int | None
    json: bool


def compare_metrics(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A run, a file of scores, or one of lists.")
    ],
    dataset: DatasetOption = None,
    targets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Relevant items, many a user or row.")
    ] = None,
    split: SplitOption = Split.test,
    k: CutoffsOption = None,
    exclude_seen: ExcludeSeenOption = False,
    scorer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of several; by default the last.")
    ] = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Show the metrics of one scorer as RecBole, RecTools, RePlay and others would count them.

    A metric that a library or paper does not have is a dash. What differs stands below the table.
    """
    request = CompareMetricsRequest(
        source,
        dataset=dataset,
        targets=targets,
        split=split.value,
        ks=tuple(sorted(set(k))) if k else (10,),
        exclude_seen=exclude_seen,
        scorer=scorer,
        device="auto" if device is None else device.value,
        threads=threads,
        json=json,
    )
    _compare_metrics(request)


def _compare_metrics(request: CompareMetricsRequest) -> None:
    check_file_there(request.source)
    if request.targets is not None:
        check_file_there(request.targets)
    check_folders_there(request.dataset)
    check_device(request.device)
    if request.source.is_dir():
        check_is_run(request.source)
    use_threads(request.threads)

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.evaluate.dialects.formulas import DIFFERENCES
    from dllm2rec.runs.compare_metrics import compare_metrics as compare

    table = compare(
        request.source,
        None if request.dataset is None else load_dataset(request.dataset),
        targets=request.targets,
        split=request.split,
        ks=request.ks,
        exclude_seen=request.exclude_seen,
        scorer=request.scorer,
        device=request.device,
    )
    if request.json:
        print_json({"source": str(request.source), **table.as_json(), "differences": DIFFERENCES})
        return
    from dllm2rec.cli.output.tables import dialect_table, print_table

    print_table(dialect_table(table, DIFFERENCES))
