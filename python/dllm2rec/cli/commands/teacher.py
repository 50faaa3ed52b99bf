"""`dllm2rec teacher import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import JsonOption, OverwriteOption, print_json
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

if TYPE_CHECKING:  # numpy and pyarrow are imported when the command runs
    from dllm2rec.data.dataset import SequenceDataset
    from dllm2rec.teacher.knowledge import TeacherKnowledge

EXAMPLES = """\b
Example:
  dllm2rec teacher import data/games/teacher --dataset data/games --out teachers/games
"""


def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder with myrank_train.txt and its siblings.")
    ],
    dataset: Annotated[
        Path, typer.Option(metavar="DIR", help="The dataset whose rows the teacher ranked.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Check the authors' teacher files against a dataset and write them as one folder."""
    from dllm2rec.cli.output.tables import fact_table, metric_table, print_table
    from dllm2rec.storage.output_folder import check_output, clear_output

    check_output(out, overwrite=overwrite, inputs=[source, dataset])

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.teacher.folder import load_teacher, save_teacher

    data = load_dataset(dataset)
    knowledge = load_teacher(source, data)
    if overwrite:
        clear_output(out)
    save_teacher(out, knowledge, data)
    facts, tables = teacher_facts(knowledge), teacher_tables(knowledge, data)
    notes = [*data.notes, *knowledge.notes]
    if json:
        rows = [table.as_json() for table in tables]
        print_json({"out": str(out), "facts": facts, "notes": notes, "tables": rows})
        return
    for note in notes:
        print(f"note: {note}")
    print_table(fact_table(facts.items()))
    for table in tables:
        print_table(metric_table(table))
    print(f"written to {out}")


def teacher_facts(knowledge: TeacherKnowledge) -> dict[str, int | str]:
    """What the folder holds: rows, places a list has, width of the item vectors."""
    vectors = knowledge.item_embeddings
    return {
        "rows": len(knowledge.ranking),
        "items a row": knowledge.top_n,
        "distances": _have(knowledge.distance),
        "target distances": _have(knowledge.target_distance),
        "item vectors": "none"
        if vectors is None
        else f"{len(vectors)} of width {vectors.shape[1]}",
    }


def _have(values: object) -> str:
    return "none" if values is None else "one for each"


def teacher_tables(knowledge: TeacherKnowledge, data: SequenceDataset) -> list[MetricTable]:
    """The teacher's own quality, on each split it was asked about."""
    from dllm2rec.evaluate.metrics import list_metrics

    asked = {"validation": knowledge.ranking_validation, "test": knowledge.ranking_test}
    tables = []
    for split, ranking in asked.items():
        if ranking is None:
            continue
        ks = [k for k in (1, 5, 10, 20) if k <= ranking.shape[1]]
        metrics = list_metrics(ranking, data.targets(data.splits()[split]), ks)
        row = MetricRow("teacher", metrics)
        title = f"{data.name}, {split}"
        tables.append(MetricTable(title, (row,), len(ranking), data.n_items))
    return tables
