"""Rows of text out of Arrow columns, many at a time: what the writers of CSV and its kin share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

BLOCK = 1 << 20  # cells made into text at a time, some ten bytes each


def write_columns(path: Path, columns: dict[str, pa.Array], delimiter: str) -> None:
    """Write a file of a header and these columns of text."""
    with path.open("wb") as file:
        file.write(delimiter.join(columns).encode() + b"\n")
        put_lines(file, joined([quoted(cells, delimiter) for cells in columns.values()], delimiter))


def quoted(cells: pa.Array, delimiter: str) -> pa.Array:
    """Cells as RFC 4180 has them: quoted where they hold the delimiter, a quote or a line end."""
    special = compute.match_substring_regex(cells, f'["\r\n{re.escape(delimiter)}]')
    if not compute.any(special).as_py():
        return cells
    doubled = compute.replace_substring(cells, '"', '""')
    return compute.if_else(special, joined(['"', doubled, '"'], ""), cells)


def joined(columns: list[pa.Array | str], delimiter: str) -> pa.Array:
    """Join columns row by row; a plain string is the same in every row."""
    wide = [pa.scalar(c, pa.large_string()) if isinstance(c, str) else c for c in columns]
    return compute.binary_join_element_wise(*wide, pa.scalar(delimiter, pa.large_string()))


def lists(cells: pa.Array, counts: npt.NDArray[np.integer], separator: str) -> pa.Array:
    """Join the first `counts[0]` cells, then the next `counts[1]`, ..."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    # Arrow joins lists with 32-bit offsets only; a block is far below those.
    lists = pa.ListArray.from_arrays(pa.array(offsets), cells.cast(pa.string()))
    return compute.binary_join(lists, separator).cast(pa.large_string())


def numbers(values: npt.NDArray[np.integer]) -> pa.Array:
    """Whole numbers as text."""
    return pa.array(values).cast(pa.large_string())


def texts(values: list[str] | tuple[str, ...]) -> pa.Array:
    """Strings as one column."""
    return pa.array(values, pa.large_string())


def put_lines(file: BinaryIO, lines: pa.Array) -> None:
    """Write the lines, each with its end, straight out of Arrow's buffer."""
    ended = joined([lines, "\n"], "")
    if isinstance(ended, pa.ChunkedArray):
        ended = ended.combine_chunks()
    offsets = np.frombuffer(ended.buffers()[1], dtype=np.int64)
    file.write(ended.buffers()[2].slice(0, int(offsets[len(ended)])) if len(ended) else b"")
