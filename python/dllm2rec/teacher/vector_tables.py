"""Vectors out of `.npz`, Parquet and CSV files, which may be hostile: sizes are checked first."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, csv

from dllm2rec.data.text.files import read_bytes
from dllm2rec.data.text.lines import first_lines
from dllm2rec.data.text.parquet_footer import row_groups
from dllm2rec.data.text.parquet_text import bounded_batches, column_names, opened
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.teacher.keyed_vectors import Vectors
from dllm2rec.teacher.tensor_files import check_shape, header_of, one_name, refuse, wrong_dtype

ID_COLUMNS = ("item_id", "id", "item", "movieId", "parent_asin", "asin")
MAX_RATIO = 100  # of bytes inside to bytes on disk; vectors hardly shrink at all
SMALL = 1 << 24  # below this a file may inflate as it likes
_BATCH_ROWS = 4096
_AGAIN = "copy or download it again"


def read_npz(path: Path, key: str | None) -> Vectors:
    """Read a matrix, a matrix and `ids`, or an array per item, from an `.npz` file.

    Raises:
        InputError: several matrices and none is named, or arrays of other shapes or types.
        ArtifactError: the file is damaged, inflates to far more, or holds Python objects.
    """
    arrays = _npz_arrays(path)
    return keyed_or_one(arrays, path, key)


def keyed_or_one(arrays: Mapping[str, NDArray[Any]], path: Path, key: str | None) -> Vectors:
    """The one matrix of several arrays by name, or one vector each: then the names are ids.

    An array `ids` beside one matrix says whose its rows are.
    """
    vectors = {name: array for name, array in arrays.items() if array.ndim == 1}
    if key is None and len(arrays) > 1 and len(vectors) == len(arrays):
        return Vectors(_stacked(vectors, path), list(vectors))
    ids = arrays.get("ids")
    others = {name: tuple(array.shape) for name, array in arrays.items() if name != "ids"}
    array = arrays[one_name(others, path, key)]
    if array.dtype.kind != "f":
        raise wrong_dtype(path, str(array.dtype))
    check_shape(path, array.shape)
    with np.errstate(over="ignore"):  # infinities are refused later, with their item
        matrix = np.ascontiguousarray(array, dtype=np.float32)
    if ids is None:
        return Vectors(matrix)
    if ids.ndim != 1 or len(ids) != len(matrix) or ids.dtype.kind not in "iuU":
        message = f"ids {ids.dtype} {ids.shape}, expected a text or whole number for each row"
        raise InputError(message, code="E-VECTOR-IDS", path=path)
    return Vectors(matrix, [str(value) for value in ids.tolist()])


def _stacked(vectors: Mapping[str, NDArray[Any]], path: Path) -> NDArray[np.float32]:
    width = len(next(iter(vectors.values())))
    for name, vector in vectors.items():
        if vector.dtype.kind != "f":
            raise wrong_dtype(path, f"{vector.dtype} of item id {name!a}")
        if len(vector) != width or width == 0:
            message = f"item id {name!a}: {len(vector)} numbers, expected {width or 'some'}"
            raise InputError(message, code="E-SHAPE", path=path)
    with np.errstate(over="ignore"):
        return np.stack([vector.astype(np.float32) for vector in vectors.values()])


def _npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_ratio(path, sum(member.file_size for member in members))
            names = Counter(member.filename for member in members)
            if (twice := next((name for name, n in names.items() if n > 1), None)) is not None:
                message = f"the name {twice!a} is there twice, expected it once"
                raise refuse(path, "E-NPY", message, "save the arrays again")
            return {
                member.filename.removesuffix(".npy"): _member(path, archive, member)
                for member in members
            }
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError):
        raise refuse(path, "E-TRUNC", "the archive is cut or damaged", _AGAIN) from None
    except ArtifactError:
        raise
    except RuntimeError:  # so zipfile tells of both
        message = "encrypted or compressed in an unknown way, expected what numpy.savez writes"
        raise refuse(path, "E-NPY", message, "save the arrays again") from None


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, whose header is compared with what the archive holds before it is believed."""
    try:
        with archive.open(member) as file:
            shape, _, dtype = header_of(file)
            offset = file.tell()
        size = member.file_size - offset
        if dtype.hasobject:
            raise refuse(path, "E-PICKLE", "Python objects, expected numbers", "save float arrays")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            message = f"{member.filename}: {size:,} bytes for shape {shape} of {dtype}"
            raise refuse(path, "E-NPY", message, _AGAIN)
        with archive.open(member) as file:
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
            return array
    except (ValueError, SyntaxError, TypeError):
        message = f"{member.filename}: no .npy array"
        raise refuse(path, "E-NPY", message, _AGAIN) from None


def check_ratio(path: Path, inside: int) -> None:
    """Refuse a file that holds far more than it weighs, before it is inflated."""
    on_disk = path.stat().st_size
    if inside > max(SMALL, MAX_RATIO * on_disk):
        message = f"{on_disk:,} bytes that inflate to {inside:,}"
        raise refuse(path, "E-BOMB", message, "save it again without compression")


