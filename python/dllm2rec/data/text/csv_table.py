"""CSV files as columns of text: whole, UTF-8, rectangular, and able to say where a cell stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from dllm2rec import _core
from dllm2rec.data.text.blocks import TextBlock, check_text
from dllm2rec.data.text.files import BOM, MAX_COLUMNS, read_bytes, shown
from dllm2rec.errors import InputError


@dataclass(frozen=True, eq=False)
class CsvTable:
    """The text cells of a CSV file.

    Attributes:
        path: where it was read from.
        data: the inflated bytes, without a byte order mark.
        header: the names of all columns, in file order.
        columns: the text of the columns that were asked for, large_string (R,).
    """

    path: Path
    data: bytes
    header: list[str]
    columns: dict[str, pa.LargeStringArray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def fault(
        self, column: str, row: int, message: str, *, code: str, offset: int = 0, hint: str = ""
    ) -> InputError:
        """Return the error for one cell, with its line and byte column in the file.

        Args:
            column: name of the column.
            row: data row, from 0.
            message: what was found and what was expected.
            code: stable name of the rule.
            offset: byte of the cell where the fault begins, from 0.
            hint: what to do about it.
        """
        cell = self.columns[column][row].as_py().encode()
        token = re.match(rb"[^,\]\s]*", cell[offset:])
        shown = (token.group() if token else b"") or cell[offset:]
        start = _record_start(self.data, row + 1)
        line_end = self.data.find(b"\n", start)
        record = self.data[start : None if line_end < 0 else line_end]
        byte_offset = start + _field_start(record, self.header.index(column)) + offset
        return _located(self.path, self.data, byte_offset, message, code, hint, shown)


def read_csv(path: Path, columns: tuple[str, ...]) -> CsvTable:
    """Read some columns of a CSV file (RFC 4180, commas, a header, plain or gzipped) as text.

    Nothing is dropped or guessed: blank lines, short and long rows, broken text are refused.

    Raises:
        InputError: it cannot be read, is no such file, or lacks a column.
    """
    data = read_bytes(path)
    start = len(BOM) if data.startswith(BOM) else 0
    # Arrow sees to the quotes.
    check_text(TextBlock(path, data[start:], start), ",", quotes=False, is_log=False)
    body = data[start:].rstrip(b"\r\n")
    if not body:
        raise InputError("empty file, expected a header and rows", code="E-EMPTY", path=path)
    header = _header(path, body)
    _check_header(path, header, columns)
    table = _parse(path, body, len(header), columns)
    result = CsvTable(path, body, header, table)
    if not len(result):
        raise InputError("only a header, expected rows", code="E-EMPTY", path=path)
    return result


def find_csv(folder: Path, stem: str) -> Path | None:
    """Return `stem.csv` or `stem.csv.gz` of the folder, or None where neither is there.

    Raises:
        InputError: both are there.
    """
    found = [path for path in (folder / f"{stem}.csv", folder / f"{stem}.csv.gz") if path.exists()]
    if len(found) > 1:
        raise InputError(
            f"{found[0].name} and {found[1].name}, expected one of them",
            code="E-FILE",
            path=folder,
            hint="remove the one that is out of date",
        )
    return found[0] if found else None


def _header(path: Path, body: bytes) -> list[str]:
    line = body.split(b"\n", 1)[0].rstrip(b"\r")
    if line.count(b",") >= MAX_COLUMNS:
        message = f"over {MAX_COLUMNS:,} columns, expected the names of a few"
        raise InputError(message, code="E-HEADER", path=path, line=1)
    try:
        names: list[str] = csv.read_csv(pa.BufferReader(line + b"\n")).column_names
    except pa.ArrowInvalid as err:
        raise InputError(f"unreadable header ({err})", code="E-HEADER", path=path, line=1) from err
    return names


def _check_header(path: Path, header: list[str], columns: tuple[str, ...]) -> None:
    for name in columns:
        if header.count(name) > 1:
            raise InputError(f"two columns {name!r}", code="E-HEADER", path=path, line=1)
        if name not in header:
            near = difflib.get_close_matches(name, header[:1000], n=1)
            found = ", ".join(header[:120])
            raise InputError(
                f"no column {name!r} among {found[:120]!r}, expected {', '.join(columns)}",
                code="E-HEADER",
                path=path,
                line=1,
                hint=f"rename {near[0]!r}" if near else "the first line must name the columns",
            )


def _parse(
    path: Path, body: bytes, n_columns: int, columns: tuple[str, ...]
) -> dict[str, pa.LargeStringArray]:
    # Arrow takes memory for every cell before it misses or counts one too many.
    _check_rows(path, body, n_columns)
    try:
        table = csv.read_csv(
            pa.BufferReader(body + b"\n"),
            # One thread: rows are counted in messages, and no pool outlives a fork.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()),
                include_columns=list(columns),
            ),
        )
    except pa.ArrowInvalid as err:
        reason = str(err)[:120]
        raise InputError(f"unreadable CSV ({reason})", code="E-CSV", path=path) from err
    return {name: table.column(name).combine_chunks() for name in columns}


def _check_rows(path: Path, body: bytes, n_columns: int) -> None:
    """Refuse a quote that is never closed, and the first row of another width than the header."""
    if body.count(b'"') % 2:
        odd = (n for n, line in enumerate(_lines(body), 1) if line.count(b'"') % 2)
        message = "a quote that is never closed, expected pairs"
        raise InputError(message, code="E-QUOTE", path=path, line=next(odd))
    misfit = _core.first_misfit(body, b",", quotes=True, width=n_columns)
    if misfit is None:
        return
    start, end, n_cells, _ = misfit
    line = 1 + body.count(b"\n", 0, start)
    text = body[start:end].strip()
    if not text:
        message = "a blank line, expected a row"
        raise InputError(message, code="E-BLANK", path=path, line=line, hint="remove it")
    raise InputError(
        f"{n_cells} columns, expected {n_columns} as in the header",
        code="E-RAGGED",
        path=path,
        line=line,
        token=shown(text),
        hint="the file may be cut" if end == len(body) else "",
    )


def _lines(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end


def _record_start(data: bytes, record: int) -> int:
    """Return the byte where a record begins (0: the header); a quoted newline ends none."""
    start, _ = _core.row_start(data, record, quotes=True)
    return start or 0


def _field_start(record: bytes, index: int) -> int:
    """Return the byte where a field's text begins, after its opening quote."""
    position = 0
    field = re.compile(rb'"(?:[^"]|"")*"[^,]*|[^,]*')
    for _ in range(index):
        matched = field.match(record, position)
        position = (matched.end() if matched else position) + 1
    return position + (record[position : position + 1] == b'"')


def _located(
    path: Path,
    data: bytes,
    byte_offset: int,
    message: str,
    code: str,
    hint: str = "",
    token: bytes | None = None,
) -> InputError:
    line_start = data.rfind(b"\n", 0, byte_offset) + 1
    return InputError(
        message,
        code=code,
        path=path,
        line=1 + data.count(b"\n", 0, byte_offset),
        column=byte_offset - line_start + 1,
        byte_offset=byte_offset,
        token=None if token is None else shown(token),
        hint=hint,
    )
