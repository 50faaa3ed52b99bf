"""`dllm2rec teacher ground`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dllm2rec.cli.commands.make_teacher.options import (
    Encoder,
    EncoderBatch,
    ListLength,
    OutFolder,
    TitledDataset,
)
from dllm2rec.cli.commands.make_teacher.shown import phases
from dllm2rec.cli.commands.make_teacher.written import tell_teacher
from dllm2rec.cli.commands.teacher_answers import (
    FirstRow,
    HistoryColumn,
    RowColumn,
    TitlesColumn,
    UserColumn,
)
from dllm2rec.cli.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    ThreadsOption,
    check_device,
    use_threads,
)
from dllm2rec.cli.paths import check_file_there

EXAMPLES = """\b
Examples:
  dllm2rec teacher ground titles.jsonl --dataset data/games --model encoder --out teachers/games
"""


@dataclass(frozen=True)
class GroundRequest:
    """What `dllm2rec teacher ground` was asked for."""

    source: Path
    dataset: Path
    form: dict[str, Any]
    out: Path
    columns: dict[str, str | None]
    first_row: int
    device: str
    overwrite: bool
    json: bool


def ground(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Answers; the first title of each is used."),
    ],
    dataset: TitledDataset,
    model: Encoder,
    out: OutFolder,
    top: ListLength = 20,
    batch_size: EncoderBatch = 64,
    row_column: RowColumn = None,
    user_column: UserColumn = None,
    history_column: HistoryColumn = None,
    titles_column: TitlesColumn = None,
    first_row: FirstRow = 0,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """List the items nearest to the titles that a model wrote, with distances (BIGRec)."""
    use_threads(threads)
    columns = {"row": row_column, "user": user_column, "history": history_column}
    form, where = {"model": model, "top": top, "batch_size": batch_size}, device
    _ground(
        GroundRequest(
            source,
            dataset,
            form,
            out,
            {**columns, "titles": titles_column},
            first_row,
            "auto" if where is None else where.value,
            overwrite,
            json,
        )
    )


def _ground(request: GroundRequest) -> None:
    from dllm2rec.storage.output_folder import check_output

    out = request.out
    check_file_there(request.source)
    check_output(out, overwrite=request.overwrite, inputs=[request.source, request.dataset])
    check_device(request.device)

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.ground_titles import GroundForm, ground_titles
    from dllm2rec.llm.packages import check_packages
    from dllm2rec.runtime.device import choose_device
    from dllm2rec.teacher.answers.columns import AnswerColumns
    from dllm2rec.teacher.answers.import_answers import AnswerOptions

    check_packages("sentence_transformers")
    options = AnswerOptions(AnswerColumns(**request.columns), "titles", 0.0, request.first_row)
    form = GroundForm(device=str(choose_device(request.device)), **request.form)
    data = load_dataset(request.dataset)
    with phases() as told:
        made = ground_titles(request.source, data, form, options=options, report=told)
    tell_teacher(made, data, out, overwrite=request.overwrite, json=request.json)
