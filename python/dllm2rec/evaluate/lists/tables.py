"""Tables of ranked lists: one line an item, whatever shape they came in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.errors import InputError
from dllm2rec.evaluate.lists.columns import Key, ListColumns, list_columns
from dllm2rec.teacher.answers.cells import always, split_items


@dataclass(frozen=True, eq=False)
class ListTable:
    """Ranked lists, a line an item.

    Attributes:
        source: the file, or what else a message calls it.
        key: whether the lists are for rows or for users.
        owners: whose list each line is of, text or whole numbers.
        items: text or whole numbers; null where there is none.
        rank: place of each line, the best has the smallest, or None.
        score: the best has the largest, or None.
    """

    source: str
    key: Key
    owners: pa.ChunkedArray
    items: pa.ChunkedArray
    rank: npt.NDArray[np.float64] | None
    score: npt.NDArray[np.float64] | None


def of_columns(table: pa.Table, columns: ListColumns, source: str) -> ListTable:
    """Take the columns of a table: a line an item, or a list in one cell.

    Raises:
        InputError: an owner is missing, or numbers are not finite or not as many as items.
    """
    if not table.num_rows:
        raise InputError("no lists, expected some", code="E-EMPTY", path=source)
    owners, items = table.column(columns.owner), table.column(columns.items)
    _check_owners(owners, columns.owner, source)
    rank, score = _numbers(table, columns.rank, source), _numbers(table, columns.score, source)
    if pa.types.is_nested(items.type):
        return _exploded(table, columns, source)
    if _is_text(items.type) and rank is None and score is None and _are_distinct(owners):
        texts = items.cast(pa.string()).to_pylist()
        cells = [[] if text is None else split_items(text, always) for text in texts]
        lengths = [len(cell) for cell in cells]
        owners = owners.take(np.repeat(np.arange(len(cells)), lengths))
        flat = [_id_text(value) for cell in cells for value in cell]
        return ListTable(source, columns.key, owners, _texts(flat), None, None)
    return ListTable(source, columns.key, owners, items, rank, score)


def _check_owners(owners: pa.ChunkedArray, name: str, source: str) -> None:
    if owners.null_count:
        row = owners.is_null().index(True).as_py() + 1
        message = f"row {row}: no {name}, expected whose list it is"
        raise InputError(message, code="E-LIST-KEY", path=source)


def _numbers(table: pa.Table, name: str | None, source: str) -> npt.NDArray[np.float64] | None:
    """A column of numbers; None where it is of lists, which `_exploded` reads."""
    if name is None or pa.types.is_nested(table.schema.field(name).type):
        return None
    try:
        values = table.column(name).cast(pa.float64()).to_numpy()
    except pa.ArrowException as err:
        message = f"column {name!a}: {str(err)[:80]}, expected numbers"
        raise InputError(message, code="E-COLUMN", path=source) from err
    return _finite(values, name, source)


def _finite(values: npt.NDArray[np.float64], name: str, source: str) -> npt.NDArray[np.float64]:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        message = f"row {row + 1}, {name}: {values[row]}, expected a finite number"
        raise InputError(message, code="E-SCORE-NONFINITE", path=source)
    return values


def _exploded(table: pa.Table, columns: ListColumns, source: str) -> ListTable:
    """Lists of items, or of structs of an item and its score or rank, in one cell."""
    lists = table.column(columns.items).combine_chunks()
    owners = table.column(columns.owner).take(compute.list_parent_indices(lists))
    values = compute.list_flatten(lists)
    if pa.types.is_struct(values.type):
        inner = pa.table({field.name: values.field(field.name) for field in values.type})
        named = list_columns([*inner.column_names, columns.owner], source)
        rank, score = (_numbers(inner, name, source) for name in (named.rank, named.score))
        return ListTable(source, columns.key, owners, inner.column(named.items), rank, score)
    numbers = [_beside(table, name, len(values), source) for name in (columns.rank, columns.score)]
    return ListTable(source, columns.key, owners, pa.chunked_array([values]), *numbers)


def _beside(
    table: pa.Table, name: str | None, length: int, source: str
) -> npt.NDArray[np.float64] | None:
    """Lists of numbers beside those of the items; None where the column is no list."""
    if name is None or not pa.types.is_nested(table.schema.field(name).type):
        return None
    values = compute.list_flatten(table.column(name).combine_chunks()).cast(pa.float64())
    if len(values) != length:
        message = f"column {name!a}: {len(values)} numbers for {length} items, expected as many"
        raise InputError(message, code="E-SHAPE", path=source)
    return _finite(values.to_numpy(zero_copy_only=False), name, source)


def of_mapping(lists: Mapping[Any, Any], source: str) -> ListTable:
    """Take a dict: user -> items, best first, or user -> {item: score}.

    Raises:
        InputError: it is empty, two users are spelled alike, or a score is no finite number.
    """
    owners: list[str] = []
    items: list[str] = []
    scores: list[Any] = []
    lengths = []
    with_scores = all(isinstance(one, Mapping) for one in lists.values())
    for owner, one in lists.items():
        owners.append(str(owner))
        items += map(_id_text, one)
        lengths.append(len(one))
        if with_scores:
            scores += one.values()
    if not items:
        raise InputError("no lists, expected some", code="E-EMPTY", path=source)
    if len(set(owners)) < len(owners):
        message = "users that are spelled alike, such as 7 and '7', expected each once"
        raise InputError(message, code="E-LIST-TWICE", path=source)
    repeated = _texts(owners).take(np.repeat(np.arange(len(owners)), lengths))
    try:
        values = np.array(scores, np.float64) if with_scores else None
    except (TypeError, ValueError) as err:
        message = "a score that is no number, expected user -> {item: score}"
        raise InputError(message, code="E-JSON", path=source) from err
    checked = None if values is None else _finite(values, "score", source)
    return ListTable(source, "user", repeated, _texts(items), None, checked)


def of_records(records: Iterable[Mapping[str, Any]], names: list[str], source: str) -> ListTable:
    """Take JSON lines: a list in one cell, or a line an item.

    Raises:
        InputError: a line lacks owner or items, or numbers are not as many as items.
    """
    columns = list_columns(names, source)
    owners: list[str] = []
    items: list[str] = []
    ranks: list[Any] = []
    scores: list[Any] = []
    for line, cells in enumerate(records, 1):
        missing = next((n for n in (columns.owner, columns.items) if cells.get(n) is None), None)
        if missing is not None:
            message = f"no {missing!a}, expected it as in the first line"
            raise InputError(message, code="E-JSON", path=source, line=line)
        cell = cells[columns.items]
        listed = cell if isinstance(cell, list) else [cell]
        owners += [_id_text(cells[columns.owner])] * len(listed)
        items += map(_id_text, listed)
        for name, values in ((columns.rank, ranks), (columns.score, scores)):
            if name is not None:
                beside = cells.get(name)
                values += beside if isinstance(beside, list) else [beside]
    rank = _of_cells(columns.rank, ranks, len(items), source)
    score = _of_cells(columns.score, scores, len(items), source)
    return ListTable(source, columns.key, _texts(owners), _texts(items), rank, score)


def _of_cells(
    name: str | None, values: list[Any], n_items: int, source: str
) -> npt.NDArray[np.float64] | None:
    if name is None:
        return None
    if len(values) != n_items:
        message = f"{name}: {len(values)} numbers for {n_items} items, expected as many"
        raise InputError(message, code="E-SHAPE", path=source)
    try:
        return _finite(np.array(values, np.float64), name, source)
    except (TypeError, ValueError) as err:
        message = f"{name}: a value that is no number, expected numbers"
        raise InputError(message, code="E-JSON", path=source) from err


def _texts(values: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


def _id_text(value: object) -> str:
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("item_id", "id", "item") if name in value), None)
    return str(value)


def _is_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _are_distinct(owners: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(owners.type):  # Arrow counts no dictionaries
        owners = owners.cast(owners.type.value_type)
    return bool(compute.count_distinct(owners).as_py() == len(owners))
