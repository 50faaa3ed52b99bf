"""Blocks of delimited text parsed by Arrow, which is held to rules stricter than its own."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from pyarrow import csv

from dllm2rec import _core
from dllm2rec.data.logs.columns import NUMBER
from dllm2rec.data.logs.delimited_header import DelimitedLog, fields
from dllm2rec.data.text.blocks import TextBlock
from dllm2rec.data.text.files import MAX_COLUMNS
from dllm2rec.errors import InternalError

_ID = pa.dictionary(pa.int32(), pa.large_string())
_TEXT = pa.large_string()
# Everything that str.strip takes away and ASCII has, but for the ends of lines.
_SPACES = (b" ", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x1f")


def is_plain(data: bytes, delimiter: str) -> bool:
    """Whether all is ASCII and no white space is there but the delimiter and ends of lines."""
    return data.isascii() and not any(
        space in data for space in _SPACES if space != delimiter.encode()
    )


def parse(
    log: DelimitedLog,
    block: TextBlock,
    data: bytes,
    delimiter: str,
    numbers: dict[str, pa.DataType],
) -> pa.Table:
    """Parse a block: numbers at once where Arrow is as strict as we are, else as text.

    `data` is the block with a delimiter of one byte.

    Raises:
        InputError: a row has more or fewer cells than the header.
    """
    # Arrow takes memory for every cell before it misses or counts one too many.
    _check_widths(log, block)
    try:
        loose = _is_loose(data, delimiter)
        return _converted(log, data, delimiter, {} if loose else numbers)
    except pa.ArrowInvalid:
        pass
    try:
        return _converted(log, data, delimiter, {})
    except pa.ArrowInvalid as err:
        reason = str(err).partition("\n")[0][:120]
        raise InternalError(
            f"{log.path}: rows that pass our checks and not Arrow's: {reason}"
        ) from err


def _is_loose(data: bytes, delimiter: str) -> bool:
    """Whether a number may be there that Arrow reads and we do not: ` 5`, `0x10`."""
    return not is_plain(data, delimiter) or any(_has_hexadecimal(data, x) for x in (b"x", b"X"))


def _has_hexadecimal(data: bytes, letter: bytes) -> bool:
    """Whether a `0x` may begin a number: no letter or digit stands before it."""
    if letter not in data:
        return False
    text = np.frombuffer(b"\n\n" + data, dtype=np.uint8)
    places = np.flatnonzero(text == letter[0])
    before = text[places[text[places - 1] == ord("0")] - 2]
    return any(not chr(byte).isalnum() for byte in np.unique(before))


def number_types(log: DelimitedLog, block: TextBlock) -> dict[str, pa.DataType]:
    """Guess from the first row of a block which columns hold numbers."""
    start, _ = _core.row_start(block.data, 1, log.quotes)
    row = block.data if start is None else block.data[:start]
    if row.count(log.delimiter.encode()) > MAX_COLUMNS:
        return {}
    cells = dict(zip(log.header, fields(row, log.delimiter, quotes=log.quotes), strict=False))
    found = {}
    time, rating = (cells.get(log.roles.get(role, ""), "") for role in ("time", "rating"))
    if log.form.time_format is not None:
        pass  # text, whatever it looks like
    elif re.match(r"-?[0-9]{1,19}$", time):
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
    delimiter, n_fields = log.delimiter.encode(), len(log.header)
    misfit = _core.first_misfit(block.data, delimiter, log.quotes, n_fields)
    if misfit is None:
        return
    start, end, n_cells, extra = misfit
    if start == end:
        raise block.blank(start)
    place = extra + len(delimiter) if n_cells > n_fields else end
    message = f"{n_cells} columns, expected {n_fields} ({', '.join(log.header[:20])[:60]})"
    raise block.fault(place, message, "E-RAGGED", "a row may be cut, or hold an unquoted delimiter")
