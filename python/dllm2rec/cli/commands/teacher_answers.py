"""The options of `dllm2rec teacher import` for a file of answers, and what it prints of titles."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dllm2rec.cli.output.lines import say

if TYPE_CHECKING:  # numpy and pyarrow are imported when the command runs
    from dllm2rec.teacher.answers.import_answers import AnswerOptions
    from dllm2rec.teacher.grounding.title_report import TitleReport

_SHOWN = 10  # titles that are printed; all of them are in the folder


class ListsOf(StrEnum):
    """What the lists of a file of answers hold."""

    auto = "auto"
    titles = "titles"
    ids = "ids"


def _column(option: str, what: str) -> Any:  # noqa: ANN401 - what typer reads
    return typer.Option(option, metavar="NAME", help=f"Answers: column of {what}.")


RowColumn = Annotated[str | None, _column("--row-column", "train row numbers")]
UserColumn = Annotated[str | None, _column("--user-column", "the users' ids")]
HistoryColumn = Annotated[str | None, _column("--history-column", "histories: lists of items")]
TitlesColumn = Annotated[str | None, _column("--titles-column", "titles, one or a list")]
IdsColumn = Annotated[str | None, _column("--ids-column", "item ids, one or a list")]
RankColumn = Annotated[str | None, _column("--rank-column", "ranks, if each line is one item")]
DistanceColumn = Annotated[str | None, _column("--distance-column", "distances, small is sure")]
ListsOfOption = Annotated[
    ListsOf, typer.Option(help="Answers: the lists are of titles or of item ids.")
]
FirstRow = Annotated[
    int, typer.Option(min=0, max=1, metavar="0|1", help="Answers: number of the first train row.")
]
MinKnown = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="SHARE",
        help="Answers: least share of a file's users, titles or ids that the dataset must know.",
    ),
]
DEFAULT_MIN_KNOWN = 0.3


def options_if_answers(
    source: Path, given: dict[str, Any], others: dict[str, Any]
) -> AnswerOptions | None:
    """How to read a file of answers; None where the source is something else.

    Args:
        source: what is to be imported.
        given: the options of answers, by the names of the command's parameters.
        others: those of the authors' files and of vectors.
    """
    from dllm2rec.errors import ConfigError
    from dllm2rec.teacher.answers.columns import AnswerColumns, is_answers
    from dllm2rec.teacher.answers.import_answers import AnswerOptions
    from dllm2rec.teacher.import_options import TeacherOptions

    columns = {
        name.removesuffix("_column"): value
        for name, value in given.items()
        if name.endswith("_column")
    }
    options = AnswerOptions(
        columns=AnswerColumns(**columns),
        lists_of=given["lists_of"].value,
        first_row=given["first_row"],
        min_known=given["min_known"],
    )
    is_said = options != AnswerOptions()
    if not source.is_file() or not (is_said or is_answers(source)):
        if is_said:
            raise ConfigError(f"{source}: no file of answers, expected no options of one")
        return None
    if TeacherOptions(**others) != TeacherOptions():
        raise ConfigError(f"{source}: a file of answers, expected no options of other files")
    return options


def title_facts(titles: TitleReport) -> dict[str, str]:
    """How many titles of each kind there are."""
    distinct = titles.distinct()
    return {
        f"titles, {how}": f"{times:,} ({distinct[how]:,} distinct)"
        for how, times in titles.counts().items()
    }


def say_titles(titles: TitleReport) -> None:
    """Name the most frequent titles that are no item for certain."""
    lost = titles.of("unmatched", "doubtful")
    for line in sorted(lost, key=lambda line: -line.times)[:_SHOWN]:
        near = line.found.item
        names = titles.catalogue.titles or []
        guess = "" if near is None else f", perhaps {names[near]!a} ({line.found.why})"
        kind = line.found.how
        say(f"{kind}: {line.times:,} x {line.title.strip()!a}{guess if kind == 'doubtful' else ''}")
