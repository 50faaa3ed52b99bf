"""CSV files as columns of text: whole, UTF-8, rectangular, and able to say where a cell stands."""

from __future__ import annotations

import difflib
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from dllm2rec.errors import InputError

# A gzip file may inflate to 100 times its size, or to 32 MiB, whichever is more: real rows stay
# below 20:1, and a bomb is refused before it costs memory.
INFLATED_RATIO = 100
INFLATED_FLOOR = 32 * 2**20
_CHUNK = 1 << 20
_TOKEN_SHOWN = 40

_FOREIGN_CONTENT: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x80[\x02-\x05]", "a Python pickle", "never loaded, as it may run code; save it as CSV"),
    (rb"PAR1", "a Parquet file", "save it as CSV"),
    (rb"PK\x03\x04", "a zip archive", "unpack it"),
    (rb"BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd", "compressed in an unsupported way", "use gzip"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text", "save it again as UTF-8"),
    (rb"version https://git-lfs", "a Git LFS pointer", "run git lfs pull"),
    (rb"(?i)\s*<(!doctype|html)", "an HTML page", "download the file itself"),
)


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
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    _check_text(path, data)
    body = data.rstrip(b"\r\n")
    if not body:
        raise InputError("empty file, expected a header and rows", code="E-EMPTY", path=path)
    header = _header(path, body)
    _check_header(path, header, columns)
    table = _parse(path, body, columns)
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
            hint="remove the one that is not meant",
        )
    return found[0] if found else None


def read_bytes(path: Path) -> bytes:
    """Return a regular file's bytes, inflated where they begin like gzip.

    Raises:
        InputError: it cannot be read, is cut, inflates absurdly, or is another kind of file.
    """
    if path.exists() and not path.is_file():
        raise InputError("not a regular file, expected one", code="E-FILE", path=path)
    try:
        data = path.read_bytes()
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise InputError(f"{reason}, expected a readable file", code="E-FILE", path=path) from err
    if data.startswith(b"\x1f\x8b"):
        data = _inflate(path, data)
    for magic, what, hint in _FOREIGN_CONTENT:
        if re.match(magic, data[:64]):
            raise InputError(f"{what}, expected CSV", code="E-CONTENT", path=path, hint=hint)
    return data


def _inflate(path: Path, data: bytes) -> bytes:
    limit = max(INFLATED_FLOOR, INFLATED_RATIO * len(data))
    inflated = io.BytesIO()
    try:
        while data:  # one turn per gzip member
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                chunk = member.decompress(data, _CHUNK)
                data = member.unconsumed_tail
                if not chunk and not data and not member.eof:
                    raise InputError(
                        "the gzip stream ends early, expected a whole file",
                        code="E-TRUNC",
                        path=path,
                        hint="copy the file again",
                    )
                if inflated.tell() + len(chunk) > limit:
                    raise InputError(
                        f"inflates to more than {limit} bytes, expected at most that",
                        code="E-BOMB",
                        path=path,
                        hint="if the file is meant, inflate it beforehand",
                    )
                inflated.write(chunk)
            data = member.unused_data.lstrip(b"\0")
    except zlib.error as err:
        raise InputError(f"broken gzip stream ({err})", code="E-TRUNC", path=path) from err
    return inflated.getvalue()


def _check_text(path: Path, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as err:
        byte = data[err.start]
        message = f"byte 0x{byte:02x} is no UTF-8, expected UTF-8 text"
        raise _located(path, data, err.start, message, "E-ENC", "save the file as UTF-8") from err
    nul = data.find(b"\0")
    if nul >= 0:
        raise _located(path, data, nul, "a NUL byte, expected text", "E-NUL", "write it again")
    lone_return = re.search(rb"\r(?!\n)", data)
    if lone_return:
        message = "a carriage return without line feed, expected LF or CRLF lines"
        raise _located(path, data, lone_return.start(), message, "E-EOL", "convert the line ends")


def _header(path: Path, body: bytes) -> list[str]:
    line = body.split(b"\n", 1)[0].rstrip(b"\r")
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
            near = difflib.get_close_matches(name, header, n=1)
            found = ", ".join(header)
            raise InputError(
                f"no column {name!r} among {found[:120]!r}, expected {', '.join(columns)}",
                code="E-HEADER",
                path=path,
                line=1,
                hint=f"rename {near[0]!r}" if near else "the first line must name the columns",
            )


def _parse(path: Path, body: bytes, columns: tuple[str, ...]) -> dict[str, pa.LargeStringArray]:
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
        raise _parse_error(path, body, str(err)) from err
    return {name: table.column(name).combine_chunks() for name in columns}


def _parse_error(path: Path, body: bytes, reason: str) -> InputError:
    lines = body.split(b"\n")
    if body.count(b'"') % 2:
        line = next(n for n, text in enumerate(lines, 1) if text.count(b'"') % 2)
        return InputError(
            "a quote that is never closed, expected pairs", code="E-QUOTE", path=path, line=line
        )
    found = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", reason)
    if not found:
        return InputError(f"unreadable CSV ({reason[:120]})", code="E-CSV", path=path)
    record, expected, got = (int(number) for number in found.groups())
    line = 1 + body.count(b"\n", 0, _record_start(body, record - 1))
    text = lines[line - 1].strip()
    if not text:
        return InputError(
            "a blank line, expected a row", code="E-BLANK", path=path, line=line, hint="remove it"
        )
    return InputError(
        f"{got} columns, expected {expected} as in the header",
        code="E-RAGGED",
        path=path,
        line=line,
        token=_shown(text),
        hint="the file may be cut" if line == len(lines) else "",
    )


def _record_start(data: bytes, record: int) -> int:
    """Return the byte where a record begins (0: the header); a quoted newline ends none."""
    text = np.frombuffer(data, dtype=np.uint8)
    outside = np.cumsum(text == ord('"')) % 2 == 0
    ends = np.flatnonzero((text == ord("\n")) & outside)
    return int(ends[record - 1]) + 1 if 0 < record <= ends.size else 0


def _field_start(record: bytes, index: int) -> int:
    """Return the byte where a field's text begins, after its opening quote."""
    position = 0
    field = re.compile(rb'"(?:[^"]|"")*"[^,]*|[^,]*')
    for _ in range(index):
        matched = field.match(record, position)
        position = (matched.end() if matched else position) + 1
    return position + (record[position : position + 1] == b'"')


def _shown(token: bytes) -> str:
    text = token.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
    return text if len(text) <= _TOKEN_SHOWN else text[: _TOKEN_SHOWN - 3] + "..."


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
        token=None if token is None else _shown(token),
        hint=hint,
    )
