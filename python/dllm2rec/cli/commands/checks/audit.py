"""`dllm2rec audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import JsonOption, ThreadsOption, print_json, use_threads
from dllm2rec.cli.paths import check_folders_there

EXAMPLES = """\b
Examples:
  dllm2rec audit data/games
  dllm2rec audit datasets/shop --teacher teachers/titles --json
"""


def audit(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="A folder that prepare made, or the authors'.")
    ],
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also say how alike the vectors of neighbours are."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of shuffles and samples.")] = 0,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a dataset is like: order, branching, repeats, likeness of neighbours, leakage."""
    check_folders_there(dataset, teacher)
    use_threads(threads)
    from dllm2rec.auditing.audit import audit as look_at
    from dllm2rec.data.formats.load_dataset import load_dataset

    data = load_dataset(dataset)
    vectors = None
    if teacher is not None:
        from dllm2rec.teacher.folder import load_teacher

        vectors = load_teacher(teacher, data).item_embeddings
    found = look_at(data, vectors=vectors, seed=seed)
    if json:
        print_json(found.as_json())
        return
    from dllm2rec.cli.output.tables import fact_table, print_table

    print_table(fact_table(found.facts().items()))
