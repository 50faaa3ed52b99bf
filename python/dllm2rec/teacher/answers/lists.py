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
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.model_text import list_in_text
from dllm2rec.teacher.answers.records import Record

Key = tuple[str, ...]
MAX_REPEATS = 4  # one rank in so many may be there twice
_ARTICLE = re.compile(r"^(?:the|a|an|le|la|les|l'|el|los|las|der|die|das|il|lo)\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:\d{1,3}\s*[.):]|[-*\u2022])\s+\S")


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


@dataclass
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
    groups: dict[tuple[Any, ...], list[tuple[Record, AnsweredList]]] = {}
    for record in records:
        answered = reader.whose(record)
        by_row = answered.row is not None
        key = (answered.row,) if by_row else (answered.user, answered.history)
        groups.setdefault(key, []).append((record, answered))
    is_long = columns.rank is not None or any(len(group) > 1 for group in groups.values())
    lists = []
    for group in groups.values():
        first = group[0][1]
        if is_long and all(reader.is_one(record) for record, _ in group):
            first.places = reader.ranked([record for record, _ in group])
        else:
            if len(group) > 1:
                raise InputError(
                    f"a second list for {shown_key(first)}, the first is in line {first.line}, "
                    "expected one for each",
                    code="E-LIST-TWICE",
                    path=path,
                    line=group[1][0].line,
                    hint="keep one of them",
                )
            first.places = reader.whole(group[0][0])
        lists.append(first)
    return lists


def shown_key(answered: AnsweredList) -> str:
    """Whose list it is, as a message says it."""
    if answered.row is not None:
        return f"row {answered.row}"
    if answered.user is not None:
        return f"user {answered.user!a}"
    return f"the history {', '.join(answered.history or ())[:60]!a}"


class _Reader:
    def __init__(self, path: Path, columns: AnswerColumns, is_id: Callable[[str], bool]) -> None:
        self._is_id = is_id
        self._path = path
        self._columns = columns
        self._items = columns.titles or columns.ids or columns.items or ""
        self._beside = columns.ids if columns.titles is not None else None
        self._is_id_here = _always if self._items == columns.ids else is_id

    def whose(self, record: Record) -> AnsweredList:
        columns = self._columns
        row = user = history = None
        if columns.row is not None:
            row = self._number(record, columns.row)
        if columns.user is not None and (row is None or columns.user in record.cells):
            user = self._text(record, columns.user)
        if columns.history is not None and (row is None or columns.history in record.cells):
            values = split_items(self._cell(record, columns.history), self._is_id)
            history = tuple(str(self._value(record, columns.history, v)) for v in values)
        return AnsweredList(record.line, row, user, history)

    def is_one(self, record: Record) -> bool:
        """Whether the cell of items holds one item."""
        cell = record.cells.get(self._items)
        if isinstance(cell, str):
            text = cell.strip()
            return "\n" not in text and not (text.startswith("[") and text.endswith("]"))
        return not isinstance(cell, list)

    def ranked(self, records: list[Record]) -> list[Place]:
        """A list written a line per item, by rank, or as it stands."""
        rank = self._columns.rank
        if rank is None:
            return [self._place(record) for record in records]
        ranks = [self._number(record, rank) for record in records]
        first: dict[int, Record] = {}
        again = [
            record
            for number, record in zip(ranks, records, strict=True)
            if first.setdefault(number, record) is not record
        ]
        # A model that miscounts repeats a rank or two, a second list repeats all of them.
        if again and MAX_REPEATS * len(again) > len(records):
            number = self._number(again[0], rank)
            raise InputError(
                f"rank {number} a second time for {shown_key(self.whose(again[0]))}, the first is "
                f"in line {first[number].line}, expected each rank once",
                code="E-LIST-TWICE",
                path=self._path,
                line=again[0].line,
                hint="answers of several models or users under one name? keep one of them",
            )
        order = sorted(range(len(records)), key=ranks.__getitem__)
        return [self._place(records[place]) for place in order]

    def whole(self, record: Record) -> list[Place]:
        """A list in one cell."""
        column = self._items
        values = split_items(self._cell(record, column), self._is_id_here)
        distances: list[Any] = [None] * len(values)
        if self._columns.distance is not None:
            distances = split_items(self._cell(record, self._columns.distance), _always)
            if len(distances) != len(values):
                message = f"{len(distances)} distances for {len(values)} items, expected as many"
                raise InputError(message, code="E-SHAPE", path=self._path, line=record.line)
        beside: list[Any] = [""] * len(values)
        if self._beside is not None:
            ids = split_items(record.cells.get(self._beside), _always)
            beside = ids if len(ids) == len(values) else beside
        return [
            Place(
                str(self._value(record, column, value)),
                _id_text(one),
                None if distance is None else self._distance(record, distance),
                record.line,
            )
            for value, one, distance in zip(values, beside, distances, strict=True)
        ]

    def _place(self, record: Record) -> Place:
        column = self._items
        distance = self._columns.distance
        value = self._value(record, column, self._cell(record, column))
        beside = record.cells.get(self._beside) if self._beside is not None else None
        number = None if distance is None else self._distance(record, self._cell(record, distance))
        return Place(str(value), _id_text(beside), number, record.line)

    def _cell(self, record: Record, column: str) -> Any:  # noqa: ANN401 - as JSON has it
        try:
            return record.cells[column]
        except KeyError:
            message = f"no {column!a}, expected it as in the first line"
            raise InputError(message, code="E-JSON", path=self._path, line=record.line) from None

    def _text(self, record: Record, column: str) -> str:
        value = self._value(record, column, self._cell(record, column))
        if not value:
            message = f"{column}: empty, expected whose list it is"
            raise InputError(message, code="E-LIST-KEY", path=self._path, line=record.line)
        return value

    def _number(self, record: Record, column: str) -> int:
        cell = self._cell(record, column)
        text = str(cell).strip()
        if isinstance(cell, bool) or not re.fullmatch(r"\d{1,15}(\.0)?", text):
            message = f"{column}: {text[:40]!a}, expected a whole number, 0 or more"
            raise InputError(message, code="E-LIST-KEY", path=self._path, line=record.line)
        return int(text.removesuffix(".0"))

    def _distance(self, record: Record, value: object) -> float:
        try:
            number = float(str(value))
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            message = f"distance {str(value)[:40]!a}, expected a finite number, 0 or more"
            raise InputError(message, code="E-CONF-NONFINITE", path=self._path, line=record.line)
        return number

    def _value(self, record: Record, column: str, value: object) -> str:
        """A title or id as text; of an object its title, name or id."""
        if isinstance(value, dict):
            names = ("title", "name", "item_title", "item_id", "id", "item")
            value = next((value[name] for name in names if name in value), value)
        if isinstance(value, str) and half_pair(value):
            message = f"{column}: {ascii(value)[:40]} has half a surrogate pair, expected text"
            raise InputError(message, code="E-ENC", path=self._path, line=record.line)
        if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
            return _id_text(value) if not isinstance(value, str) else value.strip()
        kind = type(value).__name__
        message = f"{column}: a {kind}, expected a title or an id, or a list of them"
        raise InputError(message, code="E-JSON", path=self._path, line=record.line)


