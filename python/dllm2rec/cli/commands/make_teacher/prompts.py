"""`dllm2rec teacher prompts`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dllm2rec.cli.commands.make_teacher.options import ShownTitles, TitledDataset
from dllm2rec.cli.commands.make_teacher.written import check_new_file, write_lines
from dllm2rec.cli.options import JsonOption, OverwriteOption, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there

EXAMPLES = """\b
Examples:
  dllm2rec teacher prompts --dataset data/games --rows rows.jsonl --out questions.jsonl
  dllm2rec teacher prompts --dataset data/games --format openai --model gpt-4o-mini --out b.jsonl
"""


class Format(StrEnum):
    """What a line holds."""

    plain = "plain"
    openai = "openai"


@dataclass(frozen=True)
class PromptsRequest:
    """What `dllm2rec teacher prompts` was asked for."""

    dataset: Path
    out: Path
    rows: Path | None
    template: Path | None
    form: dict[str, Any]
    overwrite: bool
    json: bool


def prompts(
    dataset: TitledDataset,
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON lines to write.")],
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows that plan chose; by default all train rows."),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="Row, history and prompt, or an OpenAI batch file.")
    ] = Format.plain,
    template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Template of a question, with {history} and {top}."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Titles to ask for.")] = 20,
    history: ShownTitles = 20,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Model to name in an OpenAI batch file.")
    ] = "gpt-4o-mini",
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Write one question per row, with the key its answer must carry, for any engine."""
    said = {"format": format_.value, "top": top, "n_history": history, "model": model}
    _prompts(PromptsRequest(dataset, out, rows, template, said, overwrite, json))


def _prompts(request: PromptsRequest) -> None:
    out = request.out
    inputs = [one for one in (request.rows, request.template) if one is not None]
    check_new_file(out, overwrite=request.overwrite, inputs=inputs)

    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.prompts import TEMPLATE, QuestionForm, questions, read_rows, read_template

    text = TEMPLATE if request.template is None else read_template(request.template)
    form = QuestionForm(template=text, **request.form)
    data = load_dataset(request.dataset)
    chosen = read_rows(request.rows, len(data.train))
    write_lines(out, questions(data, chosen, form))
    if request.json:
        print_json({"out": str(out), "questions": len(chosen)})
    else:
        say(f"{len(chosen):,} questions written to {out}")
