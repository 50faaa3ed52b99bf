"""A matrix of floats in a file or an array, read in blocks of rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.text.at_rest import at_rest, changed
from dllm2rec.data.text.parquet_text import checked_batches, opened
from dllm2rec.errors import InputError
from dllm2rec.teacher.tensor_files import one_name, read_npy_header, refuse

Block = npt.NDArray[Any]

DTYPES = (np.float16, np.float32, np.float64)
_AGAIN = "copy or download it again"
_MAX_HEADER = 4 * 2**20
_SAFETENSORS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_ROW_COLUMNS = ("row", "row_id", "row_index")


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix that is read a block of rows at a time.

    Attributes:
        path: the file; None for an array.
        shape: (R, N).
        dtype: of its numbers.
        blocks: given a number of rows, cuts into blocks of so many; given n and m as well, yields
            every m-th from block n on, in order, that may be written to, each with the number of
            its first row. Of a Parquet file all are read.
    """

    path: Path | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[int, tuple[int, int]], Iterator[tuple[int, Block]]]


def open_matrix(source: Path | Block, hint: str) -> Matrix:
    """Open a matrix of float16, float32 or float64; nothing but its header is read.

    Args:
        source: an array, or a `.npy`, `.safetensors` or `.parquet` file, by its ending. A Parquet
            file holds a column of lists, one for each row; a column `row`, where there is one,
            counts them from 0.
        hint: what a row and a column are.

    Raises:
        InputError: other numbers or another layout.
        ArtifactError: the file is damaged.
    """
    if not isinstance(source, Path):
        found = _of_array(source)
    elif source.suffix == ".safetensors":
        found = _of_safetensors(source)
    elif source.suffix in (".parquet", ".parq"):
        found = _of_parquet(source)
    else:
        found = _of_npy(source)
    if found.dtype.newbyteorder("=") not in DTYPES:
        message = f"scores of dtype {found.dtype}, expected float16, float32 or float64"
        raise InputError(message, code="E-DTYPE", path=found.path, hint=hint)
    return found


def _of_array(array: Block) -> Matrix:
    def blocks(step: int, share: tuple[int, int]) -> Iterator[tuple[int, Block]]:
        first, every = share
        for begin in range(first * step, len(array), every * step):
            yield begin, np.array(array[begin : begin + step], order="C")

    return Matrix(None, tuple(array.shape), array.dtype, blocks)


def _of_npy(path: Path) -> Matrix:
    header = read_npy_header(path)
    if header.is_fortran and header.shape:
        message = "the matrix is stored column by column, expected row by row"
        hint = "save numpy.ascontiguousarray(scores)"
        raise InputError(message, code="E-LAYOUT", path=path, hint=hint)
    return _of_bytes(path, header.shape, header.dtype, header.offset)


def _of_bytes(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> Matrix:
    """Read, not mapped: a mapped file that shrinks meanwhile would kill the process."""

    def blocks(step: int, share: tuple[int, int]) -> Iterator[tuple[int, Block]]:
        width, (first, every) = math.prod(shape[1:]), share
        with at_rest(path), path.open("rb") as file:
            for begin in range(first * step, shape[0], every * step):
                file.seek(offset + begin * width * dtype.itemsize)
                n_rows = min(step, shape[0] - begin)
                block = np.fromfile(file, dtype, n_rows * width)
                if block.size != n_rows * width:
                    raise changed(path)  # it was as long as its header says
                yield begin, block.reshape(n_rows, *shape[1:])

    return Matrix(path, shape, dtype, blocks)


def _of_safetensors(path: Path) -> Matrix:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _MAX_HEADER):
                message = "the header does not fit the file, or is over 4 MiB"
                raise refuse(path, "E-SAFETENSORS", message, _AGAIN)
            header = json.loads(file.read(length))
        tensors = {name: one for name, one in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, one["shape"])) for name, one in tensors.items()}
        name = one_name(shapes, path, "scores" if "scores" in shapes else None)
        kind, (begin, end) = tensors[name]["dtype"], tensors[name]["data_offsets"]
    except OSError as err:
        if isinstance(err, InputError):
            raise
        raise InputError(err.strerror or str(err), code="E-OPEN", path=path) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        if isinstance(err, InputError):
            raise
        raise refuse(path, "E-SAFETENSORS", "the header is damaged", _AGAIN) from None
    if kind not in _SAFETENSORS:
        message = f"scores of dtype {kind}, expected F16, F32 or F64"
        raise InputError(message, code="E-DTYPE", path=path)
    dtype, shape = np.dtype(_SAFETENSORS[kind]), shapes[name]
    n_bytes = math.prod(shape) * dtype.itemsize
    if (
        min(shape, default=0) < 0
        or end - begin != n_bytes
        or not 0 <= begin <= end <= size - 8 - length
    ):
        message = f"tensor {name!a}: {end - begin:,} bytes for shape {shape} of {kind}"
        raise refuse(path, "E-SAFETENSORS", message, _AGAIN)
    return _of_bytes(path, shape, dtype, 8 + length + begin)


