"""What an item index stands for, kept beside every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.text.arrow_buffers import array_of, numbers_of, text_array
from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_file import FileRecord, read_verified, replace_file

ITEMS_FILE = "items.parquet"
_COUNTS = "train_count"


def save_catalogue(
    folder: Path, catalogue: Catalogue, train_counts: npt.NDArray[np.int64] | None = None
) -> None:
    """Write `items.parquet`: item_id and, where there are any, title; the row is the index.

    `train_counts` says how often each item is the target of a train row, (N,): what is popular.

    Raises:
        ResourceError: it cannot be written; what was there before is unchanged.
    """
    columns = {"item_id": text_array(catalogue.item_ids)}
    if catalogue.titles is not None:
        columns["title"] = text_array(catalogue.titles)
    if train_counts is not None:
        columns[_COUNTS] = array_of(train_counts)
    table = pa.Table.from_arrays([*columns.values()], [*columns])
    replace_file(folder / ITEMS_FILE, lambda path: pq.write_table(table, path))


def load_catalogue(folder: Path, record: FileRecord | None = None) -> Catalogue:
    """Read what `save_catalogue` wrote.

    Args:
        folder: where it is.
        record: what was noted of the file; None where nothing was.

    Raises:
        ArtifactError: the file is missing, changed, or is not ours.
    """
    path = folder / ITEMS_FILE
    try:
        table = _table(path, record)
        ids = table["item_id"].to_pylist()
        titles = table["title"].to_pylist() if "title" in table.column_names else None
        check_texts(ids, titles)
        return Catalogue(ids, titles)
    except (OSError, KeyError, ValueError, pa.ArrowException) as err:
        raise ArtifactError(f"{path}: {err}, expected the items of a run") from err


def load_train_counts(folder: Path, record: FileRecord | None = None) -> npt.NDArray[np.int64]:
    """How often each item is the target of a train row, (N,).

    Args:
        folder: where `items.parquet` is.
        record: what was noted of the file; None where nothing was.

    Raises:
        ArtifactError: the file changed, is not ours, or is of a version that did not keep them.
    """
    path = folder / ITEMS_FILE
    try:
        counts = numbers_of(_table(path, record)[_COUNTS])
    except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as err:
        raise ArtifactError(
            f"{path}: no column {_COUNTS}, expected it to know what is popular; train again"
        ) from err
    return np.asarray(counts, dtype=np.int64)


def _table(path: Path, record: FileRecord | None) -> pa.Table:
    """The file's table; what is read is what was verified."""
    content = path.read_bytes() if record is None else read_verified(path, record)
    return pq.ParquetFile(pa.BufferReader(content)).read()


def check_texts(ids: list[Any], titles: list[Any] | None) -> None:
    """Refuse a catalogue of anything but text.

    Raises:
        ValueError: an id or a title is of another type; the message has its row.
    """
    for name, values in (("item_id", ids), ("title", titles or [])):
        for row, value in enumerate(values):
            if not isinstance(value, str):
                raise ValueError(f"{name} of row {row} is {value!r}, which is no text")
