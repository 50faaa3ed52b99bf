"""`dllm2rec prepare`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import JsonOption, OverwriteOption, print_json
from dllm2rec.cli.paths import check_sources_there

if TYPE_CHECKING:
    from dllm2rec.auditing.audit import (
        Audit,  # numpy and pyarrow are imported when the command runs
    )
    from dllm2rec.data.prepare_run import PrepareRequest, PrepareResult

_WORTH_TELLING_S = 1.0
MOST_AUDITED_EVENTS = 2_000_000  # looking at so many takes about a second

EXAMPLES = """\b
Examples:
  dllm2rec prepare ml-20m --out datasets/ml-20m
  dllm2rec prepare log.csv --out datasets/shop --user-column customer --item-column sku
  dllm2rec prepare log.csv --out datasets/shop --protocol five-core --set split=global_time
  dllm2rec prepare Video_Games.jsonl.gz --out datasets/games --protocol bigrec-games
  dllm2rec prepare checkins.txt --out datasets/places --format tsv --no-header \\
      --user-column 1 --item-column 5 --time-column 2
  dllm2rec prepare datasets/shop --out exported/shop --write recbole
"""


class Format(StrEnum):
    """How a log may be written."""

    auto = "auto"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    recbole = "recbole"
    movielens = "movielens"
    amazon = "amazon"
    bigrec = "bigrec"
    authors = "authors"


class Form(StrEnum):
    """What may be written: a dataset, its rows in another layout, or the log before any rule."""

    dataset = "dataset"
    authors = "authors"
    recbole = "recbole"
    inter = "inter"
    csv = "csv"


class Quotes(StrEnum):
    """What a quote means in delimited files."""

    auto = "auto"
    double = "double"
    backslash = "backslash"
    none = "none"


class IdType(StrEnum):
    """What ids are."""

    string = "string"
    int = "int"


def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC...",
            help="Folders, files or globs that together make up one log.",
            callback=check_sources_there,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    format_: Annotated[
        Format,
        typer.Option("--format", help="Format of SRC; auto goes by names and first lines."),
    ] = Format.auto,
    titles: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of titles, if it is not beside SRC.")
    ] = None,
    titles_id_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Titles: column of item ids; by default the log's."),
    ] = None,
    titles_title_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Titles: column of titles.")
    ] = None,
    titles_delimiter: Annotated[
        str | None, typer.Option(metavar="CHAR", help="Titles: column delimiter.")
    ] = None,
    titles_encoding: Annotated[
        str, typer.Option(metavar="NAME", help="Titles: encoding.")
    ] = "utf-8",
    titles_quotes: Annotated[
        Quotes, typer.Option(help="Titles: what quotes mean, as --quotes.")
    ] = Quotes.auto,
    titles_no_header: Annotated[
        bool,
        typer.Option("--titles-no-header", help="Titles: columns are numbered from 1."),
    ] = False,
    no_header: Annotated[
        bool,
        typer.Option("--no-header", help="The log has no header; columns are numbered from 1."),
    ] = False,
    user_column: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Column of users; by default user_id.")
    ] = None,
    item_column: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Column of items; by default item_id.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Column of times; by default timestamp.")
    ] = None,
    rating_column: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Column of ratings; by default rating.")
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(metavar="NAME|N", help="Column of train, validation, test; by default split."),
    ] = None,
    file_order: Annotated[
        bool,
        typer.Option("--file-order", help="Keep the file's order; do not sort by time."),
    ] = False,
    delimiter: Annotated[str | None, typer.Option(metavar="CHAR", help="Column delimiter.")] = None,
    encoding: Annotated[
        str, typer.Option(metavar="NAME", help="Encoding of the log: latin-1, cp1252, gbk, utf-16.")
    ] = "utf-8",
    quotes: Annotated[
        Quotes,
        typer.Option(
            help='How a quote in a field is written: double "", backslash \\"; none: no quoting.'
        ),
    ] = Quotes.auto,
    time_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Format of times as for strptime: '%d/%m/%Y %H:%M'."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Time zone of times without an offset; by default UTC."),
    ] = None,
    id_type: Annotated[
        IdType, typer.Option(help="int: ids are whole numbers, so 007 and 7 are the same.")
    ] = IdType.string,
    strip: Annotated[
        bool, typer.Option("--strip", help="Strip white space around ids instead of refusing it.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="leave-one-out (the default), five-core, bigrec-games, bigrec-movielens.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="One rule; may be repeated."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse rows that are in train and in another split.")
    ] = False,
    write: Annotated[
        Form,
        typer.Option(
            help="dataset, or its rows as authors or recbole, or the log as inter or csv."
        ),
    ] = Form.dataset,
    excel_safe: Annotated[
        bool, typer.Option("--excel-safe", help="With csv: escape ids that look like formulas.")
    ] = False,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Make a dataset from a log: filter, split, and report what was dropped and what leaks.

    Known layouts are recognised: RecBole's .inter, MovieLens 100K to 32M, Amazon reviews 2014,
    2018 and 2023, BIGRec's and the authors' files, and tables with named columns.
    """
    from dllm2rec.data.logs.layouts.read_layout import LogOptions
    from dllm2rec.data.logs.log_form import LogForm
    from dllm2rec.data.logs.titles.title_columns import TitlesForm
    from dllm2rec.data.prepare_run import PrepareRequest
    from dllm2rec.data.protocol.load import load_protocol

    named = {
        "user": user_column,
        "item": item_column,
        "time": time_column,
        "rating": rating_column,
        "split": split_column,
    }
    titles_form = TitlesForm(
        titles_id_column,
        titles_title_column,
        _typed(titles_delimiter),
        titles_encoding,
        titles_quotes.value,
        header=not titles_no_header,
    )
    request = PrepareRequest(
        sources,
        out,
        file_format=format_.value,
        titles=titles,
        titles_form=None if titles_form == TitlesForm() else titles_form,
        options=LogOptions(
            columns={role: name for role, name in named.items() if name is not None},
            file_order=file_order,
            delimiter=_typed(delimiter),
            form=LogForm(
                header=not no_header,
                encoding=encoding,
                quotes=quotes.value,
                time_format=time_format,
                time_zone=time_zone,
            ),
            id_type=id_type.value,
            strip=strip,
        ),
        protocol=load_protocol(protocol, set_ or []) if protocol or set_ else None,
        strict=strict,
        form=write.value,
        excel_safe=excel_safe,
        overwrite=overwrite,
    )
    _run(request, json=json)


