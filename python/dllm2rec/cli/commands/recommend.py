"""`dllm2rec recommend`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from dllm2rec.cli.paths import check_file_there, check_is_run, check_run_there
from dllm2rec.cli.torchrun import process_name
from dllm2rec.errors import ConfigError
from dllm2rec.tracking.metric_table import Recommendation

if TYPE_CHECKING:
    from dllm2rec.serve.histories import HistoryBlock
    from dllm2rec.serve.recommendations import Recommendations

EXAMPLES = """\b
Examples:
  dllm2rec recommend runs/games-1 --history "12,7,401"
  dllm2rec recommend runs/games-1 --input histories.jsonl --out lists.parquet --top 50
  dllm2rec recommend runs/games-1 --input log.csv --out lists.csv --shard 2/8
  dllm2rec recommend runs/games-1 --history "12,7" --candidates in-stock.txt
A line of a .jsonl file: {"user_id": "u1", "history": ["12", "7", "401"]}, oldest item first.
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
    candidates: Path | None
    filter: Path | None
    unknown: Unknown
    empty: Empty
    student: str | None
    out: Path | None
    shard: str | None
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
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Histories: .jsonl, .csv or .parquet with a column history, or a log of events.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Items per list.")] = 10,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Also recommend items of the history.")
    ] = False,
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Recommend only the items in this file, one id per line."
        ),
    ] = None,
    filter_: Annotated[
        Path | None,
        typer.Option(
            "--filter",
            metavar="FILE",
            help="Never recommend the items in this file, one id per line.",
        ),
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option(help="Ids that the run does not know: refuse or skip them.")
    ] = Unknown.error,
    empty: Annotated[
        Empty,
        typer.Option(
            help="Histories without a known item: refuse them, give no list, or the popular items."
        ),
    ] = Empty.error,
    student: Annotated[
        StudentName | None, typer.Option(help="Which student; by default the run's best.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to .parquet, .csv, .jsonl or .trec.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Answer part I of N into a file of its own; finished parts are skipped.",
        ),
    ] = None,
    excel_safe: Annotated[
        bool, typer.Option("--excel-safe", help="With .csv: escape texts that look like formulas.")
    ] = False,
    overwrite: OverwriteOption = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Recommend items to histories.

    Ids are those of the dataset; items of the history are left out unless --include-seen is given.
    """
    request = RecommendRequest(
        run,
        history=history,
        input=input_,
        top=top,
        include_seen=include_seen,
        candidates=candidates,
        filter=filter_,
        unknown=unknown,
        empty=empty,
        student=None if student is None else student.value,
        out=out,
        shard=shard,
        excel_safe=excel_safe,
        overwrite=overwrite,
        device="auto" if device is None else device.value,
        threads=threads,
        json=json,
    )
    _recommend(request)


def _recommend(request: RecommendRequest) -> None:
    from dllm2rec.cli.recommend_files import check_file, shard_file, split_shard

    run, source, out = request.run, request.input, request.out
    if (request.history is None) == (source is None):
        raise ConfigError("recommend: expected one of --history and --input")
    if request.excel_safe and (out is None or out.suffix != ".csv"):
        raise ConfigError("recommend: --excel-safe without --out FILE.csv, which it is for")
    shard = (1, 1) if request.shard is None else split_shard(request.shard)
    if shard[1] > 1 and (out is None or source is None):
        raise ConfigError("recommend: --shard without --input and --out, whose parts it is for")
    if out is not None:
        out = shard_file(out, shard)
        given = (source, request.candidates, request.filter)
        inputs = [run, *(path for path in given if path is not None)]
        if shard[1] > 1 and out.is_file() and not request.overwrite:
            say(f"{out}: there already, nothing was done; give --overwrite to make it anew")
            return
        check_file(out, overwrite=request.overwrite, inputs=inputs)
    history = [] if source else split_ids(request.history or "")
    check_device(request.device)
    check_run_there(run)
    check_is_run(run)
    for path in (source, request.candidates, request.filter):
        if path is not None:
            check_file_there(path)
    use_threads(request.threads)
    blocks = _blocks(source, history, shard)

    from dllm2rec.cli.recommend_inputs import read_ids
    from dllm2rec.runtime.distributed import process_group
    from dllm2rec.serve.answers import ListRequest
    from dllm2rec.serve.known_items import HistoryRules
    from dllm2rec.serve.load import load

    asked = ListRequest(
        request.top,
        exclude_seen=not request.include_seen,
        candidates=None if request.candidates is None else read_ids(request.candidates),
        filter=None if request.filter is None else read_ids(request.filter),
        rules=HistoryRules(request.unknown.value, request.empty.value, source),
    )
    with process_group(request.device):
        model = load(run, student=request.student, device=request.device)
        parts: Iterator[Recommendations] = model.stream(blocks, asked)
        # What is wrong with the first block is told before anything is printed; the others are
        # printed and written as they come: all together may be larger than the memory.
        parts = chain([*islice(parts, 1)], parts)
        named = source is not None
        if request.json:
            values = partial(lists_json, named=named)
            parts = print_json_stream({"run": str(run)}, "lists", parts, values)
        elif out is None:
            parts = _printed(parts, named=named)
        n_lists = _write(out, parts, excel_safe=request.excel_safe)
    if out is not None and not request.json:
        say(f"{n_lists} lists written to {out}")


def _blocks(
    source: Path | None, history: list[str], shard: tuple[int, int]
) -> Iterator[HistoryBlock]:
    """The histories that are asked about; a file that cannot be read is refused at once."""
    from dllm2rec.cli.recommend_inputs import history_blocks, unread_histories
    from dllm2rec.serve.histories import HistoryBlock

    if source is None:
        return iter([HistoryBlock([history], names=["--history"])])
    blocks = history_blocks(unread_histories(source), shard=shard)
    return chain([*islice(blocks, 1)], blocks)


def _write(out: Path | None, parts: Iterable[Recommendations], *, excel_safe: bool) -> int:
    """Write the lists, if to a file, and count them; of several processes the first writes."""
    from dllm2rec.cli.output.counted import counted
    from dllm2rec.cli.recommend_files import write_lists

    n_lists = 0

    def through() -> Iterator[Recommendations]:
        nonlocal n_lists
        for part in parts if out is None or process_name() else counted(parts):
            yield part
            n_lists += len(part)

    if out is None or process_name():
        for _ in through():  # each process has its share of the work
            pass
    else:
        write_lists(out, through(), excel_safe=excel_safe)
    return n_lists


def _named(
    part: Recommendations, *, named: bool = True
) -> Iterator[tuple[str, list[Recommendation]]]:
    """The lists, each under its name, or under none."""
    yield from zip(part.names or [] if named else repeat("", len(part)), part, strict=True)


def _printed(parts: Iterable[Recommendations], *, named: bool) -> Iterator[Recommendations]:
    """The parts, each printed as it passes."""
    from dllm2rec.cli.output.tables import print_table, recommendation_table

    for part in parts:
        for name, rows in _named(part, named=named):
            if name:
                say(f"{name}:")
            print_table(recommendation_table(rows))
        yield part


def split_ids(text: str) -> list[str]:
    """Split `id1,id2,...` into ids; an id may hold spaces, not a comma.

    Raises:
        ConfigError: an empty id, or none at all.
    """
    ids = [part.strip() for part in text.split(",")]
    if not all(ids):
        raise ConfigError(f"--history {text!r}: an empty id, expected id1,id2,...")
    return ids


def lists_json(part: Recommendations, *, named: bool) -> Iterator[dict[str, object]]:
    """What `--json` prints of some lists."""
    for name, rows in _named(part, named=named):
        yield {"user_id": name or None, "items": [asdict(row) for row in rows]}
