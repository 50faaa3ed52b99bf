"""What an item index stands for, kept beside every run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.text.arrow_buffers import text_array
from dllm2rec.errors import ArtifactError

FILE = "items.parquet"


def save_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """Write `items.parquet`: item_id and, where there are any, title; the row is the index."""
    columns = {"item_id": text_array(catalogue.item_ids)}
    if catalogue.titles is not None:
        columns["title"] = text_array(catalogue.titles)
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
