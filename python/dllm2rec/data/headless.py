"""Logs without a header, as MovieLens and the Amazon ratings have them: four columns by place."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute, csv

from dllm2rec.data.interactions import Interactions
from dllm2rec.data.line_files import compression_of, first_lines
from dllm2rec.errors import InputError

_TYPES = {
    "user_id": pa.large_string(),
    "item_id": pa.large_string(),
    "rating": pa.float32(),
    "timestamp": pa.int64(),
}
# The Unix epoch to the year 9999, in seconds: a time beyond is no time in seconds.
_LAST_SECOND = 253_402_300_799


def read_headless(path: Path, names: tuple[str, ...], delimiter: str) -> Interactions:
    """Read a delimited file whose columns are `names`, none of which is quoted.

    Args:
        path: the file, plain, gzipped or zstd.
        names: its columns in their order: user_id, item_id, rating, and timestamp in seconds.
        delimiter: one character, or "::".

    Raises:
        InputError: a row is short or long, lacks an id, or holds no number where one belongs; the
            message names the line.
    """
    table = _table(path, names, delimiter)
    user_ids, users = _coded(path, table["user_id"], "user_id")
    item_ids, items = _coded(path, table["item_id"], "item_id")
    seconds = table["timestamp"].to_numpy()
    ratings = table["rating"].to_numpy()
    _check(path, (seconds < 0) | (seconds > _LAST_SECOND), seconds, "seconds since 1970")
    _check(path, ~np.isfinite(ratings), ratings, "a rating")
    return Interactions(
        user_ids, item_ids, users, items, seconds * 1_000_000, ratings, name=path.stem
    )


def _table(path: Path, names: tuple[str, ...], delimiter: str) -> pa.Table:
    try:
        with pa.input_stream(str(path), compression=compression_of(path)) as stream:
            data: bytes = stream.read()
    except OSError as err:
        message = f"{str(err).partition(chr(10))[0][:120]}, expected a readable file"
        raise InputError(message, code="E-FILE", path=path) from err
    if delimiter == "::":
        # Arrow knows delimiters of one byte: a tab stands in, and must not be there already.
        _refuse_byte(path, data, b"\t", "a tab")
        data, delimiter = data.replace(b"::", b"\t"), "\t"
    _refuse_byte(path, data, b"\0", "a NUL byte")
    try:
        return csv.read_csv(
            pa.BufferReader(data),
            # One thread: only then do Arrow's messages count rows.
            read_options=csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, quote_char=False, ignore_empty_lines=False
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: _TYPES[name] for name in names},
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as err:
        raise _fault(path, str(err)) from err


def _refuse_byte(path: Path, data: bytes, byte: bytes, name: str) -> None:
    place = data.find(byte)
    if place >= 0:
        message = f"{name}, expected columns of text"
        line = 1 + data.count(b"\n", 0, place)
        raise InputError(message, code="E-ENCODING", path=path, line=line)


def _coded(path: Path, ids: pa.ChunkedArray, name: str) -> tuple[pa.Array, npt.NDArray[np.uint32]]:
    """Number ids by their first appearance."""
    coded = ids.dictionary_encode().combine_chunks()
    dictionary, codes = coded.dictionary, coded.indices.to_numpy().astype(np.uint32)
    empty = compute.index(dictionary, pa.scalar("", dictionary.type)).as_py()
    if empty >= 0:
        line = int((codes == empty).argmax()) + 1
        message = f"an empty {name}, expected an id"
        raise InputError(message, code="E-LOG-MISSING", path=path, line=line)
    return dictionary, codes


def _check(
    path: Path, bad: npt.NDArray[np.bool_], values: npt.NDArray[np.generic], expected: str
) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{values[row]}, expected {expected}", code="E-TOKEN", path=path, line=row + 1
        )


def _fault(path: Path, reason: str) -> InputError:
    if not first_lines(path, 1):
        return InputError("empty file, expected rows", code="E-EMPTY", path=path)
    row = re.search(r"Row #(\d+): (.*)", reason)
    ragged = re.search(r"Expected \d+ columns, got \d+", reason)
    what = ragged.group().lower() if ragged else reason.rpartition(": ")[2][:120]
    return InputError(
        what,
        code="E-RAGGED" if ragged else "E-TOKEN",
        path=path,
        line=int(row.group(1)) if row else None,
    )
