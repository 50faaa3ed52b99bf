"""What the columns of a Parquet file take, by its footer, read here and not by `pyarrow`.

`pyarrow` tells the same numbers, but its `RowGroupMetaData.column` lets an exception of C++ pass
that nothing catches: statistics that are damaged or forged would end the process. The footer is a
Thrift struct in the compact form; what is not asked for is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dllm2rec.errors import ArtifactError

_TAIL = 8  # bytes at the end: the footer's length, and "PAR1"
_LARGEST = 1 << 24  # bytes of a footer; about 140,000 columns of row groups
_DEEPEST = 16  # structs and lists within each other; a sound footer has 6
_LONGEST_VARINT = 10  # bytes
# Kinds of values in Thrift's compact form, and the identifiers of the fields that are read.
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY = 1, 2, 3, (4, 5, 6), 7, 8
_LIST, _SET, _MAP, _STRUCT = 9, 10, 11, 12
_FILE_ROW_GROUPS = (4, _LIST)
_GROUP_COLUMNS, _GROUP_BYTES, _GROUP_ROWS = (1, _LIST), (2, 6), (3, 6)
_CHUNK_METADATA = (3, _STRUCT)
_COLUMN_VALUES, _COLUMN_BYTES = (5, 6), (6, 6)


class ColumnChunk(NamedTuple):
    """One column in one row group.

    Attributes:
        n_values: how many values it has; a list of five has five.
        n_bytes: what its pages take once they are inflated.
    """

    n_values: int
    n_bytes: int


class RowGroup(NamedTuple):
    """Some rows of a file: how many, what all their columns take inflated, and each column.

    Columns are in the order of the schema's leaves.
    """

    n_rows: int
    n_bytes: int
    columns: tuple[ColumnChunk, ...]


def row_groups(path: Path, n_columns: int) -> list[RowGroup]:
    """Read the footer of a Parquet file.

    Args:
        path: the file.
        n_columns: how many leaves its schema has.

    Raises:
        ArtifactError: the footer is damaged, too large, or does not say what each column takes.
        OSError: the file cannot be read.
    """
    try:
        groups = _row_groups(_Cursor(_footer(path)))
        if any(len(group.columns) != n_columns for group in groups):
            raise ValueError("a row group without some of the columns")
        return groups
    except (ValueError, IndexError) as err:  # IndexError: a struct that does not end
        message = f"a footer that is damaged ({err}), expected a whole Parquet file"
        raise ArtifactError(f"E-PARQUET {path}: {message}") from None


def _footer(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or length > size - _TAIL:
            raise ValueError("it is not where the end of the file says")
        if length > _LARGEST:
            message = f"a footer of {length:,} bytes, expected at most {_LARGEST:,}"
            cure = "write the file with larger row groups, or without statistics"
            raise ArtifactError(f"E-PARQUET {path}: {message}. hint: {cure}")
        file.seek(size - _TAIL - length)
        return file.read(length)


@dataclass
class _Cursor:
    """A place in a struct in Thrift's compact form."""

    data: bytes
    at: int = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = 0
        for place in range(_LONGEST_VARINT):
            byte = self.byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise ValueError("a number of over 64 bits")

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self.varint()
        self.at += length
        if self.at > len(self.data):
            raise ValueError("a text that is cut off")
        return self.data[self.at - length : self.at]

    def fields(self) -> Iterator[tuple[int, int]]:
        """The identifier and kind of each field; whoever asks reads or skips its value."""
        identifier = 0
        while head := self.byte():
            step = head >> 4
            identifier = identifier + step if step else self.integer()
            yield identifier, head & 15

    def elements(self) -> tuple[int, int]:
        """How many values a list has, and their kind."""
        head = self.byte()
        n_values = head >> 4 if head >> 4 < 15 else self.varint()
        if n_values > len(self.data) - self.at:  # each takes a byte or more
            raise ValueError("a list that is cut off")
        return n_values, head & 15

    def structs(self) -> Iterator[None]:
        """Stand at each struct of a list; whoever asks reads it."""
        n_values, kind = self.elements()
        if kind != _STRUCT and n_values:
            raise ValueError("a list of another kind")
        for _ in range(n_values):
            yield

    def skip(self, kind: int, depth: int = 0) -> None:
        """Go behind a value of a struct."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (_LIST, _SET):
            n_values, inner = self.elements()
            for _ in range(n_values):
                self.skip_element(inner, depth + 1)
        elif kind == _MAP:
            n_values = self.varint()
            kinds = self.byte() if n_values else 0
            for _ in range(n_values):
                self.skip_element(kinds >> 4, depth + 1)
                self.skip_element(kinds & 15, depth + 1)
        elif kind in _INTEGERS:
            self.varint()
        elif kind == _BINARY:
            self.binary()
        elif kind in (_BYTE, _DOUBLE):
            self.at += 8 if kind == _DOUBLE else 1
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(f"a value of no kind, {kind}")

    def skip_element(self, kind: int, depth: int) -> None:
        """As `skip`, but a truth value in a list takes a byte; in a field the kind says it."""
        self.skip(_BYTE if kind in (_TRUE, _FALSE) else kind, depth)


def _row_groups(cursor: _Cursor) -> list[RowGroup]:
    groups: list[RowGroup] = []
    for field in cursor.fields():
        if field == _FILE_ROW_GROUPS:
            groups = [_row_group(cursor) for _ in cursor.structs()]
        else:
            cursor.skip(field[1])
    return groups


def _row_group(cursor: _Cursor) -> RowGroup:
    n_rows = n_bytes = 0
    columns: tuple[ColumnChunk, ...] = ()
    for field in cursor.fields():
        if field == _GROUP_COLUMNS:
            columns = tuple(_column_chunk(cursor) for _ in cursor.structs())
        elif field == _GROUP_BYTES:
            n_bytes = _count(cursor)
        elif field == _GROUP_ROWS:
            n_rows = _count(cursor)
        else:
            cursor.skip(field[1])
    return RowGroup(n_rows, n_bytes, columns)


def _column_chunk(cursor: _Cursor) -> ColumnChunk:
    found = None
    for field in cursor.fields():
        if field == _CHUNK_METADATA:
            found = _column_metadata(cursor)
        else:
            cursor.skip(field[1])
    if found is None:
        raise ValueError("a column without its numbers, as where it is encrypted")
    return found


def _column_metadata(cursor: _Cursor) -> ColumnChunk:
    n_values = n_bytes = 0
    for field in cursor.fields():
        if field == _COLUMN_VALUES:
            n_values = _count(cursor)
        elif field == _COLUMN_BYTES:
            n_bytes = _count(cursor)
        else:
            cursor.skip(field[1])
    return ColumnChunk(n_values, n_bytes)


def _count(cursor: _Cursor) -> int:
    value = cursor.integer()
    if value < 0:
        raise ValueError(f"a count of {value}")
    return value