def _of_parquet(path: Path) -> Matrix:
    with _told(path), opened(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        lists = [field for field in schema if _is_list(field.type)]
        if len(lists) != 1:
            found = ", ".join(f"{field.name} {field.type}" for field in schema)[:200]
            message = f"columns {found}, expected one column of lists of numbers"
            raise InputError(message, code="E-COLUMN", path=path)
        (column,) = lists
        row = next((name for name in _ROW_COLUMNS if name in schema.names), None)
        wanted = [column.name] if row is None else [column.name, row]
        first = next(file.iter_batches(1, columns=wanted), None)
        width = 0 if first is None else len(first.column(column.name).flatten())
    dtype = np.dtype(column.type.value_type.to_pandas_dtype())

    def blocks(step: int, share: tuple[int, int]) -> Iterator[tuple[int, Block]]:
        begin, (first, every) = 0, share
        with at_rest(path), _told(path), opened(path) as file:
            batches = checked_batches(path, file.iter_batches(step, columns=wanted))
            for number, batch in enumerate(batches):
                if row is not None:
                    _check_rows(path, batch.column(row), begin)
                if number % every == first % every and number >= first:
                    yield begin, _of_lists(path, batch.column(column.name), width, begin)
                begin += len(batch)

    return Matrix(path, (n_rows, width), dtype, blocks)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _check_rows(path: Path, column: pa.Array, begin: int) -> None:
    found = column.to_numpy(zero_copy_only=False)
    other = found != np.arange(begin, begin + len(found))
    if other.any():
        place = int(other.argmax())
        message = f"row {found[place]} stands at place {begin + place}, expected rows in order"
        hint = "sort the file by its column of rows, which are counted from 0"
        raise InputError(message, code="E-ROWS", path=path, hint=hint)


def _of_lists(path: Path, lists: pa.Array, width: int, begin: int) -> Block:
    lengths = compute.list_value_length(lists).fill_null(-1).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        place = int((lengths != width).argmax())
        message = f"row {begin + place}: {lengths[place]} numbers, expected {width} as in the first"
        raise InputError(message, code="E-SHAPE", path=path)
    values = lists.flatten()
    if values.null_count:
        row = begin + int(values.is_null().index(True).as_py()) // max(1, width)
        raise InputError(f"row {row}: a number is missing", code="E-SHAPE", path=path)
    return np.array(values.to_numpy(zero_copy_only=False).reshape(len(lists), width))


class _told:  # noqa: N801 - a context, used as a function
    """Tell what Arrow says of a file in one line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, FileNotFoundError):
            raise InputError("No such file", code="E-FILE", path=self._path) from err
        if isinstance(err, (pa.ArrowException, OSError)) and not isinstance(err, InputError):
            reason = str(err).partition("\n")[0][:120]
            raise refuse(
                self._path, "E-PARQUET", f"{reason}, expected a whole Parquet file"
            ) from err
