"""Answers as files have them: one record per line or row (JSON lines, tables, Parquet, TREC)."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.files import JSON_CAP, MAX_COLUMNS
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.data.text.json_objects import TwiceError, distinct
from dllm2rec.data.text.lines import decoded, first_lines, read_lines
from dllm2rec.data.text.parquet_text import bounded_batches, column_names, opened
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.teacher.answers import batch_results

TREC_COLUMNS = ["qid", "Q0", "docno", "rank", "score", "tag"]
_BATCH_ROWS = 4096
_DELIMITERS = "\t,;|"


class Record(NamedTuple):
    """One line or row, from 1, and its cells by the names of their columns."""

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True)
class AnswerFile:
    """A file of answers, told by its first line.

    Attributes:
        path: where it is.
        kind: how it is written.
        names: of its columns; of JSON lines, the keys of the first one.
        delimiter: between the cells of a table.
    """

    path: Path
    kind: str
    names: list[str]
    delimiter: str = ""

    def records(self, wanted: Collection[str] | None = None) -> Iterator[Record]:
        """Read the records in their order, of each the cells that are wanted, if it has them.

        Blank lines are passed over. Of a batch's results only those with an answer are read;
        `notes` tells of the others.

        Args:
            wanted: names of columns; by default all.

        Raises:
            InputError: a line or row is broken; the message names it.
            ArtifactError: a Parquet file is corrupt.
        """
        with at_rest(self.path):
            for line, cells in self._all(wanted):
                if wanted is not None:
                    cells = {name: cells[name] for name in wanted if name in cells}
                yield Record(line, cells)

    def _all(self, wanted: Collection[str] | None) -> Iterator[Record]:
        if self.kind == "parquet":
            names = [name for name in self.names if wanted is None or name in wanted]
            yield from _of_parquet(self.path, names)
        elif self.kind == "jsonl":
            yield from _of_json(self.path)
        elif self.kind == "batch":
            results = ((line, one) for line, one in _of_batch(self.path) if not one.failure)
            for line, one in results:
                yield Record(line, {"row": one.row, "answer": one.answer})
        elif self.kind == "trec":
            yield from _of_trec(self.path)
        else:
            yield from _of_table(self)

    def notes(self) -> list[str]:
        """What a reader should know of the file itself.

        Raises:
            InputError: a line is broken; the message names it.
        """
        if self.kind != "batch":
            return []
        return [*batch_results.said_of(self.path, (one for _, one in _of_batch(self.path)))]


def open_answers(path: Path) -> AnswerFile:
    """Tell how a file is written, and which columns it has.

    Raises:
        InputError: it cannot be read, is empty or its first line is broken.
        ArtifactError: a Parquet file is corrupt.
    """
    ending = Path(plain_name(path).lower()).suffix
    if ending == ".parquet":
        return AnswerFile(path, "parquet", _parquet_names(path))
    line = next((line for line in first_lines(path, 100) if line.strip()), "")
    if not line:
        raise InputError("an empty file, expected answers", code="E-EMPTY", path=path)
    if line.lstrip().startswith(("{", "[")):
        names = list(next(_of_json(path)).cells)
        if all(key in names for key in batch_results.KEYS):
            return AnswerFile(path, "batch", batch_results.COLUMNS)
        return AnswerFile(path, "jsonl", names)
    cells = line.split()
    if len(cells) == len(TREC_COLUMNS) and (ending in (".trec", ".run") or cells[1] == "Q0"):
        return AnswerFile(path, "trec", TREC_COLUMNS)
    delimiter = "\t" if ending == ".tsv" else max(_DELIMITERS, key=line.count)
    if line.count(delimiter) >= MAX_COLUMNS:
        message = f"over {MAX_COLUMNS:,} columns, expected the names of a few"
        raise InputError(message, code="E-HEADER", path=path, line=1)
    if "\r" in line:
        message = "a carriage return without line feed, expected LF or CRLF lines"
        raise InputError(message, code="E-EOL", path=path, line=1, hint="convert the line ends")
    try:
        header = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error as err:
        message = f"{err}, expected the names of columns"
        raise InputError(message, code="E-HEADER", path=path, line=1) from err
    names = column_names(path, [name.strip() for name in header], line=1)
    return AnswerFile(path, "table", names, delimiter)


def _of_json(path: Path) -> Iterator[Record]:
    for number, line in read_lines(path, cap=JSON_CAP):
        text = decoded(path, number, line)
        if text.strip():
            yield Record(number, _object(path, number, text))


def _of_batch(path: Path) -> Iterator[tuple[int, batch_results.Result]]:
    for number, record in _of_json(path):
        yield number, batch_results.read_result(path, number, record)


def _object(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        entry = json.loads(text, object_pairs_hook=distinct)
    except TwiceError as err:
        message = f"key {ascii(err.args[0])[:40]} twice, expected each key once"
        raise InputError(message, code="E-JSON-KEY", path=path, line=number) from err
    except (ValueError, RecursionError) as err:
        column = err.colno if isinstance(err, json.JSONDecodeError) else None
        message = "not JSON, expected an object per line"
        hint = "write one object per line, not an array" if text.lstrip().startswith("[") else ""
        raise InputError(
            message, code="E-JSON", path=path, line=number, column=column, hint=hint
        ) from err
    if not isinstance(entry, dict):
        message = f"a {type(entry).__name__}, expected an object per line"
        hint = "write one object per line, not an array"
        raise InputError(message, code="E-JSON", path=path, line=number, hint=hint)
    return entry


def _of_table(file: AnswerFile) -> Iterator[Record]:
    path, width = file.path, len(file.names)
    for number, row in _rows(file):
        if not any(row):
            continue
        if len(row) != width:
            raise InputError(
                f"{len(row)} cells, expected {width} as in the header",
                code="E-RAGGED",
                path=path,
                line=number,
                hint="the file may be cut, or a title holds the sign that separates the cells",
            )
        yield Record(number, dict(zip(file.names, row, strict=True)))


def _rows(file: AnswerFile) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header, with their first lines."""
    lines = read_lines(file.path, cap=JSON_CAP)
    texts = (decoded(file.path, *line) for line in lines)
    if file.delimiter == "\t":  # a quote in a title is a letter like any other
        for number, text in enumerate(texts, 1):
            if number > 1:
                yield number, [_unquoted(cell) for cell in text.split("\t")] if text else []
        return
    rows = csv.reader((f"{text}\n" for text in texts), delimiter=file.delimiter, strict=True)
    first = 1
    try:
        for row in rows:
            if first > 1:
                yield first, row
            first = rows.line_num + 1
    except csv.Error as err:
        message = f"{err}, expected quotes in pairs"
        raise InputError(message, code="E-CSV", path=file.path, line=first) from err


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        return cell[1:-1].replace('""', '"')
    return cell


