"""Histories in, lists out: the files of `dllm2rec recommend`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.files import JSON_CAP
from dllm2rec.data.text.json_objects import TwiceError, distinct
from dllm2rec.data.text.lines import decoded, read_lines
from dllm2rec.errors import ConfigError, InputError, ResourceError
from dllm2rec.storage.atomic_file import replace_file
from dllm2rec.tracking.metric_table import Recommendation

COLUMNS = ("user_id", "rank", "item_id", "title", "score")
_BLOCK_ROWS = 1 << 16  # of Parquet, made at a time
_FORMULA = re.compile(r"[=+\-@\t\r]")  # how a cell begins that a spreadsheet runs


class User(NamedTuple):
    """A history and whose it is.

    Attributes:
        name: as the file has it, or else the number of its line.
        history: ids of items, oldest first.
        line: where it stands in the file, from 1.
    """

    name: str
    history: list[str]
    line: int


def read_histories(path: Path) -> list[User]:
    """Read one history a line: `{"user_id": "u1", "history": ["12", "7"]}`, oldest item first.

    Without `user_id` a history is called by its line, from 1; empty lines are skipped.

    Raises:
        InputError: the file cannot be read, changes meanwhile, or a line is not of this form.
    """
    known: dict[str, str] = {}  # each id is held once, however many histories have it
    with at_rest(path):
        lines = read_lines(path, cap=JSON_CAP, may_be_pipe=True)
        return [
            _user(path, number, decoded(path, number, line), known)
            for number, line in lines
            if line.strip()
        ]


def _user(path: Path, number: int, line: str, known: dict[str, str]) -> User:
    try:
        record = json.loads(line, object_pairs_hook=distinct)
    except TwiceError as err:
        message = f"key {ascii(err.args[0])[:40]} twice, expected each key once"
        raise InputError(message, code="E-JSON-KEY", path=path, line=number) from err
    except (ValueError, RecursionError) as err:
        message = "not JSON, expected an object"
        raise InputError(message, code="E-JSON", path=path, line=number, token=line[:40]) from err
    record = record if isinstance(record, dict) else {}
    history, name = record.get("history"), record.get("user_id", number)
    if not isinstance(history, list) or not all(map(_is_id, [*history, name])):
        raise InputError(
            'expected {"user_id": ..., "history": [item ids]}, ids as text or whole numbers',
            code="E-JSON",
            path=path,
            line=number,
        )
    items = [known.setdefault(text, text) for text in map(str, history)]
    return User(str(name), items, number)


def _is_id(value: object) -> bool:
    """Whether it is text that can be written, or a whole number."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, int) and not isinstance(value, bool)


def check_file(out: Path, *, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Refuse a file that must not be written, before any work.

    Raises:
        ConfigError: an unknown ending, an input, a folder, or a file without `overwrite`.
    """
    if out.suffix not in _WRITERS:
        raise ConfigError(f"--out {out}: expected an ending of {', '.join(_WRITERS)}")
    for source in inputs:
        if out.resolve() == source.resolve():
            raise ConfigError(f"--out {out}: is the input, expected another file")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ConfigError(f"--out {out}: exists, expected a new file; or give --overwrite")


def write_lists(
    out: Path,
    names: Iterable[str],
    lists: Iterable[Sequence[Recommendation]],
    *,
    excel_safe: bool = False,
) -> None:
    """Write a row for each place of each list, by the file's ending; whole or not at all.

    Memory is that of a few lists, whatever their number.

    Args:
        out: the file.
        names: whose list each is.
        lists: as many.
        excel_safe: in CSV, put `'` before a text that a spreadsheet would take for a formula.

    Raises:
        ResourceError: the file cannot be written; what was there before is unchanged.
    """
    rows = (
        (name, row.rank, row.item_id, row.title, row.score)
        for name, places in zip(names, lists, strict=True)
        for row in places
    )
    if excel_safe:
        rows = (tuple(map(_disarmed, row)) for row in rows)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(f"{out}: {err.strerror or err}; nothing was written") from err
    replace_file(out, lambda path: _WRITERS[out.suffix](path, rows))


def _disarmed(cell: Any) -> Any:  # noqa: ANN401 - a cell of any column
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _write_csv(path: Path, rows: Iterator[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterator[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n"
            for row in rows
        )


def _write_parquet(path: Path, rows: Iterator[tuple[Any, ...]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    kinds = (pa.string(), pa.int32(), pa.string(), pa.string(), pa.float32())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        while block := list(islice(rows, _BLOCK_ROWS)):
            columns = zip(*block, strict=True)
            arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
            file.write_table(pa.table(arrays, schema))


_WRITERS: dict[str, Callable[[Path, Iterator[tuple[Any, ...]]], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