def read_parquet_vectors(path: Path) -> Vectors:
    """Read a column of ids and one of vectors (lists of numbers), or columns of numbers.

    Raises:
        InputError: a row without id or vector, or of another width; the message names the row.
        ArtifactError: the file is damaged, or inflates to far more than it weighs.
    """
    try:
        with opened(path) as file:
            schema, n_columns = file.schema_arrow, file.metadata.num_columns
        groups = row_groups(path, n_columns)
        check_ratio(path, sum(group.n_bytes for group in groups))
        # Repeated values take no bytes in the file, but each takes four here.
        check_ratio(path, 4 * sum(chunk.n_values for group in groups for chunk in group.columns))
        column_names(path, schema.names)
        id_column, columns = _columns(path, schema)
        batches = bounded_batches(path, [id_column, *columns], _BATCH_ROWS)
        return _table(path, schema, batches)
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        raise refuse(path, "E-PARQUET", f"{reason}, expected a whole Parquet file") from None


def read_csv_vectors(path: Path, known: AbstractSet[str]) -> Vectors:
    """Read ids and numbers: the first column is the id, every other one is a number.

    The first line is a header where its first cell is no id of the catalogue and its last cell no
    number, or where it is called like an id.

    Raises:
        InputError: it is no such table; the message names the row.
    """
    (line,) = first_lines(path, 1) or [""]
    head = line.rstrip("\r").split(",")
    is_header = head[0] in ID_COLUMNS or (head[0] not in known and not _is_number(head[-1]))
    names = head if is_header else [f"column {n}" for n in range(len(head))]
    types = {name: pa.float64() for name in names[1:]} | {names[0]: pa.string()}
    try:
        table = csv.read_csv(
            pa.BufferReader(read_bytes(path)),
            read_options=csv.ReadOptions(
                column_names=names, skip_rows=int(is_header), use_threads=False
            ),
            convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as err:
        reason = str(err).partition("\n")[0][:160]
        message = f"{reason}, expected an id and then numbers in every line"
        raise InputError(message, code="E-VECTOR-IDS", path=path) from None
    return _table(path, table.schema, iter(table.to_batches(_BATCH_ROWS)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _table(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Vectors:
    id_column, columns = _columns(path, schema)
    ids: list[str] = []
    parts: list[NDArray[np.float32]] = []
    width, done = None, 0
    for batch in batches:
        names = _ids(path, batch.column(id_column), done)
        matrix = _batch_matrix(path, batch, columns, done)
        if width is not None and len(matrix) and matrix.shape[1] != width:
            message = f"row {done + 1}: {matrix.shape[1]} numbers, expected {width}"
            raise InputError(message, code="E-SHAPE", path=path)
        width = matrix.shape[1] if len(matrix) else width
        ids += names
        parts.append(matrix)
        done += len(names)
    if not done:
        raise InputError("no rows, expected a vector per item", code="E-EMPTY", path=path)
    return Vectors(np.concatenate(parts), ids)


def _columns(path: Path, schema: pa.Schema) -> tuple[str, list[str]]:
    """The column of ids, and the one of vectors or all of numbers."""
    id_column = next((name for name in ID_COLUMNS if name in schema.names), None)
    if id_column is None:
        others = [field.name for field in schema if _is_id(field.type)]
        id_column = others[0] if len(others) == 1 else None
    lists = [field.name for field in schema if _is_list(field.type)]
    numbers = [
        field.name
        for field in schema
        if pa.types.is_floating(field.type) and field.name != id_column
    ]
    columns = lists if len(lists) == 1 else numbers if not lists else []
    if id_column is None or not columns:
        found = ", ".join(f"{field.name} {field.type}" for field in schema)[:200]
        message = f"columns {found}, expected {ID_COLUMNS[0]} and one column of lists of numbers"
        raise InputError(message, code="E-COLUMN", path=path)
    return id_column, columns


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _is_id(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))


def _ids(path: Path, column: pa.Array, done: int) -> list[str]:
    if column.null_count:
        row = done + column.is_null().index(True).as_py() + 1
        message = f"row {row}: no item id, expected one"
        raise InputError(message, code="E-VECTOR-IDS", path=path)
    return [str(value) for value in column.to_pylist()]


def _batch_matrix(
    path: Path, batch: pa.RecordBatch, columns: list[str], done: int
) -> NDArray[np.float32]:
    arrays = [batch.column(name) for name in columns]
    for array in arrays:
        if array.null_count:
            row = done + array.is_null().index(True).as_py() + 1
            raise InputError(f"row {row}: no vector, expected one", code="E-SHAPE", path=path)
    if not _is_list(arrays[0].type):
        return np.stack([array.to_numpy() for array in arrays], axis=1).astype(np.float32)
    (lists,) = arrays
    lengths = compute.list_value_length(lists).to_numpy()
    other = lengths != (lengths[0] if len(lengths) else 0)
    if other.any():
        row = int(other.argmax())
        message = f"row {done + row + 1}: {lengths[row]} numbers, expected {lengths[0]}"
        raise InputError(message, code="E-SHAPE", path=path)
    values = lists.flatten()
    if values.null_count:
        row = done + int(values.is_null().index(True).as_py()) // max(1, int(lengths[0])) + 1
        raise InputError(f"row {row}: a number is missing", code="E-SHAPE", path=path)
    with np.errstate(over="ignore"):
        matrix: NDArray[np.float32] = values.to_numpy().astype(np.float32).reshape(len(lists), -1)
        return matrix
