"""Parquet files and frames as chunks of a log: types are checked, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from dllm2rec.data.logs.columns import Chunk
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.data.logs.roles import roles_of
from dllm2rec.errors import ArtifactError, InputError

_BATCH_ROWS = 1 << 20


def read_parquet(path: Path, columns: Columns) -> Iterator[Chunk]:
    """Yield the chunks of a Parquet file.

    Raises:
        ArtifactError: the file is corrupt; the message names it.
        InputError: a column is missing, or the file has no rows.
    """
    done = 0
    try:
        # Read, not mapped: a file that shrinks meanwhile must not end the process.
        with parquet.ParquetFile(path, memory_map=False, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            roles = roles_of(names, columns, path, line=None)
            wanted = list(dict.fromkeys(roles.values()))
            for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                if batch.num_rows:
                    yield _chunk(path, roles, batch, done)
                done += batch.num_rows
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        message = f"E-PARQUET {path}: {reason}, expected a whole Parquet file"
        raise ArtifactError(message) from err
    if not done:
        raise InputError("no rows, expected some", code="E-EMPTY", path=path)


def read_frame(frame: Any, name: str, columns: Columns) -> Iterator[Chunk]:  # noqa: ANN401 - any library's
    """Yield the chunks of anything with the Arrow C stream protocol.

    Raises:
        TypeError: it has not.
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
            f"no Arrow table ({reason}), expected one type a column", code="E-DTYPE", path=name
        ) from err
    if not done:
        raise InputError("no rows, expected some", code="E-EMPTY", path=name)


def _chunk(path: Path | str, roles: dict[str, str], batch: pa.RecordBatch, first: int) -> Chunk:
    def fault(row: int, role: str, message: str, code: str, hint: str) -> InputError:
        place = f"row {first + row + 1}, column {roles[role]!r}"
        return InputError(f"{place}: {message}", code=code, path=path, hint=hint)

    return Chunk({role: batch.column(name) for role, name in roles.items()}, fault)
