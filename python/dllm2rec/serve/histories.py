"""Histories as people have them: ids of every kind that a log may hold, in blocks of a stream."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dllm2rec.errors import InputError

# Fixed, so that a score's last bit never depends on a user's setting.
BLOCK_ROWS = 4096
_LISTS = ("to_pylist", "to_list", "tolist")  # Arrow, polars and pandas, NumPy and torch


@dataclass(frozen=True)
class HistoryBlock:
    """Some histories of a stream, whose items are ids as the log has them.

    Attributes:
        ids: a list per history, oldest item first.
        first: the number of the first history in the stream, from 0.
        names: whose each is; None: messages call them `histories[0]`, `histories[1]`, ...
        lines: the line of each in its file, from 1, where there is a file.
    """

    ids: Sequence[Sequence[str]]
    first: int = 0
    names: Sequence[str] | None = None
    lines: Sequence[int] | None = None

    def name(self, place: int) -> str:
        """How messages call a history of the block."""
        if self.names is None:
            return f"histories[{self.first + place}]"
        return self.names[place] if self.lines is None else f"user {self.names[place]}"

    def line(self, place: int) -> int | None:
        """Its line, where there is a file."""
        return None if self.lines is None else self.lines[place]


def history_blocks(histories: Iterable[Any]) -> Iterator[HistoryBlock]:
    """Bring histories to blocks of at most `BLOCK_ROWS`; memory is that of one block.

    Args:
        histories: lists, tuples, generators, NumPy arrays or Series of pandas, polars or Arrow,
            each of ids; an id is a text or a whole number, which stands for its digits.

    Raises:
        InputError: a text or one flat list of ids, a table, something without an order, or what is
            no id; the message says which history and place.
    """
    _refuse_unordered(histories, "histories")
    if isinstance(histories, (str, bytes)) or _is_id(histories):
        raise _misread("histories", histories, "a list of histories", "[[...]]")
    first = 0
    for rows in _parts(histories):
        yield HistoryBlock([_history(row, first + place) for place, row in enumerate(rows)], first)
        first += len(rows)


def ids_of_list(values: Iterable[Any], name: str) -> list[str]:
    """Bring one list of ids, in any of the forms of a history, to texts.

    Raises:
        InputError: it is no list of ids; the message calls it by its name.
    """
    if isinstance(values, (str, bytes)) or _is_id(values):
        raise InputError(
            f"{name} is {_shown(values)}, expected a list of item ids", code="E-HISTORIES"
        )
    if not isinstance(values, AbstractSet):  # sets will do where no order is asked for
        _refuse_unordered(values, name)
    return _ids(values, name)


def _parts(histories: Any) -> Iterator[list[Any]]:  # noqa: ANN401 - any library's
    rows = iter(_iterable(histories, "histories"))
    method = next((name for name in _LISTS if hasattr(histories, name)), None)
    if method is None:
        while part := list(islice(rows, BLOCK_ROWS)):
            yield part
        return
    # A slice at a time, in the library's own code; of pandas, by place rather than by label.
    values = getattr(histories, "iloc", histories)
    for begin in range(0, len(histories), BLOCK_ROWS):
        yield getattr(values[begin : begin + BLOCK_ROWS], method)()


def _history(row: Any, number: int) -> list[str]:  # noqa: ANN401 - any library's
    if type(row) is list:
        kinds = {*map(type, row)}
        if kinds == {str}:
            return row
        if kinds == {int}:
            return [*map(str, row)]
    name = f"histories[{number}]"
    if isinstance(row, (str, bytes)) or _is_id(row):
        raise _misread(name, row, "a list of item ids: histories is a list of lists", "[ids]")
    _refuse_unordered(row, name)
    return _ids(row, name)


def _ids(values: Any, name: str) -> list[str]:  # noqa: ANN401 - any library's
    method = next((name for name in _LISTS if hasattr(values, name)), None)
    if method is not None:
        values = getattr(values, method)()
    return [_id(name, place, value) for place, value in enumerate(_iterable(values, name))]


def _misread(name: str, value: object, expected: str, example: str) -> InputError:
    return InputError(
        f"{name} is {_shown(value)}, expected {expected}",
        code="E-HISTORIES",
        hint=f"for one user write recommend({example}): the outer list has an entry per user",
    )


def _refuse_unordered(values: object, name: str) -> None:
    """Refuse tables, mappings and sets: iterating over them gives names, keys or no order."""
    hint = ""
    if hasattr(values, "columns") or hasattr(values, "column_names"):
        what = "a table"
        hint = "a list of items per user: frame.groupby('user_id')['item_id'].agg(list)"
    elif isinstance(values, Mapping):
        what, hint = "a mapping", "give list(histories.values()), and keep the keys beside it"
    elif isinstance(values, AbstractSet):
        what, hint = "a set, which has no order", "give a list, oldest item first"
    else:
        return
    expected = "a list of histories" if name == "histories" else "a list of item ids"
    raise InputError(f"{name} is {what}, expected {expected}", code="E-HISTORIES", hint=hint)


def _iterable(values: Any, name: str) -> Iterable[Any]:  # noqa: ANN401 - any library's
    try:
        iter(values)
    except TypeError:
        raise InputError(
            f"{name} is {_shown(values)}, expected a list of item ids",
            code="E-HISTORIES",
            hint="pass over users without a history, or give an empty list",
        ) from None
    rows: Iterable[Any] = values
    return rows


def _is_id(value: object) -> bool:
    if isinstance(value, (str, bool)):
        return isinstance(value, str)
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def _id(name: str, place: int, value: Any) -> str:  # noqa: ANN401 - whatever a list holds
    value = value.as_py() if hasattr(value, "as_py") else value  # an Arrow scalar
    if isinstance(value, str):
        return str(value)
    if _is_id(value):
        return str(operator.index(value))
    hint = ""
    if isinstance(value, float) or type(value).__name__.startswith("float"):
        hint = "a column of whole numbers with gaps becomes floats: drop the gaps, astype('int64')"
    raise InputError(
        f"{name}, place {place}: {_shown(value)}, expected an item id: a text or a whole number",
        code="E-HISTORIES",
        hint=hint,
    )


def _shown(value: object) -> str:
    text = ascii(value)
    text = text if len(text) <= 40 else f"{text[:40]}..."
    return f"the {type(value).__name__} {text}"