def _typed(delimiter: str | None) -> str | None:
    r"""Return a delimiter as it is meant: a tab is typed `\t`."""
    return "\t" if delimiter == "\\t" else delimiter


def _run(request: PrepareRequest, *, json: bool) -> None:
    from dllm2rec.data.prepare_run import prepare_run

    result = prepare_run(request, watch=_watching)
    found = _audit(result)
    if json:
        audit = {} if found is None else {"audit": found.as_json()}
        print_json({**result.as_json(), **audit})
    else:
        from dllm2rec.cli.output.prepared import show_prepared

        show_prepared(result, found)


def _audit(result: PrepareResult) -> Audit | None:
    """Look at the dataset that was written; a large one is left to the command of that name."""
    if result.form != "dataset" or result.counts["events"] > MOST_AUDITED_EVENTS:
        return None
    from dllm2rec.auditing.audit import audit

    with _watching("looking at the data"):
        return audit(result.out, window_counts=False)


@contextmanager
def _watching(name: str) -> Iterator[None]:
    """Show on stderr that work is under way: a spinner on a terminal, a line when it is done."""
    from rich.console import Console

    console, begin = Console(stderr=True, highlight=False), time.monotonic()
    with console.status(name) if console.is_terminal else nullcontext():
        yield
    if (seconds := time.monotonic() - begin) >= _WORTH_TELLING_S:
        console.print(f"{name}: {seconds:.1f} s", markup=False)