def _of_trec(path: Path) -> Iterator[Record]:
    for number, line in read_lines(path):
        cells = decoded(path, number, line).split()
        if not cells:
            continue
        if len(cells) != len(TREC_COLUMNS):
            raise InputError(
                f"{len(cells)} fields, expected {len(TREC_COLUMNS)}: {' '.join(TREC_COLUMNS)}",
                code="E-RAGGED",
                path=path,
                line=number,
                hint="the file may be cut",
            )
        yield Record(number, dict(zip(TREC_COLUMNS, cells, strict=True)))


def _parquet_names(path: Path) -> list[str]:
    with at_rest(path), _told(path), opened(path) as file:
        return column_names(path, file.schema_arrow.names)


def _of_parquet(path: Path, wanted: list[str]) -> Iterator[Record]:
    number = 0
    with _told(path):
        for batch in bounded_batches(path, wanted, _BATCH_ROWS):
            for cells in batch.to_pylist():
                number += 1
                yield Record(number, {name: _whole(cell) for name, cell in cells.items()})


def _whole(cell: object) -> object:
    """A cell; whole numbers that a frame with gaps made float are whole numbers again."""
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        return int(cell) if cell.is_integer() else cell
    return cell


class _told:  # noqa: N801 - a context, used as a function
    """Tell what Arrow says of a file in one line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(err, FileNotFoundError):
            raise InputError("No such file", code="E-FILE", path=self._path) from err
        if isinstance(err, (pa.ArrowException, OSError, UnicodeDecodeError)) and not isinstance(
            err, InputError
        ):
            reason = str(err).partition("\n")[0][:120]
            message = f"E-PARQUET {self._path}: {reason}, expected a whole Parquet file"
            raise ArtifactError(message) from err
