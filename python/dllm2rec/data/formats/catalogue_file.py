"""What an item index stands for, kept beside every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.text.arrow_buffers import text_array
from dllm2rec.errors import ArtifactError

FILE = "items.parquet"
_COUNTS = "train_count"


def save_catalogue(
    folder: Path, catalogue: Catalogue, train_counts: npt.NDArray[np.int64] | None = None
) -> None:
    """Write `items.parquet`: item_id and, where there are any, title; the row is the index.

    `train_counts` says how often each item is the target of a train row, (N,): what is popular.
    """
    columns = {"item_id": text_array(catalogue.item_ids)}
    if catalogue.titles is not None:
        columns["title"] = text_array(catalogue.titles)
    if train_counts is not None:
        columns[_COUNTS] = pa.array(train_counts)
    unfinished = folder / f"{FILE}.tmp"
    pq.write_table(pa.Table.from_arrays([*columns.values()], [*columns]), unfinished)
    unfinished.replace(folder / FILE)


def load_catalogue(folder: Path) -> Catalogue:
    """Read what `save_catalogue` wrote.

    Raises:
        ArtifactError: the file is missing or is not ours.
    """
    path = folder / FILE
    try:
        table = pq.ParquetFile(path).read()
        ids = table["item_id"].to_pylist()
        titles = table["title"].to_pylist() if "title" in table.column_names else None
    except (OSError, KeyError, pa.ArrowException) as err:
        raise ArtifactError(f"{path}: {err}, expected the items of a run") from err
    return Catalogue(ids, titles)


def load_train_counts(folder: Path) -> npt.NDArray[np.int64]:
    """How often each item is the target of a train row, (N,).

    Raises:
        ArtifactError: the file is not ours, or of a version that did not keep them.
    """
    path = folder / FILE
    try:
        counts = pq.ParquetFile(path).read([_COUNTS])[_COUNTS].to_numpy()
    except (OSError, KeyError, pa.ArrowException) as err:
        raise ArtifactError(
            f"{path}: no column {_COUNTS}, expected it to know what is popular; train again"
        ) from err
    return np.asarray(counts, dtype=np.int64)
