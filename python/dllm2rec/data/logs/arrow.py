"""Parquet files and frames as chunks of a log: types are checked, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.logs.columns import Chunk, is_text
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.data.logs.roles import roles_of
from dllm2rec.data.text.parquet_text import check_size, checked_batches, opened
from dllm2rec.errors import ArtifactError, InputError

_BATCH_ROWS = 1 << 17
_LONGEST_CELL = 256  # bytes of a time or a rating that is written as text


def read_parquet(path: Path, columns: Columns) -> Iterator[Chunk]:
    """Yield the chunks of a Parquet file.

    Raises:
        ArtifactError: the file is corrupt, or by its footer far larger inside than on disk; the
            message names it.
        InputError: a column is missing, a cell is too long, or the file has no rows.
    """
    done = 0
    try:
        with opened(path) as file:
            roles = roles_of(file.schema_arrow.names, columns, path, line=None)
            wanted = list(dict.fromkeys(roles.values()))
            check_size(path, file, wanted)
            texts = [name for name in wanted if is_text(file.schema_arrow.field(name).type)]
            metadata = file.metadata
        # A text that many rows share is held once.
        with opened(path, metadata=metadata, read_dictionary=texts) as file:
            for batch in checked_batches(path, file.iter_batches(_BATCH_ROWS, columns=wanted)):
                if batch.num_rows:
                    chunk = _chunk(path, roles, batch, done)
                    _check_lengths(chunk)
                    yield chunk
                done += batch.num_rows
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        message = f"E-PARQUET {path}: {reason}, expected a whole Parquet file"
        raise ArtifactError(message) from err
    if not done:
        raise InputError("no rows, expected some", code="E-EMPTY", path=path)


def _check_lengths(chunk: Chunk) -> None:
    """Refuse long texts as times or ratings before there is a copy for each row."""
    for role, code in (("time", "E-TS"), ("rating", "E-RATING")):
        cells = chunk.columns.get(role)
        if not isinstance(cells, pa.DictionaryArray) or not is_text(cells.dictionary.type):
            continue
        long = compute.greater(compute.binary_length(cells.dictionary), _LONGEST_CELL)
        if compute.any(long).as_py():
            row = int(long.take(cells.indices).index(True).as_py())
            message = f"a text of over {_LONGEST_CELL} bytes, expected a {role}"
            raise chunk.fault(row, role, message, code, "")


def read_frame(frame: Any, name: str, columns: Columns) -> Iterator[Chunk]:  # noqa: ANN401 - any library's
    """Yield the chunks of anything with the Arrow C stream protocol.

    Raises:
        TypeError: it does not have it.
        InputError: Arrow has no type for a column, or one is missing.
    """
    if not hasattr(frame, "__arrow_c_stream__"):
        kind = f"{type(frame).__module__}.{type(frame).__name__}"
        raise TypeError(
            f"{name}: a {kind}, expected a pandas, polars or Arrow table "
            "(collect() a lazy frame first)"
        )
    try:
        reader = pa.RecordBatchReader.from_stream(frame)
        roles = roles_of(reader.schema.names, columns, name, line=None)
        done = 0
        for batch in reader:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                yield _chunk(name, roles, part, done + start)
            done += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as err:
        reason = str(err).partition("\n")[0][:160]
        raise InputError(
            f"no Arrow table ({reason}), expected one type per column", code="E-DTYPE", path=name
        ) from err
    if not done:
        raise InputError("no rows, expected some", code="E-EMPTY", path=name)


def _chunk(path: Path | str, roles: dict[str, str], batch: pa.RecordBatch, first: int) -> Chunk:
    def fault(row: int, role: str, message: str, code: str, hint: str) -> InputError:
        place = f"row {first + row + 1}, column {roles[role]!r}"
        return InputError(f"{place}: {message}", code=code, path=path, hint=hint)

    return Chunk({role: batch.column(name) for role, name in roles.items()}, fault)
