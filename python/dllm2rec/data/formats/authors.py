"""The layout of the paper's authors: three CSV files of windows, one row a pseudo-user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.text.arrow_buffers import array_of
from dllm2rec.data.text.csv_table import CsvTable, find_csv, read_csv
from dllm2rec.data.text.parse_int_lists import parse_int_lists, parse_whole_numbers
from dllm2rec.errors import InputError

_STEMS = {"train": "train_data", "validation": "val_data", "test": "test_data"}
_COLUMNS = ("seq", "len_seq", "next")


def load_authors_dataset(folder: Path, *, strict: bool = False) -> SequenceDataset:
    """Read `train_data`, `val_data` and `test_data` (.csv or .csv.gz) and `items.csv`, if there.

    Each row holds `seq` (L item indices, oldest first, right-padded with n_items), `len_seq` (how
    many are real) and `next` (the target). It becomes a pseudo-user of len_seq + 1 events. The
    external id of an item is its index as text. Without `items.csv` the number of items is the
    padding index, or one above the highest item where no row is padded.

    Args:
        folder: where the files are.
        strict: refuse rows that are in train and in another split.

    Raises:
        InputError: a file is missing or breaks a rule; the message names line and column.
    """
    files = {split: _read_split(folder, stem) for split, stem in _STEMS.items()}
    _check_one_length(files)
    catalogue, notes = _catalogue(folder, files)
    if catalogue.n_items < 2:
        message = "a catalogue of one item, expected at least two: nothing could be recommended"
        raise InputError(message, code="E-CATALOGUE", path=folder)
    for file in files.values():
        _check_rows(file, catalogue.n_items)
    events, rows = _events(files)
    dataset = SequenceDataset(
        name=folder.resolve().name,
        catalogue=catalogue,
        events=events,
        max_length=files["train"].sequences.shape[1],
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
        has_users=False,
        notes=notes,
    )
    dataset.notes.extend(_observations(dataset, files, strict=strict))
    return dataset


@dataclass(frozen=True, eq=False)
class _SplitFile:
    """One file's numbers as written: sequences int64 (R, L), lengths and targets int64 (R,)."""

    table: CsvTable
    sequences: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]

    def row_keys(self) -> npt.NDArray[np.uint64]:
        """Return a 64-bit hash of each row; two different rows share one with odds of 2**-64."""
        weights = np.random.Generator(np.random.PCG64(20240817)).integers(
            1, 2**63, self.sequences.shape[1] + 1, dtype=np.uint64
        )
        mixed: npt.NDArray[np.uint64] = self.targets.astype(np.uint64) * weights[-1]
        for place, weight in enumerate(weights[:-1]):
            mixed = (mixed ^ (mixed >> np.uint64(29))) * weights[-1]
            mixed += self.sequences[:, place].astype(np.uint64) * weight
        return mixed


def _read_split(folder: Path, stem: str) -> _SplitFile:
    path = find_csv(folder, stem)
    if path is None:
        raise _missing(folder, stem)
    table = read_csv(path, _COLUMNS)
    return _SplitFile(
        table,
        parse_int_lists(table, "seq"),
        parse_whole_numbers(table, "len_seq"),
        parse_whole_numbers(table, "next"),
    )


def _missing(folder: Path, stem: str) -> InputError:
    pickled = folder / f"{stem}.df"
    if pickled.exists():
        return InputError(
            f"a pickled frame, which may run code when loaded, expected {stem}.csv",
            code="E-CONTENT",
            path=pickled,
            hint=f"if you trust it: python -c \"import pandas; pandas.read_pickle('{stem}.df')"
            f".to_csv('{stem}.csv', index=False)\"",
        )
    return InputError(f"no {stem}.csv or {stem}.csv.gz, expected one", code="E-FILE", path=folder)


def _check_one_length(files: dict[str, _SplitFile]) -> None:
    length = files["train"].sequences.shape[1]
    for file in files.values():
        if file.sequences.shape[1] != length:
            message = f"lists of {file.sequences.shape[1]} items, expected {length} as in train"
            raise file.table.fault("seq", 0, message, code="E-RAGGED")


def _catalogue(folder: Path, files: dict[str, _SplitFile]) -> tuple[Catalogue, list[str]]:
    path = find_csv(folder, "items")
    if path is not None:
        titles = _titles(read_csv(path, ("item", "title")))
        return Catalogue([str(item) for item in range(len(titles))], titles), []
    n_items, source = _n_items_from_rows(files)
    note = f"no items.csv: {n_items:,} items, known from {source}; no titles"
    return Catalogue([str(item) for item in range(n_items)]), [note]


