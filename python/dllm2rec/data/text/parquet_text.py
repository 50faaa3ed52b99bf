"""Parquet files, whose text nothing checks when it is read, and whose size on disk says little."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, parquet

from dllm2rec.data.text.files import most_inflated
from dllm2rec.data.text.parquet_footer import row_groups
from dllm2rec.errors import ArtifactError, InputError

_BLOCK_TEXT = 8 * 2**20  # bytes of text that are handed out at a time
_CURE = "hint: if you trust the file, save it as text"


def opened(
    path: Path,
    metadata: parquet.FileMetaData | None = None,
    read_dictionary: list[str] | None = None,
) -> parquet.ParquetFile:
    """Open a file; what `pyarrow` raises is the caller's to tell.

    Raises:
        InputError: the name of a column is not UTF-8.
    """
    try:
        # Read, not mapped: a file that shrinks meanwhile must not end the process.
        return parquet.ParquetFile(
            path,
            metadata=metadata,
            read_dictionary=read_dictionary,
            memory_map=False,
            page_checksum_verification=True,
        )
    except UnicodeDecodeError as err:
        message = "a column's name that is not UTF-8, expected UTF-8"
        hint = "write the names as UTF-8"
        raise InputError(message, code="E-ENC", path=path, hint=hint) from err


def column_names(path: Path, names: Sequence[str], *, line: int | None = None) -> list[str]:
    """The same names, of which none may be there twice: either column could be meant.

    Raises:
        InputError: one is.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            message = f"two columns {name[:40]!a}, expected distinct names"
            raise InputError(message, code="E-HEADER", path=path, line=line)
        seen.add(name)
    return list(names)


def bounded_batches(path: Path, wanted: Sequence[str], n_rows: int) -> Iterator[pa.RecordBatch]:
    """Read some columns in batches of up to `n_rows` rows, fewer where their texts are long.

    Texts come as dictionaries: one that many rows share is held once.

    Args:
        path: the file.
        wanted: names of columns that are in it once.
        n_rows: the most rows of a batch.

    Raises:
        ArtifactError: the columns take far more memory than the file takes on disk.
        InputError: a text is not UTF-8.
    """
    names = list(dict.fromkeys(wanted))
    with opened(path) as file:
        check_size(path, file, names)
        metadata = file.metadata
        leaves = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    limit, n_bytes = most_inflated(path.stat().st_size), 0
    with opened(path, metadata=metadata, read_dictionary=texts) as file:
        for batch in checked_batches(path, file.iter_batches(n_rows, columns=names)):
            n_bytes += sum(map(_text_bytes, batch.columns))
            if n_bytes > limit:
                message = f"texts of over {limit:,} bytes in a file of this size, expected fewer"
                raise ArtifactError(f"E-BOMB {path}: {message}. {_CURE}")
            yield from _pieces(batch)


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows < 2 or sum(map(_text_bytes, batch.columns)) <= _BLOCK_TEXT:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _text_bytes(column: pa.Array) -> int:
    """How many bytes the texts of a column would take if each had its own."""
    if isinstance(column, pa.DictionaryArray):
        if not (pa.types.is_string(column.type.value_type) or _is_bytes(column.type.value_type)):
            return 0
        lengths = compute.binary_length(column.dictionary).take(column.indices)
        return int(compute.sum(lengths).as_py() or 0)
    if isinstance(column, pa.StructArray):
        return sum(map(_text_bytes, column.flatten()))
    if isinstance(column, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        return _text_bytes(column.flatten())
    return int(column.nbytes) if pa.types.is_string(column.type) or _is_bytes(column.type) else 0


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def check_size(path: Path, file: parquet.ParquetFile, wanted: Sequence[str]) -> None:
    """Refuse by the footer what would be far larger in memory than it is on disk.

    Raises:
        ArtifactError: the columns `wanted` take over a hundred times the file's size, or the
            footer is damaged.
    """
    metadata = file.metadata
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    places = [n for n, name in enumerate(paths) if name in wanted or name.split(".")[0] in wanted]
    groups = row_groups(path, metadata.num_columns)
    chunks = [group.columns[place] for group in groups for place in places]
    n_rows = sum(group.n_rows for group in groups)
    n_values = sum(chunk.n_values for chunk in chunks)
    n_bytes = sum(chunk.n_bytes for chunk in chunks)
    # Runs of one value cost next to nothing on disk, and a number of 4 or 8 bytes each when read.
    needed = max(n_bytes, 8 * n_values)
    limit = most_inflated(path.stat().st_size)
    if needed > limit:
        message = (
            f"{n_rows:,} rows that take {needed:,} bytes of memory, expected at most {limit:,} for "
            f"a file of this size. {_CURE}"
        )
        raise ArtifactError(f"E-BOMB {path}: {message}")


def checked_batches(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; the first whose text is not UTF-8 is refused with its column.

    Raises:
        InputError: a text is not UTF-8.
    """
    done = 0
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as err:
                rows = f"rows {done + 1:,} to {done + batch.num_rows:,}"
                raise InputError(
                    f"column {name!a}, {rows}: a text that is not UTF-8, expected UTF-8",
                    code="E-ENC",
                    path=path,
                    hint="write the column as UTF-8",
                ) from err
        done += batch.num_rows
        yield batch
