"""A dataset in the layouts of others: the authors' CSV files, RecBole's files of split windows.

Each function gives the files of a folder as `artifact.write_folder` takes them: by name, with the
function that writes each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.text.write_rows import (
    BLOCK,
    joined,
    lists,
    numbers,
    put_lines,
    quoted,
    texts,
    write_columns,
)
from dllm2rec.errors import InputError

Files = dict[str, Callable[[Path], None]]

_AUTHORS = {"train": "train_data", "validation": "val_data", "test": "test_data"}
_RECBOLE = {"train": "train", "validation": "valid", "test": "test"}


def authors_files(dataset: SequenceDataset) -> Files:
    """The authors' layout: three CSV files of windows and `items.csv`.

    An item is its index there; `items.csv` has the external id in a third column, `item_id`, which
    that layout's readers pass over.
    """
    files: Files = {}
    for split, rows in dataset.splits().items():
        files[f"{_AUTHORS[split]}.csv"] = _lines_writer(
            "seq,len_seq,next", _authors_lines, dataset, rows
        )
    files["items.csv"] = _items_writer(dataset.catalogue)
    return files


def recbole_window_files(dataset: SequenceDataset, name: str) -> Files:
    """RecBole's files of a dataset that is already split: the very rows, and `.item`.

    RecBole reads them with `benchmark_filename: [train, valid, test]` and `alias_of_item_id:
    [item_id_list]`. `user_id` is the number of the user, or of the row where there are no users.

    Raises:
        InputError: an item id holds white space, which separates the items of a list there.
    """
    ids = texts(dataset.catalogue.item_ids)
    spaced = compute.index(compute.match_substring_regex(ids, r"\s|^$"), value=True).as_py()
    if spaced >= 0:
        message = f"item id {ids[spaced].as_py()!r}, expected ids without white space for RecBole"
        raise InputError(message, code="E-LOG-SPACE")
    header = "user_id:token\titem_id_list:token_seq\titem_id:token"
    files: Files = {}
    for split, rows in dataset.splits().items():
        files[f"{name}.{_RECBOLE[split]}.inter"] = _lines_writer(
            header, partial(_recbole_lines, ids), dataset, rows
        )
    return files | recbole_items(name, dataset.catalogue.item_ids, dataset.catalogue.titles)


def _lines_writer(
    header: str,
    lines_of: Callable[[SequenceDataset, Rows], pa.Array],
    dataset: SequenceDataset,
    rows: Rows,
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(header.encode() + b"\n")
            step = max(1, BLOCK // dataset.max_length)
            for begin in range(0, len(rows), step):
                put_lines(file, lines_of(dataset, rows.take(slice(begin, begin + step))))

    return write


def _authors_lines(dataset: SequenceDataset, rows: Rows) -> pa.Array:
    windows = dataset.windows(rows)
    length = dataset.max_length
    counts = np.full(len(rows), length)
    listed = lists(numbers(windows.sequences.ravel()), counts, ", ")
    listed = joined(['"[', listed, ']"'], "")
    return joined([listed, numbers(windows.lengths), numbers(windows.targets)], ",")


def _recbole_lines(ids: pa.Array, dataset: SequenceDataset, rows: Rows) -> pa.Array:
    windows = dataset.windows(rows)
    real = np.arange(dataset.max_length) < windows.lengths[:, None]
    items = ids.take(pa.array(windows.sequences[real]))
    listed = lists(items, windows.lengths, " ")
    # Without users each row starts its own history, so that its start names it too.
    targets = ids.take(pa.array(windows.targets))
    cells = [numbers(rows.start), *(quoted(c, "\t") for c in (listed, targets))]
    return joined(cells, "\t")


def _items_writer(catalogue: Catalogue) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        indices = numbers(np.arange(catalogue.n_items))
        titles = texts(catalogue.titles or [""] * catalogue.n_items)
        columns = {"item": indices, "title": titles}
        if catalogue.item_ids != indices.to_pylist():
            columns["item_id"] = texts(catalogue.item_ids)
        write_columns(path, columns, ",")

    return write


def recbole_items(name: str, item_ids: list[str], titles: list[str] | None) -> Files:
    """RecBole's `.item`, or nothing where there are no titles."""
    if titles is None:
        return {}
    columns = {"item_id:token": texts(item_ids), "title:token_seq": texts(titles)}
    return {f"{name}.item": lambda path: write_columns(path, columns, "\t")}