def _titles(table: CsvTable) -> list[str]:
    """Return the titles in the order of the `item` column, which must hold 0..R-1 once each."""
    items = parse_whole_numbers(table, "item")
    order = np.argsort(items, kind="stable")
    bad = items[order] != np.arange(items.size)
    if bad.any():
        # The first gap in sorted order: an index twice, or one that leaves a hole below it.
        row = int(order[int(bad.argmax())])
        message = f"item {items[row]}, expected each of 0..{items.size - 1} once"
        raise table.fault("item", row, message, code="E-ITEM-RANGE")
    titles: list[str] = table.columns["title"].take(array_of(order)).to_pylist()
    return titles


def _n_items_from_rows(files: dict[str, _SplitFile]) -> tuple[int, str]:
    for file in files.values():
        padded = file.lengths < file.sequences.shape[1]
        if padded.any():
            return int(file.sequences[padded, -1].max()), "the padding index"
    highest = max(max(int(f.sequences.max()), int(f.targets.max())) for f in files.values())
    return highest + 1, "the highest index"


def _check_rows(file: _SplitFile, n_items: int) -> None:
    """Refuse what L29 to L31 of the rules name: lengths, padding and targets that cannot be."""
    length = file.sequences.shape[1]
    places = np.arange(length)
    is_padding = file.sequences == n_items
    n_real = length - is_padding.sum(axis=1)
    checks: tuple[tuple[npt.NDArray[np.bool_], str, str, Callable[[int], str]], ...] = (
        (
            (file.lengths < 1) | (file.lengths > length),
            "len_seq",
            "E-LEN-SEQ",
            lambda r: f"len_seq = {file.lengths[r]}, expected 1..{length}",
        ),
        (
            file.sequences.max(axis=1) > n_items,
            "seq",
            "E-ITEM-RANGE",
            lambda r: (
                f"item {file.sequences[r].max()}, expected 0..{n_items - 1}, "
                f"or the padding index {n_items}"
            ),
        ),
        (
            file.lengths != n_real,
            "len_seq",
            "E-LEN-SEQ",
            lambda r: (
                f"len_seq = {file.lengths[r]}, expected {n_real[r]}: so many items of the "
                f"list are not the padding index {n_items}"
            ),
        ),
        (
            (is_padding ^ (places >= file.lengths[:, None])).any(axis=1),
            "seq",
            "E-PAD",
            lambda r: f"the padding index {n_items} before a real item, expected it on the right",
        ),
        (
            file.targets >= n_items,
            "next",
            "E-TARGET-RANGE",
            lambda r: (
                f"target {file.targets[r]}"
                + (" is the padding index" if file.targets[r] == n_items else "")
                + f", expected 0..{n_items - 1}"
            ),
        ),
    )
    for bad, column, code, message in checks:
        if bad.any():
            row = int(bad.argmax())
            raise file.table.fault(column, row, message(row), code=code)


def _events(
    files: dict[str, _SplitFile],
) -> tuple[npt.NDArray[np.uint32], dict[str, Rows]]:
    """Lay the rows out one after the other: the window's real items, then the target."""
    parts: list[npt.NDArray[np.uint32]] = []
    rows: dict[str, Rows] = {}
    n_events = 0
    for split, file in files.items():
        n_rows, length = file.sequences.shape
        wide = np.empty((n_rows, length + 1), dtype=np.uint32)
        wide[:, :length] = file.sequences
        wide[np.arange(n_rows), file.lengths] = file.targets
        parts.append(wide[np.arange(length + 1) <= file.lengths[:, None]])
        ends = n_events + np.cumsum(file.lengths + 1) - 1
        rows[split] = Rows(ends - file.lengths, ends)
        n_events += parts[-1].size
    return np.concatenate(parts), rows


def _observations(
    dataset: SequenceDataset, files: dict[str, _SplitFile], *, strict: bool
) -> list[str]:
    """Count what is allowed but moves the figures."""
    keys = {split: file.row_keys() for split, file in files.items()}
    notes = []
    n_test = len(dataset.test)
    leaked = {s: int(np.isin(keys[s], keys["train"]).sum()) for s in ("validation", "test")}
    for split, count in leaked.items():
        if count:
            note = f"W-LEAK: {count:,} of {keys[split].size:,} {split} rows are train rows too"
            if strict:
                raise InputError(note, code="E-LEAK", path=files[split].table.path)
            notes.append(note)
    repeated = n_test - np.unique(keys["test"]).size
    if repeated:
        notes.append(f"{repeated:,} of {n_test:,} test rows repeat another test row")
    in_window = (files["test"].sequences == files["test"].targets[:, None]).any(axis=1).sum()
    if in_window:
        notes.append(f"{in_window:,} of {n_test:,} test targets are already in their window")
    cold = int((dataset.target_counts()[dataset.targets(dataset.test)] == 0).sum())
    if cold:
        notes.append(
            f"{cold:,} of {n_test:,} test targets ({cold / n_test:.1%}) are never a train target"
        )
    return notes
