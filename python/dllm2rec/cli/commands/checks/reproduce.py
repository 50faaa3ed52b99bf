"""`dllm2rec reproduce`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    JsonOption,
    ThreadsOption,
    print_json,
    use_threads,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there, check_is_run, check_run_there
from dllm2rec.cli.streams import tell
from dllm2rec.cli.train_options import SetOption
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:  # torch: `--help` must not wait for it
    from dllm2rec.rerun.compare import Figure, Reproduction

EXAMPLES = """\b
Examples:
  dllm2rec reproduce runs/games-1
  dllm2rec reproduce card.json --dataset data/games --teacher data/games/teacher
  dllm2rec reproduce --dataset data/games --dataset data/toys --out runs/paper --jobs 8
"""
SHOWN_METRICS = ("hr@20", "ndcg@20")
TABLE_FOLDER = Path("runs/paper")


class Part(StrEnum):
    """The parts of the paper's table."""

    students = "students"
    ablations = "ablations"
    baselines = "baselines"
    controls = "controls"
    default = "default"


@dataclass(frozen=True)
class ReproduceRequest:
    """What `dllm2rec reproduce` was asked for; each field is the option of its name."""

    card: Path | None
    out: Path | None
    datasets: tuple[Path, ...]
    teachers: tuple[Path, ...]
    tolerance: float | None
    only: tuple[str, ...]
    seeds: int | None
    jobs: int | None
    overrides: tuple[str, ...]
    threads: int | None
    json: bool


def reproduce(
    card: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CARD_OR_RUN]",
            help="A run's card.json, or its folder. Without it the paper's table is made.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder to write; by default runs/NAME-N, of the table runs/paper."
        ),
    ] = None,
    dataset: Annotated[
        list[Path] | None,
        typer.Option(
            "--dataset", metavar="DIR", help="Folder of a dataset; of the table, may be repeated."
        ),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            "--teacher",
            metavar="DIR",
            help="The run's teacher, if it was moved; of the table, one for each --dataset, in "
            "their order, by default the folder teacher in each.",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="How far a figure of a run may be off: by default 0 on the same machine and "
            "versions, else 0.1 of what it was.",
        ),
    ] = None,
    only: Annotated[
        list[Part] | None,
        typer.Option("--only", help="A part of the table; may be repeated. By default all."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Trainings of each cell of the table; by default 5."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Trainings of the table at a time, in processes of their own; by default 1.",
        ),
    ] = None,
    set_: SetOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Train a run again from its card, or make the paper's table.

    With CARD_OR_RUN: say figure by figure whether the same comes out. Exit code 0: every figure
    does; 1: some do not.

    Without it, with --dataset: the paper's students, its ablations and baselines, teachers that
    know nothing as controls, and the default recipe. Weights are chosen on validation. What is in
    the folder is not trained again: stop it at any time, and run it again to go on.
    """
    request = ReproduceRequest(
        card=card,
        out=out,
        datasets=tuple(dataset or ()),
        teachers=tuple(teacher or ()),
        tolerance=tolerance,
        only=tuple(part.value for part in only or ()),
        seeds=seeds,
        jobs=jobs,
        overrides=tuple(set_ or ()),
        threads=threads,
        json=json,
    )
    if card is None:
        _make_table(request)
    else:
        _train_again(request, card)


def _train_again(request: ReproduceRequest, card: Path) -> None:
    _check_run_alone(request, card)
    check_run_there(card)
    if card.is_dir():
        check_is_run(card)
    dataset, teacher = (next(iter(one), None) for one in (request.datasets, request.teachers))
    check_folders_there(dataset, teacher)
    tell(f"note: {card} is trained again")

    from dllm2rec.cli.output.progress_table import watching
    from dllm2rec.rerun.train_again import reproduce as train_again
    from dllm2rec.runs.run_card import read_card

    use_threads(read_card(card).run.threads if request.threads is None else request.threads)
    with watching() as progress:
        found = train_again(
            card,
            request.out,
            dataset=dataset,
            teacher=teacher,
            tolerance=request.tolerance,
            progress=progress,
        )
    if request.json:
        print_json(found.as_json())
    else:
        _show(found)
    if not found.matches:
        raise typer.Exit(1)


def _check_run_alone(request: ReproduceRequest, card: Path) -> None:
    """Refuse options of the table beside a run.

    Raises:
        ConfigError: with the first of them.
    """
    of_table = {
        "--only": request.only,
        "--seeds": request.seeds,
        "--jobs": request.jobs,
        "--set": request.overrides,
        "a second --dataset": request.datasets[1:],
        "a second --teacher": request.teachers[1:],
    }
    for option, value in of_table.items():
        if value:
            raise ConfigError(
                f"reproduce: {option} beside {card}, expected it for the paper's table alone; "
                "leave out one of them"
            )


def _make_table(request: ReproduceRequest) -> None:
    if not request.datasets:
        raise ConfigError(
            "reproduce: neither a run nor a dataset, expected a run's card or folder, or --dataset "
            "for the paper's table"
        )
    if request.tolerance is not None:
        raise ConfigError("reproduce: --tolerance without a run, expected it beside one")
    teachers = request.teachers or tuple(one / "teacher" for one in request.datasets)
    if len(teachers) != len(request.datasets):
        raise ConfigError(
            f"reproduce: {len(request.datasets)} --dataset and {len(teachers)} --teacher, expected "
            "one teacher for each dataset, in their order"
        )
    for dataset, teacher in zip(request.datasets, teachers, strict=True):
        check_folders_there(dataset, teacher)

    from dllm2rec.cli.output.paper_tables import print_paper_table, tell_step
    from dllm2rec.rerun.paper.reproduce_table import TableOptions, reproduce_table
    from dllm2rec.runs.source import Source

    use_threads(request.threads)
    table = reproduce_table(
        [Source.of(*pair) for pair in zip(request.datasets, teachers, strict=True)],
        request.out or TABLE_FOLDER,
        TableOptions(
            parts=request.only or tuple(Part),
            n_seeds=request.seeds or 5,
            n_processes=request.jobs or 1,
            n_threads=request.threads,
            overrides=request.overrides,
        ),
        tell_step,
    )
    if request.json:
        print_json(table.as_json())
    else:
        print_paper_table(table)


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
