"""`dllm2rec evaluate`."""

from __future__ import annotations

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

EXAMPLES = """\b
Examples:
  dllm2rec evaluate runs/games-1
  dllm2rec evaluate runs/games-1 --split validation --k 10 --k 50 --json
"""


class Split(StrEnum):
    """The rows that no training saw."""

    test = "test"
    validation = "validation"


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    dataset: DatasetOption = None,
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
    """Score the students of a run, by full ranking."""
    from dllm2rec.cli.output.tables import metric_table, print_table

    check_device("auto" if device is None else device.value)
    use_threads(threads)

    from dllm2rec.runs.evaluate_run import evaluate_run
    from dllm2rec.runtime.distributed import process_group

    chosen = "auto" if device is None else device.value
    with process_group(chosen):
        table = evaluate_run(
            run,
            dataset=dataset,
            split=split.value,
            ks=tuple(sorted(set(k))) if k else None,
            exclude_seen=exclude_seen,
            device=chosen,
        )
    if json:
        print_json({"run": str(run), "split": split.value, **table.as_json()})
    else:
        print_table(metric_table(table))
