"""`dllm2rec teacher plan` and `dllm2rec teacher spread`."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.commands.make_teacher.options import OutFolder
from dllm2rec.cli.commands.make_teacher.written import check_new_file, tell_teacher, write_lines
from dllm2rec.cli.options import JsonOption, OverwriteOption, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there

PLAN_EXAMPLES = """\b
Examples:
  dllm2rec teacher plan --dataset data/games --budget 5000 --out rows.jsonl
  dllm2rec teacher prompts --dataset data/games --rows rows.jsonl --out questions.jsonl
  dllm2rec teacher plan --dataset data/games --budget 5000 --pilot teachers/few --out rows.jsonl
"""
SPREAD_EXAMPLES = """\b
Examples:
  dllm2rec teacher spread teachers/games --dataset data/games --out teachers/games-all
"""


@dataclass(frozen=True)
class PlanRequest:
    """What `dllm2rec teacher plan` was asked for."""

    dataset: Path
    budget: int
    out: Path
    seed: int
    pilot: Path | None
    overwrite: bool
    json: bool


def plan(
    dataset: Annotated[Path, typer.Option(metavar="DIR", help="The dataset to ask about.")],
    budget: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many questions may be asked.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help='JSON lines to write: {"row": 12}, best first.')
    ],
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed that breaks ties.")] = 0,
    pilot: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A teacher with a few answers of the same model."),
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Choose the train rows to ask a language model about, and say what to expect."""
    _plan(PlanRequest(dataset, budget, out, seed, pilot, overwrite, json))


def _plan(request: PlanRequest) -> None:
    out = request.out
    check_new_file(out, overwrite=request.overwrite)

    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.expect_answers import expect_answers
    from dllm2rec.llm.plan_questions import plan_questions
    from dllm2rec.teacher.folder import load_teacher

    data = load_dataset(request.dataset)
    pilot = None if request.pilot is None else load_teacher(request.pilot, data)
    chosen = plan_questions(data, request.budget, seed=request.seed)
    expected = expect_answers(data, chosen, pilot)
    write_lines(out, (json_text.dumps({"row": row}) for row in chosen.rows.tolist()))
    facts = {
        "train rows": len(data.train),
        "asked": len(chosen.rows),
        "newest items asked about": chosen.items,
        "rows that share one": round(chosen.reached, 4),
    }
    if request.json:
        print_json({"out": str(out), **facts, "expected": asdict(expected)})
        return
    say(
        f"{facts['asked']:,} of {facts['train rows']:,} rows are asked about; {chosen.reached:.1%} "
        "of all rows have the newest item of one of them, so that its answer can be spread to them"
    )
    for line in expected.lines():
        say(line)
    say(f"written to {out}")


def spread(
    teacher: Annotated[
        Path, typer.Argument(metavar="TEACHER", help="A teacher with answers for some rows.")
    ],
    dataset: Annotated[Path, typer.Option(metavar="DIR", help="The dataset it belongs to.")],
    out: OutFolder,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Give train rows without an answer a list made from the answers of similar rows."""
    from dllm2rec.storage.output_folder import check_output

    check_output(out, overwrite=overwrite, inputs=[teacher, dataset])

    check_folders_there(dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.plan_questions import spread_teacher
    from dllm2rec.teacher.folder import load_teacher

    data = load_dataset(dataset)
    made = spread_teacher(load_teacher(teacher, data), data)
    tell_teacher(made, data, out, overwrite=overwrite, json=json)
