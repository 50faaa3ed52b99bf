"""Records to lists: one for each row, user or history, in the order of the ranks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dllm2rec.data.text.json_objects import half_pair
from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.cells import always, id_text, split_items
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.records import Record

Key = tuple[str, ...]
MAX_REPEATS = 4  # one rank in so many may be there twice
_MAX_SHARED = 1 << 16  # texts of which one copy is kept: users, ids and titles recur
_ABSENT = object()


class Place(NamedTuple):
    """One place of a list.

    Attributes:
        text: the title or id as the file has it; "" where there is none.
        beside: the id that stands beside a title, or "".
        distance: as the file has it, or None.
        line: its line or row.
    """

    text: str
    beside: str
    distance: float | None
    line: int


class _Kept(NamedTuple):
    """The cells of a record that say what is listed, `_ABSENT` where it has none."""

    line: int
    item: object
    beside: object
    rank: object
    distance: object


class _Whose(NamedTuple):
    """Whose a list is, as `AnsweredList` has it."""

    line: int
    row: int | None
    user: str | None
    history: Key | None


@dataclass(slots=True)
class AnsweredList:
    """A list and whose it is.

    Attributes:
        line: where it begins in the file.
        row: the number of the train row, if the file says it.
        user: the user's id, if the file says it.
        history: ids or titles, oldest first, if the file says them.
        places: the list, best first.
    """

    line: int
    row: int | None
    user: str | None
    history: Key | None
    places: list[Place] = field(default_factory=list)


def read_lists(
    path: Path, records: Iterable[Record], columns: AnswerColumns, is_id: Callable[[str], bool]
) -> list[AnsweredList]:
    """Put records together: lists written a line per item, and lists in one cell.

    A list is written a line per item where there is a column of ranks; where its cell is one text
    without line ends and other records are for the same row, user or history; else in one cell.

    `is_id` tells the ids of the catalogue, which may stand in one text with blanks between.

    Raises:
        InputError: a record lacks a cell or has one that cannot be meant, two lists are for one
            row, user or history, or a rank is there twice.
    """
    reader = _Reader(path, columns, is_id)
    found: list[_Whose] = []
    groups: list[list[_Kept]] = []
    numbers: dict[Any, int] = {}
    for record in records:
        whose = reader.whose(record)
        number = numbers.setdefault(_key(whose), len(found))
        if number == len(found):
            found.append(whose)
            groups.append([])
        groups[number].append(reader.kept(record))
    del numbers
    is_long = columns.rank is not None or any(len(group) > 1 for group in groups)
    found.reverse()
    groups.reverse()
    lists = []
    while found:
        first, group = found.pop(), groups.pop()  # what was read goes as its places come
        if is_long and all(map(is_one, group)):
            places = reader.ranked(first, group)
        else:
            if len(group) > 1:
                raise InputError(
                    f"a second list for {shown_key(first)}, the first is in line {first.line}, "
                    "expected one for each",
                    code="E-LIST-TWICE",
                    path=path,
                    line=group[1].line,
                    hint="keep one of them",
                )
            places = reader.whole(group[0])
        lists.append(AnsweredList(*first, places))
    return lists


def _key(answered: _Whose) -> int | str | tuple[str | None, Key | None]:
    """What records of one list have in common: its row, else its user and history."""
    if answered.row is not None:
        return answered.row
    if answered.history is None and answered.user is not None:
        return answered.user
    return answered.user, answered.history


def shown_key(answered: AnsweredList | _Whose) -> str:
    """Whose list it is, as a message says it."""
    if answered.row is not None:
        return f"row {answered.row}"
    if answered.user is not None:
        return f"user {answered.user!a}"
    return f"the history {', '.join(answered.history or ())[:60]!a}"


def is_one(record: _Kept) -> bool:
    """Whether the cell of items holds one item."""
    cell = record.item
    if isinstance(cell, str):
        text = cell.strip()
        return "\n" not in text and not (text.startswith("[") and text.endswith("]"))
    return not isinstance(cell, list)


class _Reader:
    def __init__(self, path: Path, columns: AnswerColumns, is_id: Callable[[str], bool]) -> None:
        self._is_id = is_id
        self._path = path
        self._columns = columns
        self._items = columns.titles or columns.ids or columns.items or ""
        self._beside = columns.ids if columns.titles is not None else None
        self._texts: dict[str, str] = {}
        self._is_id_here = always if self._items == columns.ids else is_id

    def whose(self, record: Record) -> _Whose:
        columns = self._columns
        row = user = history = None
        if columns.row is not None:
            row = self._number(record.line, columns.row, self._cell(record, columns.row))
        if columns.user is not None and (row is None or columns.user in record.cells):
            user = self._text(record, columns.user)
        if columns.history is not None and (row is None or columns.history in record.cells):
            values = split_items(self._cell(record, columns.history), self._is_id)
            history = tuple(str(self._value(record.line, columns.history, v)) for v in values)
        return _Whose(record.line, row, user, history)

    def kept(self, record: Record) -> _Kept:
        """What is needed of a record once it is known whose it is; texts that recur are shared."""
        names = (self._items, self._beside, self._columns.rank, self._columns.distance)
        cells = (_ABSENT if name is None else record.cells.get(name, _ABSENT) for name in names)
        return _Kept(record.line, *map(self._shared, cells))

    def _shared(self, cell: object) -> object:
        if isinstance(cell, list):
            return [*map(self._shared, cell)] if all(type(one) is str for one in cell) else cell
        if not isinstance(cell, str) or len(self._texts) >= _MAX_SHARED:
            return self._texts.get(cell, cell) if isinstance(cell, str) else cell
        return self._texts.setdefault(cell, cell)

    def ranked(self, whose: _Whose, records: list[_Kept]) -> list[Place]:
        """A list written a line per item, by rank, or as it stands."""
        if self._columns.rank is None:
            return [self._place(record) for record in records]
        ranks = [self._rank(record) for record in records]
        first: dict[int, _Kept] = {}
        again = [
            (number, record)
            for number, record in zip(ranks, records, strict=True)
            if first.setdefault(number, record) is not record
        ]
        # A model that miscounts repeats a rank or two, a second list repeats all of them.
        if again and MAX_REPEATS * len(again) > len(records):
            number, record = again[0]
            raise InputError(
                f"rank {number} a second time for {shown_key(whose)}, the first is "
                f"in line {first[number].line}, expected each rank once",
                code="E-LIST-TWICE",
                path=self._path,
                line=record.line,
                hint="answers of several models or users under one name? keep one of them",
            )
        order = sorted(range(len(records)), key=ranks.__getitem__)
        return [self._place(records[place]) for place in order]

    def whole(self, record: _Kept) -> list[Place]:
        """A list in one cell."""
        column = self._items
        line = record.line
        values = split_items(self._present(record.item, column, line), self._is_id_here)
        distances: list[Any] = [None] * len(values)
        if (of_distances := self._columns.distance) is not None:
            distances = split_items(self._present(record.distance, of_distances, line), always)
            if len(distances) != len(values):
                message = f"{len(distances)} distances for {len(values)} items, expected as many"
                raise InputError(message, code="E-SHAPE", path=self._path, line=line)
        beside: list[Any] = [""] * len(values)
        if self._beside is not None and record.beside is not _ABSENT:
            ids = split_items(record.beside, always)
            beside = ids if len(ids) == len(values) else beside
        return [
            Place(
                str(self._value(line, column, value)),
                id_text(one),
                None if distance is None else self._distance(line, distance),
                line,
            )
            for value, one, distance in zip(values, beside, distances, strict=True)
        ]

    def _place(self, record: _Kept) -> Place:
        column, line = self._items, record.line
        of_distances = self._columns.distance
        value = self._value(line, column, self._present(record.item, column, line))
        beside = None if record.beside is _ABSENT else record.beside
        number = None
        if of_distances is not None:
            number = self._distance(line, self._present(record.distance, of_distances, line))
        return Place(str(value), id_text(beside), number, line)

    def _rank(self, record: _Kept) -> int:
        column = self._columns.rank or ""
        return self._number(record.line, column, self._present(record.rank, column, record.line))

    def _cell(self, record: Record, column: str) -> Any:  # noqa: ANN401 - as JSON has it
        return self._present(record.cells.get(column, _ABSENT), column, record.line)

    def _present(self, cell: object, column: str, line: int) -> Any:  # noqa: ANN401 - as JSON has it
        if cell is _ABSENT:
            message = f"no {column!a}, expected it as in the first line"
            raise InputError(message, code="E-JSON", path=self._path, line=line)
        return cell

    def _text(self, record: Record, column: str) -> str:
        value = self._value(record.line, column, self._cell(record, column))
        if not value:
            message = f"{column}: empty, expected whose list it is"
            raise InputError(message, code="E-LIST-KEY", path=self._path, line=record.line)
        return value

    def _number(self, line: int, column: str, cell: object) -> int:
        text = str(cell).strip()
        if isinstance(cell, bool) or not re.fullmatch(r"\d{1,15}(\.0)?", text):
            message = f"{column}: {text[:40]!a}, expected a whole number, 0 or more"
            raise InputError(message, code="E-LIST-KEY", path=self._path, line=line)
        return int(text.removesuffix(".0"))

    def _distance(self, line: int, value: object) -> float:
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            message = f"distance {str(value)[:40]!a}, expected a finite number, 0 or more"
            raise InputError(message, code="E-CONF-NONFINITE", path=self._path, line=line)
        return number

    def _value(self, line: int, column: str, value: object) -> str:
        """A title or id as text; of an object its title, name or id."""
        if isinstance(value, dict):
            names = ("title", "name", "item_title", "item_id", "id", "item")
            value = next((value[name] for name in names if name in value), value)
        if isinstance(value, str) and half_pair(value):
            message = f"{column}: {ascii(value)[:40]} has half a surrogate pair, expected text"
            raise InputError(message, code="E-ENC", path=self._path, line=line)
        if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
            return id_text(value) if not isinstance(value, str) else value.strip()
        kind = type(value).__name__
        message = f"{column}: a {kind}, expected a title or an id, or a list of them"
        raise InputError(message, code="E-JSON", path=self._path, line=line)
