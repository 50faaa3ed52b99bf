"""What lists are measured by: the rows or users of a split, or of a file, and their targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.caller import words
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.lists.columns import Key
from dllm2rec.evaluate.lists.tables import ListTable

Int64Vector = npt.NDArray[np.int64]

_BLOCK = 1 << 18  # numbers looked up at once


@dataclass(frozen=True, eq=False)
class Cases:
    """Rows or users, each with at least one target.

    Attributes:
        key: whether lists are for rows or for users.
        case_of: what the `n`-th known owner is, -1 where it has no target; int64.
        owners: their names, text; None where an owner is the number of a row.
        items: the items' names, text. Targets that the catalogue lacks stand behind its items.
        n_items: how many items the catalogue has; 0 where there is none.
        case: of each target, ascending, int64 (M,).
        target: its item, ascending within a case, each once, int64 (M,).
        rows: of each case the row whose history comes before all its targets; None where there is
            no dataset.
    """

    key: Key
    case_of: Int64Vector
    owners: pa.Array | None
    items: pa.Array
    n_items: int
    case: Int64Vector
    target: Int64Vector
    rows: Rows | None

    @property
    def n(self) -> int:
        """How many cases there are."""
        return int(self.case[-1]) + 1

    @property
    def has_one_target_each(self) -> bool:
        """Whether no case has two."""
        return self.case.size == self.n


def cases_of_split(dataset: SequenceDataset, split: str, key: Key, source: str) -> Cases:
    """The rows of a split, or its users: each with the distinct targets of its rows.

    Raises:
        InputError: lists are by user, and the dataset does not know its users.
    """
    rows = dataset.splits()[split]
    owner, names = owners_of_rows(dataset, rows, key, source)
    order = np.lexsort((rows.end, owner))
    known, first = np.unique(owner[order], return_index=True)
    case_of = np.full(len(rows) if names is None else len(names), -1, np.int64)
    case_of[known] = np.arange(len(known))
    case, target = _distinct(case_of[owner], dataset.targets(rows).astype(np.int64))
    items = pa.array(dataset.catalogue.item_ids, pa.string())
    histories = rows.take(order[first])
    return Cases(key, case_of, names, items, dataset.n_items, case, target, histories)


def owners_of_rows(
    dataset: SequenceDataset, rows: Rows, key: Key, source: str
) -> tuple[Int64Vector, pa.Array | None]:
    """The number of each row, or of its user, and the users' names.

    Raises:
        InputError: lists are by user, and the dataset does not know its users.
    """
    if key == "row":
        return np.arange(len(rows)), None
    if dataset.users is None or not dataset.has_users:
        raise InputError(
            f"lists by user, but the dataset {dataset.name!r} does not say whose its events are, "
            "expected lists by row",
            code="E-USERS",
            path=source,
            hint="prepare the dataset from a log with user ids, or write the column row",
        )
    owner = np.searchsorted(dataset.users.starts, rows.end, side="right") - 1
    return owner.astype(np.int64), dataset.users.ids


def cases_of_targets(
    targets: ListTable, dataset: SequenceDataset | None, split: str
) -> tuple[Cases, list[str]]:
    """The owners of a file of targets, and what should be known of it.

    A line whose score (relevance) is 0 or less is no target; one that is there twice counts once.

    Raises:
        InputError: no target is left, or the dataset does not know the owners.
    """
    is_target = np.ones(len(targets.owners), np.bool_)
    if targets.score is not None:
        is_target = targets.score > 0
    notes: list[str] = []
    rows = None if dataset is None else dataset.splits()[split]
    if dataset is None or rows is None:
        names = texts(targets.owners.filter(pa.array(is_target)).unique())
        owner_of_row = None
    else:
        owner_of_row, names = owners_of_rows(dataset, rows, targets.key, targets.source)
    n_owners = len(rows) if names is None and rows is not None else len(names)
    owner = numbers_of(targets.owners, names, n_owners, targets)
    is_known = is_target & (owner >= 0)
    if owner_of_row is not None and rows is not None:
        has_row = np.zeros(n_owners, np.bool_)
        has_row[owner_of_row] = True
        is_known &= has_row[np.maximum(owner, 0)]
        n_left_out = int((is_target & ~is_known).sum())
        if n_left_out:
            what = f"targets of who has no {split} row"
            notes.append(f"{n_left_out:,} {what} in {targets.source} are left out")
    if not is_known.any():
        message = "no target of a known row or user, expected some"
        raise InputError(message, code="E-FOREIGN", path=targets.source)
    items, catalogue = _items(targets, is_known, dataset)
    known = np.flatnonzero(np.bincount(owner[is_known], minlength=n_owners))
    case_of = np.full(n_owners, -1, np.int64)
    case_of[known] = np.arange(len(known))
    index = numbers_of(targets.items, items, len(items), targets)
    is_known &= index >= 0
    case, target = _distinct(case_of[owner[is_known]], index[is_known].astype(np.int64))
    if dataset is not None and (n_foreign := int((target >= catalogue).sum())):
        what = "targets are not in the catalogue and count as missed"
        notes.append(f"{n_foreign:,} {what}")
    histories = None
    if owner_of_row is not None and rows is not None:
        order = np.lexsort((rows.end, owner_of_row))
        of_owner, first = np.unique(owner_of_row[order], return_index=True)
        place = np.searchsorted(of_owner, known)
        histories = rows.take(order[first][place])
    found = Cases(targets.key, case_of, names, items, catalogue, case, target, histories)
    return found, notes


def _items(
    targets: ListTable, is_known: npt.NDArray[np.bool_], dataset: SequenceDataset | None
) -> tuple[pa.Array, int]:
    """The items that can be named, the catalogue's first, and how many the catalogue has."""
    named = texts(targets.items.filter(pa.array(is_known)).unique().drop_null())
    if dataset is None:
        return named, 0
    catalogue = pa.array(dataset.catalogue.item_ids, pa.string())
    is_new = compute.invert(compute.is_in(named, value_set=catalogue))
    return pa.concat_arrays([catalogue, named.filter(is_new)]), len(catalogue)


