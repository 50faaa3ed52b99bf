"""`dllm2rec teacher import`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dllm2rec.cli.commands.teacher_answers import (
    DEFAULT_MIN_KNOWN,
    DistanceColumn,
    FirstRow,
    HistoryColumn,
    IdsColumn,
    ListsOf,
    ListsOfOption,
    MinKnown,
    RankColumn,
    RowColumn,
    TitlesColumn,
    UserColumn,
    options_if_answers,
    say_titles,
    title_facts,
)
from dllm2rec.cli.options import JsonOption, OverwriteOption, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

if TYPE_CHECKING:  # numpy and pyarrow are imported when the command runs
    from dllm2rec.data.dataset import SequenceDataset
    from dllm2rec.teacher.grounding.title_report import TitleReport
    from dllm2rec.teacher.knowledge import TeacherKnowledge

EXAMPLES = """\b
Examples:
  dllm2rec teacher import data/games/teacher --dataset data/games --out teachers/games
  dllm2rec teacher import my-lists --dataset datasets/shop --out teachers/shop --teacher-id-base 1
  dllm2rec teacher import vectors.parquet --dataset datasets/shop --out teachers/vectors
  dllm2rec teacher import answers.jsonl --dataset datasets/shop --out teachers/llm
"""


class Duplicates(StrEnum):
    """What becomes of an item that a list holds twice."""

    error = "error"
    keep = "keep"
    keep_first = "keep-first"


class PadRow(StrEnum):
    """Which row of the vectors is the padding item's."""

    none = "none"
    first = "first"
    last = "last"


class UnknownVectors(StrEnum):
    """What becomes of vectors of items that the dataset lacks."""

    error = "error"
    skip = "skip"


class ConfidenceKind(StrEnum):
    """What the numbers of the confidence files are."""

    distance = "distance"
    similarity = "similarity"


@dataclass(frozen=True)
class ImportRequest:
    """What `dllm2rec teacher import` was asked for."""

    source: Path
    dataset: Path
    out: Path
    options: dict[str, Any]
    answers: dict[str, Any]
    overwrite: bool
    json: bool


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC",
            help="Folder with myrank_train.txt and its siblings, a file of item vectors alone, or "
            "a language model's answers as JSON lines, CSV, TSV, Parquet or a TREC run.",
        ),
    ],
    dataset: Annotated[
        Path, typer.Option(metavar="DIR", help="The dataset whose rows the teacher ranked.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    id_base: Annotated[
        int,
        typer.Option(
            "--teacher-id-base",
            min=0,
            max=1,
            metavar="0|1",
            help="Number of the first item in the ranking files.",
        ),
    ] = 0,
    skip_rows: Annotated[
        int, typer.Option(min=0, metavar="N", help="Header lines of the ranking files.")
    ] = 0,
    min_columns: Annotated[
        int, typer.Option(min=1, metavar="N", help="Refuse lists of fewer items.")
    ] = 1,
    on_duplicate: Annotated[
        Duplicates,
        typer.Option(
            help="A repeated item in a list: refuse it, keep both, or blank the later ones."
        ),
    ] = Duplicates.error,
    short_lists: Annotated[
        bool,
        typer.Option("--short-lists", help="Allow lists of unequal length, padded with -1 or not."),
    ] = False,
    confidence_kind: Annotated[
        ConfidenceKind,
        typer.Option(help="What confidence files hold: small is sure (distance) or large is."),
    ] = ConfidenceKind.distance,
    tensor_key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Tensor to read, if the file of vectors has several."),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="File of vectors in SRC; by default all_embeddings.pt, .npy, .npz, .safetensors, "
            ".parquet or .csv.",
        ),
    ] = None,
    embedding_ids: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="File in SRC with the item id of each row of vectors; by default "
            "all_embeddings_ids.txt or .npy.",
        ),
    ] = None,
    embeddings_pad_row: Annotated[
        PadRow, typer.Option(help="Row of the vectors that is the padding item's; it is dropped.")
    ] = PadRow.none,
    unknown_vectors: Annotated[
        UnknownVectors, typer.Option(help="Vectors of items not in the dataset.")
    ] = UnknownVectors.error,
    embeddings_have_pad_row: Annotated[
        bool,
        typer.Option(
            "--embeddings-have-pad-row",
            help="The vectors may end with a row for the padding item, which is dropped.",
        ),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse text whose last line has no line end.")
    ] = False,
    row_column: RowColumn = None,
    user_column: UserColumn = None,
    history_column: HistoryColumn = None,
    titles_column: TitlesColumn = None,
    ids_column: IdsColumn = None,
    rank_column: RankColumn = None,
    distance_column: DistanceColumn = None,
    lists_of: ListsOfOption = ListsOf.auto,
    first_row: FirstRow = 0,
    min_known: MinKnown = DEFAULT_MIN_KNOWN,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Check a teacher's files against a dataset and write them as one folder."""
    answers = {
        "row_column": row_column,
        "user_column": user_column,
        "history_column": history_column,
        "titles_column": titles_column,
        "ids_column": ids_column,
        "rank_column": rank_column,
        "distance_column": distance_column,
        "lists_of": lists_of,
        "first_row": first_row,
        "min_known": min_known,
    }
    options = {
        "id_base": id_base,
        "skip_rows": skip_rows,
        "min_columns": min_columns,
        "on_duplicate": on_duplicate.value,
        "short_lists": short_lists,
        "confidence_kind": confidence_kind.value,
        "tensor_key": tensor_key,
        "embeddings_have_pad_row": embeddings_have_pad_row,
        "embeddings_pad_row": embeddings_pad_row.value,
        "embeddings": embeddings,
        "embedding_ids": embedding_ids,
        "unknown_vectors": unknown_vectors.value,
        "strict": strict,
    }
    _import(ImportRequest(source, dataset, out, options, answers, overwrite, json))


