"""CSV, TSV and their like as chunks of a log.

Arrow parses and converts; what it would let through (quotes inside a field, white space around
numbers, hexadecimal) is found in the bytes beforehand, and where a row is at fault the block is
looked at again to say where. A blank line is a row of empty cells to Arrow, so that its user is
missing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from dllm2rec.data.interactions import Columns
from dllm2rec.data.log_columns import NUMBER, Chunk, roles_of
from dllm2rec.data.text_blocks import (
    Int64Vector,
    TextBlock,
    fault_at,
    record_starts,
    separators,
    shown,
    text_blocks,
)
from dllm2rec.errors import ConfigError, InputError, InternalError

_ID = pa.dictionary(pa.int32(), pa.large_string())
_TEXT = pa.large_string()
# Everything that str.strip takes away and ASCII has, but for the ends of lines.
_SPACES = (b" ", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_OTHER_DELIMITERS = ",\t;|"


@dataclass(frozen=True)
class DelimitedLog:
    """What the first line of a file says.

    Attributes:
        path: the file.
        delimiter: one character.
        header: the names of all columns.
        roles: role -> name of its column.
    """

    path: Path
    delimiter: str
    header: list[str]
    roles: dict[str, str]

    def fault(self, record: int, role: str, message: str, code: str, hint: str) -> InputError:
        """Return the error for a cell; `record` counts from 0, the header."""
        field, done = self.header.index(self.roles[role]), 0
        for block in text_blocks(self.path, self.delimiter):
            starts = record_starts(block.data)
            if record < done + starts.size:
                begin, end = _cell(block, starts, record - done, field, self.delimiter)
                if _is_blank(block, starts, record - done):
                    return block.blank(int(starts[record - done]))
                return fault_at(
                    self.path,
                    block.offset + begin,
                    message,
                    code=code,
                    hint=hint,
                    token=shown(block.data[begin:end]),
                )
            done += starts.size
        raise InternalError(f"{self.path}: record {record} of {done} is at fault")


def read_delimited(path: Path, columns: Columns, delimiter: str) -> Iterator[Chunk]:
    """Yield the chunks of a delimited file with a header (RFC 4180, any one-byte delimiter).

    Raises:
        InputError: the file breaks a rule; the message names line and column.
        ConfigError: the delimiter is none.
    """
    if (
        len(delimiter) != 1
        or not delimiter.isascii()
        or delimiter in '"\r\n\0'
        or delimiter.isalnum()
    ):
        raise ConfigError(f"delimiter {delimiter!r}, expected one ASCII character such as ','")
    log, done = None, 1
    for block in text_blocks(path, delimiter):
        body = block
        if log is None:
            log, body = _opened(block, columns, delimiter)
            if not body.data:
                continue
        table = _parse(log, body)
        first = 0
        for batch in table.to_batches():
            chunk = _chunk(log, batch, done + first, plain=_is_plain(body.data, delimiter))
            first += batch.num_rows
            yield chunk
        done += first
    if log is None:
        raise InputError("empty file, expected a header and rows", code="E-EMPTY", path=path)
    if done == 1:
        raise InputError("only a header, expected rows", code="E-EMPTY", path=path)


def _chunk(log: DelimitedLog, batch: pa.RecordBatch, first: int, *, plain: bool) -> Chunk:
    def fault(row: int, role: str, message: str, code: str, hint: str) -> InputError:
        return log.fault(first + row, role, message, code, hint)

    cells = {role: batch.column(name) for role, name in log.roles.items()}
    return Chunk(cells, fault, plain)


def _opened(block: TextBlock, columns: Columns, delimiter: str) -> tuple[DelimitedLog, TextBlock]:
    starts = record_starts(block.data)
    end = int(starts[1]) if starts.size > 1 else len(block.data)
    if _is_blank(block, starts, 0):
        raise block.blank(0)
    header = _fields(block.data[:end], delimiter)
    _check_header(block.path, header, columns, delimiter)
    roles = roles_of(header, columns, block.path, line=1)
    rest = TextBlock(block.path, block.data[end:], block.offset + end)
    return DelimitedLog(block.path, delimiter, header, roles), rest


def _fields(record: bytes, delimiter: str) -> list[str]:
    line = record.rstrip(b"\r\n")
    places = [-1, *(int(place) for place in separators(line, delimiter)), len(line)]
    cells = [line[a + 1 : b] for a, b in itertools.pairwise(places)]
    return [
        cell[1:-1].replace(b'""', b'"').decode() if cell[:1] == b'"' else cell.decode()
        for cell in cells
    ]


def _check_header(path: Path, header: list[str], columns: Columns, delimiter: str) -> None:
    if columns.user in header and columns.item in header:
        return
    other = next((d for d in _OTHER_DELIMITERS if d != delimiter and d in "".join(header)), None)
    if len(header) == 1 and other is not None:
        raise InputError(
            f"one column {header[0][:60]!r}, expected columns separated by {delimiter!r}",
            code="E-DELIM",
            path=path,
            line=1,
            column=1,
            hint=f"say --delimiter {other!r}",
        )
    if any(re.match(NUMBER, name) for name in header):
        raise InputError(
            f"first row looks like data ({', '.join(header)[:60]!r}), expected the columns' names",
            code="E-HEADER",
            path=path,
            line=1,
            column=1,
            hint=f"add a first line such as {columns.user}{delimiter}{columns.item}",
        )


def _is_plain(data: bytes, delimiter: str) -> bool:
    return data.isascii() and not any(
        space in data for space in _SPACES if space != delimiter.encode()
    )


def _parse(log: DelimitedLog, block: TextBlock) -> pa.Table:
    """Parse a block: numbers at once where Arrow is as strict as we are, else as text."""
    numbers = {} if _is_loose(block.data, log.delimiter) else _numbers(log, block)
    try:
        return _converted(log, block, numbers)
    except pa.ArrowInvalid:
        pass
    _check_widths(log, block)
    try:
        return _converted(log, block, {})
    except pa.ArrowInvalid as err:
        reason = str(err).partition("\n")[0][:120]
        raise InternalError(
            f"{log.path}: rows that pass our checks and not Arrow's: {reason}"
        ) from err


def _is_loose(data: bytes, delimiter: str) -> bool:
    """Whether a number may be there that Arrow reads and we do not: ` 5`, `0x10`."""
    return not _is_plain(data, delimiter) or any(_has_hexadecimal(data, x) for x in (b"x", b"X"))


def _has_hexadecimal(data: bytes, letter: bytes) -> bool:
    """Whether a `0x` may begin a number: no letter or digit stands before it."""
    if letter not in data:
        return False
    text = np.frombuffer(b"\n\n" + data, dtype=np.uint8)
    places = np.flatnonzero(text == letter[0])
    before = text[places[text[places - 1] == ord("0")] - 2]
    return any(not chr(byte).isalnum() for byte in np.unique(before))


def _numbers(log: DelimitedLog, block: TextBlock) -> dict[str, pa.DataType]:
    """Guess from the first row which columns hold numbers."""
    starts = record_starts(block.data[: 1 << 16])
    end = int(starts[1]) if starts.size > 1 else len(block.data)
    cells = dict(zip(log.header, _fields(block.data[:end], log.delimiter), strict=False))
    found = {}
    time, rating = (cells.get(log.roles.get(role, ""), "") for role in ("time", "rating"))
    if re.match(r"-?[0-9]{1,19}$", time):
        found["time"] = pa.int64()
    elif re.match(NUMBER, time):
        found["time"] = pa.float64()
    if re.match(NUMBER, rating):
        found["rating"] = pa.float32()
    return found


def _converted(log: DelimitedLog, block: TextBlock, numbers: dict[str, pa.DataType]) -> pa.Table:
    types = {
        name: numbers.get(role, _TEXT if role in ("time", "rating") else _ID)
        for role, name in log.roles.items()
    }
    quoted = block.quoted
    return csv.read_csv(
        pa.BufferReader(block.data),
        # Two parts at a time are parsed by Arrow's threads; the order of rows is the file's.
        read_options=csv.ReadOptions(
            column_names=log.header, block_size=max(len(block.data) // 2 + 1, 1 << 12)
        ),
        parse_options=csv.ParseOptions(
            delimiter=log.delimiter,
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
            ignore_empty_lines=False,
        ),
        convert_options=csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[],
            strings_can_be_null=False,
            check_utf8=False,  # checked with the block
        ),
    )


def _check_widths(log: DelimitedLog, block: TextBlock) -> None:
    """Refuse the first row with more or fewer fields than the header."""
    data, n_fields = block.data, len(log.header)
    starts = record_starts(data)
    places = separators(data, log.delimiter)
    before = np.searchsorted(places, starts)
    counts = np.diff(before, append=places.size) + 1
    bad = counts != n_fields
    if not bad.any():
        return
    record = int(bad.argmax())
    if _is_blank(block, starts, record):
        raise block.blank(int(starts[record]))
    end = int(starts[record + 1]) if record + 1 < starts.size else len(data)
    if counts[record] > n_fields:
        place = int(places[before[record] + n_fields - 1]) + 1
    else:
        place = int(starts[record]) + len(data[starts[record] : end].rstrip(b"\r\n"))
    message = f"{counts[record]} columns, expected {n_fields} as in the header"
    raise block.fault(place, message, "E-RAGGED", "a row may be cut, or hold an unquoted delimiter")


def _is_blank(block: TextBlock, starts: Int64Vector, record: int) -> bool:
    return block.data[starts[record] : starts[record] + 1] in (b"\r", b"\n")


def _cell(
    block: TextBlock, starts: Int64Vector, record: int, field: int, delimiter: str
) -> tuple[int, int]:
    """Return where a cell's text begins, behind an opening quote, and where it ends."""
    begin = int(starts[record])
    end = int(starts[record + 1]) if record + 1 < starts.size else len(block.data)
    line = block.data[begin:end].rstrip(b"\r\n")
    places = [-1, *(int(place) for place in separators(line, delimiter)), len(line)]
    first, last = places[field] + 1, places[field + 1]
    quoted = int(line[first : first + 1] == b'"')
    return begin + first + quoted, begin + last - quoted