def _distinct(case: Int64Vector, item: Int64Vector) -> tuple[Int64Vector, Int64Vector]:
    width = int(item.max()) + 1
    keys = np.sort(case * width + item)  # as np.unique, which hashes first, but much faster
    return np.divmod(keys[np.append(True, keys[1:] != keys[:-1])], width)


def numbers_of(
    column: pa.ChunkedArray, names: pa.Array | None, n_names: int, table: ListTable
) -> npt.NDArray[np.int32]:
    """The number of each name among `names`, -1 where it is none; rows are their own numbers.

    They are narrow, as there is one for each listed item: multiply them as int64.

    Raises:
        InputError: a row's number is no whole number, or beyond the rows.
    """
    if names is not None and (found := _of_numbers(column, names)) is not None:
        return found
    is_coded = pa.types.is_dictionary(column.type)
    coded = column.unify_dictionaries() if is_coded else column.dictionary_encode()
    if not coded.num_chunks:
        return np.zeros(0, np.int32)
    values = texts(coded.chunk(0).dictionary)
    if names is None:
        number = _row_numbers(values, n_names, table)
    else:
        found = compute.index_in(values, value_set=names).fill_null(-1)
        number = found.to_numpy(zero_copy_only=False).astype(np.int64)
    narrow = np.append(number, -1).astype(np.int32)
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in coded.chunks]
    of_lines: npt.NDArray[np.int32] = narrow[np.concatenate(codes)]
    return of_lines


def _of_numbers(column: pa.ChunkedArray, names: pa.Array) -> npt.NDArray[np.int32] | None:
    """As `numbers_of`, without a text for each number; None where not all are whole numbers."""
    if not pa.types.is_integer(column.type):
        return None
    try:
        numbers = names.cast(pa.int64())
        if not numbers.cast(names.type).equals(names):  # such as 007
            return None
        values = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    if not values.null_count:
        by_table = _by_table(values.to_numpy(), numbers.to_numpy())
        if by_table is not None:
            return by_table
    found = compute.index_in(values, value_set=numbers)
    of_lines: npt.NDArray[np.int32] = found.fill_null(-1).to_numpy().astype(np.int32, copy=False)
    return of_lines


def _by_table(values: Int64Vector, names: Int64Vector) -> npt.NDArray[np.int32] | None:
    """The number of each value by a table of all that lie between names; None where it is large.

    A hash of a million names misses the cache at each of 20 million values: 2.3 s for 0.5 s.
    """
    low, high = (int(names.min()), int(names.max())) if len(names) else (0, 0)
    if high - low > len(values) + len(names) or max(-low, high) > 2**62:
        return None
    table = np.full(high - low + 3, -1, np.int32)  # one more at each end, for what is beyond
    table[names[::-1] - low + 1] = np.arange(len(names), dtype=np.int32)[::-1]
    found = np.empty(len(values), np.int32)
    for begin in range(0, len(values), _BLOCK):
        part = np.clip(values[begin : begin + _BLOCK], low - 1, high + 1)
        found[begin : begin + _BLOCK] = table[part - (low - 1)]
    return found


def _row_numbers(values: pa.Array, n_rows: int, table: ListTable) -> Int64Vector:
    is_number = compute.match_substring_regex(values, r"^\d{1,15}$").to_numpy(zero_copy_only=False)
    number = np.full(len(values), -1, np.int64)
    number[is_number] = values.filter(pa.array(is_number)).cast(pa.int64()).to_numpy()
    bad = ~is_number | (number >= n_rows)
    if bad.any():
        message = f"row {values[int(bad.argmax())].as_py()!a}, expected 0..{n_rows - 1}"
        hint = "rows are those of the split, counted from 0 in the dataset's order"
        raise InputError(message, code="E-ROWS", path=table.source, hint=hint)
    return number


def texts(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Names as text; whole numbers that a frame with gaps made float are whole again.

    Raises:
        InputError: they are neither text nor whole numbers.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        if pa.types.is_floating(values.type):
            values = values.cast(pa.int64())
        return values.cast(pa.string())
    except pa.ArrowException as err:
        message = f"ids of type {values.type}, expected texts or whole numbers"
        hint = words(python="cast the column to str", option="write the column as text")
        raise InputError(message, code="E-COLUMN", hint=hint) from err
