"""Text of Parquet files, which nothing checks when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from dllm2rec.errors import InputError


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
