"""`dllm2rec reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    JsonOption,
    ThreadsOption,
    print_json,
    use_threads,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there, check_is_run, check_run_there
from dllm2rec.cli.streams import tell

if TYPE_CHECKING:  # torch: `--help` must not wait for it
    from dllm2rec.rerun.compare import Figure, Reproduction

EXAMPLES = """\b
Examples:
  dllm2rec reproduce runs/games-1
  dllm2rec reproduce card.json --dataset data/games --teacher data/games/teacher
"""
SHOWN_METRICS = ("hr@20", "ndcg@20")


def reproduce(
    card: Annotated[
        Path, typer.Argument(metavar="CARD_OR_RUN", help="A run's card.json, or its folder.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write; by default runs/NAME-N.")
    ] = None,
    dataset: DatasetOption = None,
    teacher: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's teacher, if it was moved.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="How far a figure may be off: by default 0 on the same machine and versions, "
            "else 0.1 of what it was.",
        ),
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Train a run again from its card, and say figure by figure whether the same comes out.

    Exit code 0: every figure is; 1: some are not.
    """
    check_run_there(card)
    if card.is_dir():
        check_is_run(card)
    check_folders_there(dataset, teacher)
    tell(f"note: {card} is trained again")

    from dllm2rec.cli.output.progress_table import watching
    from dllm2rec.rerun.train_again import reproduce as train_again
    from dllm2rec.runs.run_card import read_card

    use_threads(read_card(card).run.threads if threads is None else threads)
    with watching() as progress:
        found = train_again(
            card, out, dataset=dataset, teacher=teacher, tolerance=tolerance, progress=progress
        )
    if json:
        print_json(found.as_json())
    else:
        _show(found)
    if not found.matches:
        raise typer.Exit(1)


def _show(found: Reproduction) -> None:
    from dllm2rec.cli.output.tables import plain_table, print_table

    for difference in found.differences:
        say(f"differs from then: {difference}")
    heads = ["test", "metric", "then", "now", ""]
    shown = [one for one in found.figures if one.split == "test" and one.metric in SHOWN_METRICS]
    more = [one for one in found.off if one not in shown]
    print_table(plain_table(heads, [_row(one, found.tolerance) for one in [*shown, *more]]))
    say(f"{found.sentence()}; written to {found.folder}")


def _row(one: Figure, tolerance: float) -> list[str]:
    off = one.difference()
    verdict = "same" if off == 0 else f"off by {100 * off:.2g} %"
    name = one.row if one.split == "test" else f"{one.row} ({one.split})"
    values = ["-" if value is None else f"{value:.4f}" for value in (one.before, one.now)]
    return [name, one.metric, *values, verdict if off <= tolerance else f"{verdict}: too far"]
