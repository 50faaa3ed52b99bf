"""CSV, TSV and their like as chunks of a log.

A kernel splits blocks without anything rare in them. The others are parsed and converted by Arrow;
what it would let through (quotes inside a field, white space around numbers, hexadecimal) is found
in the bytes beforehand, and where a row is at fault the block is looked at again to say where. A
blank line is a row of empty cells to Arrow, so that its user is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from dllm2rec import _core
from dllm2rec.data.interactions import Columns
from dllm2rec.data.log_codes import texts_of
from dllm2rec.data.log_columns import NUMBER, REQUIRED, Chunk, SplitIds, roles_of
from dllm2rec.data.text_blocks import (
    RECORD_CAP,
    Int64Vector,
    TextBlock,
    check_text,
    fault_at,
    record_starts,
    separators,
    shown,
    text_blocks,
    unchecked_blocks,
)
from dllm2rec.errors import ConfigError, InputError, InternalError

_ID = pa.dictionary(pa.int32(), pa.large_string())
_TEXT = pa.large_string()
# Everything that str.strip takes away and ASCII has, but for the ends of lines.
_SPACES = (b" ", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_OTHER_DELIMITERS = ",\t;|"
_COLONS = "::"  # of MovieLens
_KERNEL_KINDS = {pa.int64(): "int", pa.float32(): "float"}


@dataclass(frozen=True)
class DelimitedLog:
    """What the first line of a file says, or who named its columns.

    Attributes:
        path: the file.
        delimiter: one character, or `::`.
        header: the names of all columns.
        roles: role -> name of its column.
        quotes: whether a quote means anything.
    """

    path: Path
    delimiter: str
    header: list[str]
    roles: dict[str, str]
    quotes: bool

    def fault(self, record: int, role: str, message: str, code: str, hint: str) -> InputError:
        """Return the error for a cell; `record` counts from 0, the header."""
        field, done = self.header.index(self.roles[role]), 0
        for block in text_blocks(self.path, self.delimiter, quotes=self.quotes):
            starts = record_starts(block.data, quotes=self.quotes)
            if record < done + starts.size:
                begin, end = _cell(self, block, starts, record - done, field)
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


def read_delimited(
    path: Path,
    columns: Columns,
    delimiter: str,
    *,
    names: tuple[str, ...] | None = None,
    with_kernel: bool = True,
) -> Iterator[Chunk]:
    """Yield the chunks of a delimited file (RFC 4180, any one-byte delimiter, or `::`).

    Args:
        path: the file.
        columns: how its columns are called.
        delimiter: what stands between columns; with `::` a quote means nothing.
        names: of all columns, where the file has no header; then a quote means nothing.
        with_kernel: let the kernel take what it can, ids as strings.

    Raises:
        InputError: the file breaks a rule; the message names line and column.
        ConfigError: the delimiter is none.
    """
    if delimiter != _COLONS and (
        len(delimiter) != 1
        or not delimiter.isascii()
        or delimiter in '"\r\n\0'
        or delimiter.isalnum()
    ):
        raise ConfigError(
            f"delimiter {delimiter!r}, expected one ASCII character such as ',', or '::'"
        )
    quotes, log = names is None and delimiter != _COLONS, None
    if names is not None:
        roles = roles_of(names, columns, path, line=None)
        log = DelimitedLog(path, delimiter, list(names), roles, quotes)
    done = first_record = 0 if log else 1
    for block in unchecked_blocks(path, delimiter, quotes=quotes):
        body = block
        if log is None:
            check_text(block, delimiter, quotes=quotes)
            log, body = _opened(block, columns, delimiter, quotes=quotes)
            if not body.data:
                continue
        for chunk, n_rows in _chunks(log, body, done, with_kernel=with_kernel):
            done += n_rows
            yield chunk
    if log is None or done == 0:
        raise InputError("empty file, expected rows", code="E-EMPTY", path=path)
    if done == first_record:
        raise InputError("only a header, expected rows", code="E-EMPTY", path=path)


def _chunks(
    log: DelimitedLog, block: TextBlock, done: int, *, with_kernel: bool
) -> Iterator[tuple[Chunk, int]]:
    """Yield the chunks of a block and how many rows each has; `done` records are before it."""
    data, delimiter, numbers = block.data, log.delimiter, _numbers(log, block)
    tab = -1
    if delimiter == _COLONS:
        # Delimiters have one byte to Arrow and the kernel: a tab stands in, if there is none.
        tab, delimiter = data.find(b"\t"), "\t"
        data = data.replace(b"::", b"\t")
    if with_kernel and tab < 0 and (split := _split(log, data, delimiter, numbers)) is not None:
        ids, cells = split
        fault = partial(_fault, log, done)
        yield Chunk(cells, fault, plain=True, ids=ids), len(ids.block)
        return
    check_text(block, log.delimiter, quotes=log.quotes)
    if tab >= 0:
        raise block.fault(tab, "a tab, expected columns between '::'", "E-DELIM")
    plain = _is_plain(data, delimiter)
    for batch in _parse(log, block, data, delimiter, numbers).to_batches():
        cells = {role: batch.column(name) for role, name in log.roles.items()}
        yield Chunk(cells, partial(_fault, log, done), plain), batch.num_rows
        done += batch.num_rows


def _fault(
    log: DelimitedLog, first: int, row: int, role: str, message: str, code: str, hint: str
) -> InputError:
    return log.fault(first + row, role, message, code, hint)


def _split(
    log: DelimitedLog, data: bytes, delimiter: str, numbers: dict[str, pa.DataType]
) -> tuple[SplitIds, dict[str, pa.Array]] | None:
    """Let the kernel split a block; None where it leaves it alone."""
    fields = {role: log.header.index(name) for role, name in log.roles.items()}
    kinds = ["skip"] * len(log.header)
    for role, field in fields.items():
        kind = "id" if role in REQUIRED else _KERNEL_KINDS.get(numbers.get(role), "text")
        if kinds[field] not in ("skip", kind):
            return None  # one column in two roles
        kinds[field] = kind
    block = _core.split_rows(data, ord(delimiter), kinds)
    if block is None:
        return None
    read = [field for field, kind in enumerate(kinds) if kind != "skip"]
    place = {role: read.index(field) for role, field in fields.items()}
    cells = {}
    for role in fields.keys() - set(REQUIRED):
        kind = kinds[fields[role]]
        if kind == "text":
            cells[role] = texts_of(*block.texts(place[role]))
        else:
            cells[role] = pa.array((block.ints if kind == "int" else block.floats)(place[role]))
    return SplitIds(block, place["user"], place["item"]), cells


def _opened(
    block: TextBlock, columns: Columns, delimiter: str, *, quotes: bool
) -> tuple[DelimitedLog, TextBlock]:
    starts = record_starts(block.data[:RECORD_CAP], quotes=quotes)
    end = int(starts[1]) if starts.size > 1 else len(block.data)
    if _is_blank(block, starts, 0):
        raise block.blank(0)
    header = _fields(block.data[:end], delimiter, quotes=quotes)
    _check_header(block.path, header, columns, delimiter)
    roles = roles_of(header, columns, block.path, line=1)
    rest = TextBlock(block.path, block.data[end:], block.offset + end)
    return DelimitedLog(block.path, delimiter, header, roles, quotes), rest


def _fields(record: bytes, delimiter: str, *, quotes: bool) -> list[str]:
    line = record.rstrip(b"\r\n")
    cells = [line[a:b] for a, b in _bounds(line, delimiter, quotes=quotes)]
    return [
        (cell[1:-1].replace(b'""', b'"') if quotes and cell[:1] == b'"' else cell).decode(
            "utf-8", "replace"
        )
        for cell in cells
    ]


def _bounds(line: bytes, delimiter: str, *, quotes: bool) -> list[tuple[int, int]]:
    """Return where each cell of a line begins and ends."""
    ends = separators(line, delimiter, quotes=quotes).tolist()
    begins = [0, *(end + len(delimiter) for end in ends)]
    return list(zip(begins, [*ends, len(line)], strict=True))


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


def _parse(
    log: DelimitedLog,
    block: TextBlock,
    data: bytes,
    delimiter: str,
    numbers: dict[str, pa.DataType],
) -> pa.Table:
    """Parse a block: numbers at once where Arrow is as strict as we are, else as text.

    `data` is the block with a delimiter of one byte.
    """
    try:
        loose = _is_loose(data, delimiter)
        return _converted(log, data, delimiter, {} if loose else numbers)
    except pa.ArrowInvalid:
        pass
    _check_widths(log, block)
    try:
        return _converted(log, data, delimiter, {})
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
    """Guess from the first row of a block which columns hold numbers."""
    starts = record_starts(block.data[: 1 << 16], quotes=log.quotes)
    end = int(starts[1]) if starts.size > 1 else len(block.data)
    fields = _fields(block.data[:end], log.delimiter, quotes=log.quotes)
    cells = dict(zip(log.header, fields, strict=False))
    found = {}
    time, rating = (cells.get(log.roles.get(role, ""), "") for role in ("time", "rating"))
    if re.match(r"-?[0-9]{1,19}$", time):
        found["time"] = pa.int64()
    elif re.match(NUMBER, time):
        found["time"] = pa.float64()
    if re.match(NUMBER, rating):
        found["rating"] = pa.float32()
    return found


def _converted(
    log: DelimitedLog, data: bytes, delimiter: str, numbers: dict[str, pa.DataType]
) -> pa.Table:
    types = {
        name: numbers.get(role, _TEXT if role in ("time", "rating") else _ID)
        for role, name in log.roles.items()
    }
    quoted = log.quotes and b'"' in data
    return csv.read_csv(
        pa.BufferReader(data),
        # Two parts at a time are parsed by Arrow's threads; the order of rows is the file's.
        read_options=csv.ReadOptions(
            column_names=log.header, block_size=max(len(data) // 2 + 1, 1 << 12)
        ),
        parse_options=csv.ParseOptions(
            delimiter=delimiter,
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
    starts = record_starts(data, quotes=log.quotes)
    places = separators(data, log.delimiter, quotes=log.quotes)
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
        place = int(places[before[record] + n_fields - 1]) + len(log.delimiter)
    else:
        place = int(starts[record]) + len(data[starts[record] : end].rstrip(b"\r\n"))
    message = f"{counts[record]} columns, expected {n_fields} ({', '.join(log.header)[:60]})"
    raise block.fault(place, message, "E-RAGGED", "a row may be cut, or hold an unquoted delimiter")


def _is_blank(block: TextBlock, starts: Int64Vector, record: int) -> bool:
    return block.data[starts[record] : starts[record] + 1] in (b"\r", b"\n")


def _cell(
    log: DelimitedLog, block: TextBlock, starts: Int64Vector, record: int, field: int
) -> tuple[int, int]:
    """Return where a cell's text begins, behind an opening quote, and where it ends."""
    begin = int(starts[record])
    end = int(starts[record + 1]) if record + 1 < starts.size else len(block.data)
    line = block.data[begin:end].rstrip(b"\r\n")
    first, last = _bounds(line, log.delimiter, quotes=log.quotes)[field]
    quoted = int(log.quotes and line[first : first + 1] == b'"')
    return begin + first + quoted, begin + last - quoted
