"""BIGRec's own files: three CSV files of windows in time order, and `id2name.txt`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.logs.titles.read_titles import read_titles
from dllm2rec.data.text.csv_table import CsvTable, find_csv, read_csv
from dllm2rec.data.text.parse_int_lists import parse_ragged_lists, parse_whole_numbers
from dllm2rec.errors import InputError

Int64Vector = npt.NDArray[np.int64]

STEMS = {"train": "train", "validation": "valid", "test": "test"}
HISTORY, TARGET = "history_item_id", "item_id"
NAMES = "id2name.txt"


def load_bigrec_dataset(folder: Path) -> SequenceDataset:
    """Read `train`, `valid` and `test` (.csv or .csv.gz) and `id2name.txt` of a folder.

    Each row holds `history_item_id` (a list of item indices, oldest first) and `item_id` (the
    target); it becomes a pseudo-user, as in the authors' layout. The external id of an item is its
    index as text; max_length is the longest list.

    Raises:
        InputError: a file is missing or breaks a rule; the message names line and column.
    """
    catalogue, notes = _catalogue(folder / NAMES)
    events: list[npt.NDArray[np.uint32]] = []
    rows: dict[str, Rows] = {}
    n_events, longest = 0, 0
    for split, stem in STEMS.items():
        values, counts, targets = _read_split(folder, stem, catalogue.n_items)
        ends = n_events + np.cumsum(counts + 1) - 1
        rows[split] = Rows(ends - counts, ends)
        # A target goes where the next row's history begins.
        events.append(np.insert(values, np.cumsum(counts), targets).astype(np.uint32))
        n_events += events[-1].size
        longest = max(longest, int(counts.max()))
    return SequenceDataset(
        name=folder.resolve().name,
        catalogue=catalogue,
        events=np.concatenate(events),
        max_length=longest,
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
        has_users=False,
        notes=notes,
    )


def _catalogue(path: Path) -> tuple[Catalogue, list[str]]:
    found = read_titles(path, "bigrec")
    ids = found.table["item_id"].cast(pa.int64()).to_numpy()
    order = np.argsort(ids, kind="stable")
    if (ids[order] != np.arange(ids.size)).any():
        gap = int((ids[order] != np.arange(ids.size)).argmax())
        message = f"no line for item {gap}, expected each of 0..{ids.size - 1} once"
        raise InputError(message, code="E-ITEM-RANGE", path=path)
    titles: list[str] = found.table["title"].take(order).to_pylist()
    return Catalogue([str(item) for item in range(ids.size)], titles), found.notes


def _read_split(
    folder: Path, stem: str, n_items: int
) -> tuple[Int64Vector, Int64Vector, Int64Vector]:
    """Return the histories one after the other, the length of each, and the targets."""
    path = find_csv(folder, stem)
    if path is None:
        message = f"no {stem}.csv or {stem}.csv.gz, expected one"
        raise InputError(message, code="E-FILE", path=folder)
    table = read_csv(path, (HISTORY, TARGET))
    values, counts = parse_ragged_lists(table, HISTORY)
    targets = parse_whole_numbers(table, TARGET)
    if (counts == 0).any():
        message = "an empty history, expected at least one item"
        raise table.fault(HISTORY, int(counts.argmin()), message, code="E-LEN-SEQ")
    highest = np.maximum.reduceat(values, np.cumsum(counts) - counts)
    _check_range(table, HISTORY, highest, n_items)
    _check_range(table, TARGET, targets, n_items)
    return values, counts, targets


def _check_range(table: CsvTable, column: str, items: Int64Vector, n_items: int) -> None:
    if (items >= n_items).any():
        row = int((items >= n_items).argmax())
        message = f"item {items[row]}, expected 0..{n_items - 1} as in {NAMES}"
        raise table.fault(column, row, message, code="E-ITEM-RANGE")
