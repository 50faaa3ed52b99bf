"""`dllm2rec recommend`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    StudentName,
    ThreadsOption,
    check_device,
    print_json_stream,
    use_threads,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_run_there
from dllm2rec.cli.torchrun import process_name
from dllm2rec.errors import ConfigError
from dllm2rec.tracking.metric_table import Recommendation

EXAMPLES = """\b
Examples:
  dllm2rec recommend runs/games-1 --history "12,7,401"
  dllm2rec recommend runs/games-1 --input histories.jsonl --out lists.parquet --top 50
A line of FILE.jsonl: {"user_id": "u1", "history": ["12", "7", "401"]}, oldest item first.
"""


class Unknown(StrEnum):
    """What becomes of items that the run's catalogue lacks."""

    error = "error"
    skip = "skip"


class Empty(StrEnum):
    """What becomes of histories without a known item."""

    error = "error"
    skip = "skip"
    popular = "popular"


@dataclass(frozen=True)
class RecommendRequest:
    """What `dllm2rec recommend` was asked for; each field is the option of its name."""

    run: Path
    history: str | None
    input: Path | None
    top: int
    include_seen: bool
    unknown: Unknown
    empty: Empty
    student: str | None
    out: Path | None
    excel_safe: bool
    overwrite: bool
    device: str
    threads: int | None
    json: bool


def recommend(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that train wrote.")],
    history: Annotated[
        str | None, typer.Option(metavar="ID,ID,...", help="One history, oldest item first.")
    ] = None,
    input_: Annotated[
        Path | None, typer.Option("--input", metavar="FILE.jsonl", help="Many histories.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Items a list.")] = 10,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Items of the history may be recommended.")
    ] = False,
    unknown: Annotated[
        Unknown, typer.Option(help="Items that the run does not know: refuse or skip them.")
    ] = Unknown.error,
    empty: Annotated[
        Empty,
        typer.Option(
            help="Histories without a known item: refuse them, give no list, or what is popular."
        ),
    ] = Empty.error,
    student: Annotated[
        StudentName | None, typer.Option(help="Which student; by default the run's best.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to .parquet, .csv or .jsonl.")
    ] = None,
    excel_safe: Annotated[
        bool, typer.Option("--excel-safe", help=".csv: disarm texts that look like formulas.")
    ] = False,
    overwrite: OverwriteOption = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Recommend items to histories.

    Ids are those of the dataset; items of the history are left out unless asked for.
    """
    request = RecommendRequest(
        run,
        history=history,
        input=input_,
        top=top,
        include_seen=include_seen,
        unknown=unknown,
        empty=empty,
        student=None if student is None else student.value,
        out=out,
        excel_safe=excel_safe,
        overwrite=overwrite,
        device="auto" if device is None else device.value,
        threads=threads,
        json=json,
    )
    _recommend(request)


def _recommend(request: RecommendRequest) -> None:
    from dllm2rec.cli.recommend_files import User, check_file, read_histories, write_lists

    run, source, out = request.run, request.input, request.out
    if (request.history is None) == (source is None):
        raise ConfigError("recommend: expected one of --history and --input")
    if request.excel_safe and (out is None or out.suffix != ".csv"):
        raise ConfigError("recommend: --excel-safe without --out FILE.csv, which it is for")
    if out is not None:
        inputs = [run, *([] if source is None else [source])]
        check_file(out, overwrite=request.overwrite, inputs=inputs)
    check_device(request.device)
    use_threads(request.threads)
    users = read_histories(source) if source else [User("", split_ids(request.history or ""), 0)]
    check_run_there(run)

    from dllm2rec.runtime.distributed import process_group
    from dllm2rec.serve.answers import ListRequest
    from dllm2rec.serve.histories import BLOCK_ROWS, HistoryBlock
    from dllm2rec.serve.known_items import HistoryRules
    from dllm2rec.serve.load import load

    asked = ListRequest(
        request.top,
        exclude_seen=not request.include_seen,
        rules=HistoryRules(request.unknown.value, request.empty.value, source),
    )
    blocks = [
        HistoryBlock(
            [user.history for user in some],
            first,
            [user.name if source else "--history" for user in some],
            [user.line for user in some] if source else None,
        )
        for first in range(0, len(users), BLOCK_ROWS)
        for some in [users[first : first + BLOCK_ROWS]]
    ]
    with process_group(request.device):
        model = load(run, student=request.student, device=request.device)
        answers = [*model.stream(blocks, asked)]
    lists: Iterable[list[Recommendation]] = chain.from_iterable(answers)
    names = [user.name for user in users]
    if request.json and out is not None:
        lists = list(lists)  # both take them
    if out is not None and not process_name():
        write_lists(out, names, lists, excel_safe=request.excel_safe)
    if request.json:
        # One by one: all of them would fill the memory.
        print_json_stream({"run": str(run)}, "lists", lists_json(names, lists))
    elif out is None:
        _print(names, lists)
    else:
        say(f"{len(names)} lists written to {out}")


def _print(names: list[str], lists: Iterable[list[Recommendation]]) -> None:
    from dllm2rec.cli.output.tables import print_table, recommendation_table

    for name, rows in zip(names, lists, strict=True):
        if name:
            say(f"{name}:")
        print_table(recommendation_table(rows))


def split_ids(text: str) -> list[str]:
    """Split `id1,id2,...` into ids; an id may hold spaces, not a comma.

    Raises:
        ConfigError: an empty id, or none at all.
    """
    ids = [part.strip() for part in text.split(",")]
    if not all(ids):
        raise ConfigError(f"--history {text!r}: an empty id, expected id1,id2,...")
    return ids


def lists_json(
    names: Iterable[str], lists: Iterable[list[Recommendation]]
) -> Iterator[dict[str, object]]:
    """What `--json` prints of the lists."""
    for name, rows in zip(names, lists, strict=True):
        yield {"user_id": name or None, "items": [asdict(row) for row in rows]}