def split_items(cell: object, is_id: Callable[[str], bool]) -> list[Any]:
    """The items of a cell: a list as it is, a text by its lines or the signs between its titles.

    A text may hold a JSON list, also in a fence or an object. Else what separates is, in this
    order, the line end, `|`, `;`, a tab and the comma; also a blank, where most words are ids or
    all are numbers. Lines without number or bullet beside ones that have them are a model's own
    words and are left out.
    """
    if cell is None:
        return []
    if not isinstance(cell, str):
        return list(cell) if isinstance(cell, (list, tuple)) else [cell]
    text = list_in_text(cell)
    if not isinstance(text, str):
        return text
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    words = [one for one in re.split(r"[\s,;|]+", text) if one]
    if re.fullmatch(r"[\d\s,;|-]*", text) or 2 * sum(map(is_id, words)) > len(words):
        return words
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        marked = [line for line in lines if _BULLET.match(line)]
        return marked if len(marked) > 1 else lines
    for sign in ("|", ";", "\t"):
        if sign in text:
            return [one.strip() for one in text.split(sign) if one.strip()]
    return _by_commas(text)


def _by_commas(text: str) -> list[str]:
    """Titles between commas; an article behind one belongs to the title before it."""
    parts: list[str] = []
    for part in re.split(r",\s+", text):
        rest = _ARTICLE.sub("", part).strip()
        if parts and _ARTICLE.match(part) and (not rest or re.match(r"[(\[:]", rest)):
            parts[-1] += f", {part}"
        elif part.strip():
            parts.append(part.strip())
    return parts


def _always(_: str) -> bool:
    """What stands in a column of ids is one."""
    return True


def _id_text(value: object) -> str:
    """An id as text; -1 and nothing are no item."""
    text = "" if value is None else str(value).strip()
    return "" if text in ("-1", "nan", "None", "null") else text.removesuffix(".0")
