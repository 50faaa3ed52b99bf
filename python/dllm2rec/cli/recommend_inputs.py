"""Histories in: the files that `dllm2rec recommend --input` reads, a block at a time."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.files import JSON_CAP
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.data.text.json_objects import TwiceError, distinct, half_pair
from dllm2rec.data.text.lines import decoded, first_lines, read_lines
from dllm2rec.data.text.parquet_text import bounded_batches, column_names, opened
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.serve.histories import BLOCK_ROWS, HistoryBlock

_log = logging.getLogger(__name__)

HISTORY, USER = "history", "user_id"
_EXPECTED = 'expected {"user_id": ..., "history": [item ids]}, ids as text or whole numbers'


class User(NamedTuple):
    """A history and whose it is.

    Attributes:
        name: as the file has it, or else the number of its line or row.
        history: ids of items, oldest first.
        line: its line or row in the file, from 1; in a log, the user's number.
    """

    name: str
    history: list[str]
    line: int


Unread: TypeAlias = Callable[[], User]


def unread_histories(path: Path) -> Iterator[Unread]:
    """Find histories, by the name and the columns of their file; each is read when it is called.

    So a shard passes over those of others at a fraction of the cost.

    - JSON lines: `{"user_id": "u1", "history": ["12", "7"]}`, oldest item first. A file of any
      other ending is read so, too.
    - `.csv` with a column `history`: ids with blanks between, or a JSON list; `.parquet` with one:
      lists of ids. `user_id` is optional.
    - Everything else that `dllm2rec prepare` reads as a log: a row an event, whose user's history
      is their events in the order of time.

    Without `user_id` a history is called by its line or row, from 1; empty lines are skipped.
    Memory is that of a history, but for a log, which is read whole.

    Raises:
        InputError: the file cannot be read, changes meanwhile, or a line is not of this form.
        ArtifactError: a Parquet file is corrupt.
    """
    ending = Path(plain_name(path).lower()).suffix
    with at_rest(path):
        if ending == ".parquet":
            yield from _of_parquet(path)
        elif ending == ".csv" and HISTORY in _header(path):
            yield from _of_csv(path)
        elif ending in _LOGS and not _is_json(path):
            yield from _of_log(path)
        else:
            lines = read_lines(path, cap=JSON_CAP, may_be_pipe=True)
            for number, line in lines:
                if line.strip():
                    yield partial(_of_json, path, number, line)


def read_ids(path: Path) -> list[str]:
    """Read distinct item ids, one per line; blanks around them and empty lines are passed over.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or holds no id.
    """
    lines = (decoded(path, *line).strip() for line in read_lines(path, may_be_pipe=True))
    ids = filter(None, lines)
    # An Arrow array takes a fraction of what as many Python texts do.
    blocks = [
        pa.array(block, pa.large_string()) for block in iter(lambda: [*islice(ids, 4096)], [])
    ]
    if not blocks:
        message = "no id, expected one per line"
        raise InputError(message, code="E-EMPTY", path=path)
    distinct_ids: list[str] = pa.chunked_array(blocks).unique().to_pylist()
    return distinct_ids


_LOGS = {".csv", ".tsv", ".inter", ".dat", ".data", ".txt"}


def history_blocks(
    users: Iterable[Unread], *, shard: tuple[int, int] = (1, 1)
) -> Iterator[HistoryBlock]:
    """Put users together in blocks, whose numbers do not depend on the shard.

    Args:
        users: of one file, in its order.
        shard: which of how many, from 1: every n-th block.
    """
    number, n_shards = shard
    rest, first = iter(users), 0
    while some := [*islice(rest, BLOCK_ROWS)]:
        if first // BLOCK_ROWS % n_shards == number - 1:
            names, histories, lines = zip(*(read() for read in some), strict=True)
            yield HistoryBlock(histories, first, names, lines)
        first += len(some)


def _of_json(path: Path, number: int, encoded: bytes) -> User:
    line = decoded(path, number, encoded)
    try:
        record = json.loads(line, object_pairs_hook=distinct)
    except TwiceError as err:
        message = f"key {ascii(err.args[0])[:40]} twice, expected each key once"
        raise InputError(message, code="E-JSON-KEY", path=path, line=number) from err
    except (ValueError, RecursionError) as err:
        message = "not JSON, expected an object"
        raise InputError(message, code="E-JSON", path=path, line=number, token=line[:40]) from err
    record = record if isinstance(record, dict) else {}
    return _user(path, number, record.get(USER, number), record.get(HISTORY))


def _user(path: Path, number: int, name: object, history: object) -> User:
    if not isinstance(history, list) or not all(map(_is_id, [*history, name])):
        raise InputError(_EXPECTED, code="E-JSON", path=path, line=number)
    return User(str(name), [*map(str, history)], number)


def _is_id(value: object) -> bool:
    """Whether it is text that can be written, or a whole number."""
    if isinstance(value, str):
        return value.isascii() or not half_pair(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_json(path: Path) -> bool:
    return any(line.startswith("{") for line in first_lines(path, 1))


def _header(path: Path) -> list[str]:
    lines = first_lines(path, 1)
    try:
        return next(csv.reader(lines), [])
    except csv.Error:
        return []  # told by what reads the file


def _of_csv(path: Path) -> Iterator[Unread]:
    lines = read_lines(path, cap=JSON_CAP)
    rows = csv.reader((decoded(path, *line) for line in lines), strict=True)
    try:
        header = next(rows)
        column_names(path, [name for name in header if name in (HISTORY, USER)], line=1)
        names = {name: place for place, name in enumerate(header)}
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                message = f"{len(row)} cells, expected {len(header)} as in the header"
                raise InputError(message, code="E-RAGGED", path=path, line=rows.line_num)
            cell = row[names[HISTORY]]
            name = row[names[USER]] if USER in names else rows.line_num
            yield partial(_of_cell, path, rows.line_num, name, cell)
    except csv.Error as err:
        raise InputError(f"{err}", code="E-CSV", path=path, line=rows.line_num) from err


def _of_cell(path: Path, number: int, name: str | int, cell: str) -> User:
    ids: object = cell.split()
    if cell.lstrip().startswith("["):
        try:
            ids = json.loads(cell)
        except (ValueError, RecursionError):
            ids = None  # no list, which is refused
    return _user(path, number, name, ids)


def _of_parquet(path: Path) -> Iterator[Unread]:
    try:
        with opened(path) as file:
            names = file.schema_arrow.names
        if HISTORY in names:
            wanted = [name for name in names if name in (HISTORY, USER)]
            yield from _of_lists(path, column_names(path, wanted))
        else:
            yield from _of_log(path)
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, FileNotFoundError):
            raise InputError("No such file", code="E-FILE", path=path) from err
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        message = f"E-PARQUET {path}: {reason}, expected a whole Parquet file"
        raise ArtifactError(message) from err


def _of_lists(path: Path, columns: list[str]) -> Iterator[Unread]:
    number = 0
    for batch in bounded_batches(path, columns, BLOCK_ROWS):
        table: dict[str, list[Any]] = batch.to_pydict()
        names = table.get(USER, range(number + 1, number + 1 + batch.num_rows))
        for name, history in zip(names, table[HISTORY], strict=True):
            number += 1
            yield partial(_user, path, number, name, history)


def _of_log(path: Path) -> Iterator[Unread]:
    """Each user's events as one history, in the order of the users' first events."""
    from dllm2rec import _core
    from dllm2rec.data.logs.layouts.detect_layout import recognise
    from dllm2rec.data.logs.layouts.read_layout import read_log

    try:
        log = read_log(recognise([path], find_titles=False), ratings=False)
    except InputError as err:
        if "--" not in err.hint:
            raise
        # Its hint names options of `prepare`, which this command has not.
        message = str(err).removesuffix(f". hint: {err.hint}")
        cure = "call its columns user_id, item_id and timestamp, or write a column history"
        raise InputError(f"{message}. hint: {cure}") from err
    for note in log.notes:
        _log.warning("%s", note)
    order, starts = _core.order_by_user(log.users, log.times, log.n_users)
    items = log.items[order]
    item_ids, user_ids = log.item_ids.to_pylist(), log.user_ids.to_pylist()

    def user(number: int, name: str) -> User:
        history = items[starts[number] : starts[number + 1]].tolist()
        return User(name, [item_ids[item] for item in history], number + 1)

    yield from (partial(user, number, name) for number, name in enumerate(user_ids))
