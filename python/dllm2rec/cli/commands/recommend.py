"""`dllm2rec recommend`."""

from __future__ import annotations

from dataclasses import asdict
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
    print_json,
    use_threads,
)
from dllm2rec.cli.torchrun import process_name
from dllm2rec.errors import ConfigError
from dllm2rec.tracking.metric_table import Recommendation

EXAMPLES = """\b
Examples:
  dllm2rec recommend runs/games-1 --history "12,7,401"
  dllm2rec recommend runs/games-1 --input histories.jsonl --out lists.parquet --top 50
A line of FILE.jsonl: {"user_id": "u1", "history": ["12", "7", "401"]}, oldest item first.
"""


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
    student: Annotated[
        StudentName | None, typer.Option(help="Which student; by default the run's best.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to .parquet, .csv or .jsonl.")
    ] = None,
    overwrite: OverwriteOption = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Recommend items to histories.

    Ids are those of the dataset; items of the history are left out unless asked for.
    """
    from dllm2rec.cli.output.tables import print_table, recommendation_table
    from dllm2rec.cli.recommend_files import check_file, read_histories, write_lists

    if (history is None) == (input_ is None):
        raise ConfigError("recommend: expected one of --history and --input")
    if out is not None:
        check_file(out, overwrite=overwrite, inputs=[run, *([input_] if input_ else [])])
    chosen = "auto" if device is None else device.value
    check_device(chosen)
    use_threads(threads)
    users = read_histories(input_) if input_ else [("", split_ids(history or ""))]

    from dllm2rec.runtime.distributed import process_group
    from dllm2rec.serve.recommend import recommend as recommend_lists

    with process_group(chosen):
        lists = recommend_lists(
            run,
            [ids for _, ids in users],
            n=top,
            exclude_seen=not include_seen,
            student=None if student is None else student.value,
            device=chosen,
        )
    names = [name for name, _ in users]
    if out is not None and not process_name():
        write_lists(out, names, lists)
    if json:
        print_json({"run": str(run), "lists": lists_json(names, lists)})
    elif out is None:
        for name, rows in zip(names, lists, strict=True):
            if name:
                print(f"{name}:")
            print_table(recommendation_table(rows))
    else:
        print(f"{len(lists)} lists written to {out}")


def split_ids(text: str) -> list[str]:
    """Split `id1,id2,...` into ids; an id may hold spaces, not a comma.

    Raises:
        ConfigError: an empty id, or none at all.
    """
    ids = [part.strip() for part in text.split(",")]
    if not all(ids):
        raise ConfigError(f"--history {text!r}: an empty id, expected id1,id2,...")
    return ids


def lists_json(names: list[str], lists: list[list[Recommendation]]) -> list[dict[str, object]]:
    """What `--json` prints of the lists."""
    return [
        {"user_id": name or None, "items": [asdict(row) for row in rows]}
        for name, rows in zip(names, lists, strict=True)
    ]