def _import(request: ImportRequest) -> None:
    from dllm2rec.storage.output_folder import check_output, clear_output

    check_folders_there(request.dataset)
    check_output(request.out, overwrite=request.overwrite, inputs=[request.source, request.dataset])

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.teacher.folder import load_teacher, save_teacher
    from dllm2rec.teacher.import_options import TeacherOptions

    data = load_dataset(request.dataset)
    titles = None
    options = options_if_answers(request.source, request.answers, request.options)
    if options is not None:
        from dllm2rec.teacher.answers.import_answers import import_answers

        imported = import_answers(request.source, data, options=options)
        knowledge, titles = imported.knowledge, imported.titles
    else:
        knowledge = load_teacher(request.source, data, options=TeacherOptions(**request.options))
    if request.overwrite:
        clear_output(request.out)
    save_teacher(request.out, knowledge, data, titles=titles)
    _print(request, knowledge, data, titles)


def _print(
    request: ImportRequest,
    knowledge: TeacherKnowledge,
    data: SequenceDataset,
    titles: TitleReport | None,
) -> None:
    from dllm2rec.cli.output.tables import fact_table, metric_table, print_table

    facts, tables = teacher_facts(knowledge), teacher_tables(knowledge, data)
    if titles is not None:
        facts |= title_facts(titles)
    notes = [*data.notes, *knowledge.notes]
    if request.json:
        rows = [table.as_json() for table in tables]
        print_json({"out": str(request.out), "facts": facts, "notes": notes, "tables": rows})
        return
    for note in notes:
        say(f"note: {note}")
    print_table(fact_table(facts.items()))
    for table in tables:
        print_table(metric_table(table))
    if titles is not None:
        say_titles(titles)
    say(f"written to {request.out}")


def teacher_facts(knowledge: TeacherKnowledge) -> dict[str, int | str]:
    """What the folder holds: rows, places a list has, width of the item vectors."""
    vectors, asked = knowledge.item_embeddings, knowledge.histories
    histories = {} if asked is None else {"histories": len(asked), "items per history": asked.top_n}
    return {
        "rows": 0 if knowledge.ranking is None else len(knowledge.ranking),
        "items per row": knowledge.top_n,
        **histories,
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
