"""`dllm2rec export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import JsonOption, StudentName, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_is_run, check_run_there

EXAMPLES = """\b
Examples:
  dllm2rec export runs/games-1 --out exports/games-1
  dllm2rec export runs/games-1 --out exports/small --int8 items --int8 encoder
"""


class Part(StrEnum):
    """What can be kept in eight bits."""

    items = "items"
    encoder = "encoder"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder.")],
    student: Annotated[
        StudentName | None, typer.Option(help="Which student; by default the run's best.")
    ] = None,
    int8: Annotated[
        list[Part] | None,
        typer.Option(
            "--int8", help="Store this part in 8 bits and report the loss; may be repeated."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Export a student to a folder that recommends without torch."""
    _export(run, out, None if student is None else student.value, int8 or [], json=json)


def _export(run: Path, out: Path, student: str | None, int8: list[Part], *, json: bool) -> None:
    check_run_there(run)
    check_is_run(run)
    from dllm2rec.exports.export import export as write_export

    done = write_export(run, out, student=student, int8=[part.value for part in int8])
    if json:
        figures = {"n_items": done.n_items, "n_bytes": done.n_bytes, "loss": done.loss}
        print_json({"export": str(done.folder), "student": done.name, **figures})
        return
    say(f"{done.name}, {done.n_items:,} items, {done.n_bytes:,} bytes written to {done.folder}")
    if done.loss:
        costs = ", ".join(f"{name} {value:.4f}" for name, value in done.loss.items())
        say(f"int8 ({', '.join(done.int8)}): {costs}")
