"""Histories as people have them: ids of every kind that a log may hold, some of them unknown."""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from dllm2rec.caller import words
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ConfigError, InputError

_log = logging.getLogger(__name__)

Unknown = Literal["error", "skip"]
Empty = Literal["error", "popular"]

_NAMED = 5  # histories that a warning names


@dataclass(frozen=True)
class HistoryRules:
    """What becomes of histories that a student cannot answer as they are, and their names.

    Attributes:
        unknown: "error", or "skip": items that the catalogue lacks are left out.
        empty: "error", or "popular": who has no item, or none that is known, gets the items that
            are most often the target of a train row.
        path: the file that they stand in, if any.
        lines: the line of each, from 1, where there is a file.
        names: how messages call each; None: `histories[0]`, `histories[1]`, ...
    """

    unknown: Unknown = "error"
    empty: Empty = "error"
    path: Path | None = None
    lines: Sequence[int] | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("unknown", get_args(Unknown)), ("empty", get_args(Empty))):
            if getattr(self, name) not in allowed:
                got = f"{name} = {getattr(self, name)!r}"
                raise ConfigError(f"{got}, expected one of {', '.join(allowed)}")

    def name(self, number: int) -> str:
        """How a message calls a history, with its line."""
        name = f"histories[{number}]" if self.names is None else self.names[number]
        return name if self.lines is None else f"line {self.lines[number]} ({name})"

    def refusal(self, number: int, message: str, *, code: str, hint: str) -> InputError:
        """The error about one history."""
        name = f"histories[{number}]" if self.names is None else self.names[number]
        line = None if self.lines is None else self.lines[number]
        return InputError(f"{name}: {message}", code=code, path=self.path, line=line, hint=hint)


def histories_as_ids(histories: Iterable[Iterable[Any]]) -> list[list[str]]:
    """Bring histories to lists of ids as the log has them.

    Args:
        histories: lists, tuples, generators, NumPy arrays or Series of pandas, polars or Arrow,
            each of ids; an id is a text or a whole number, which stands for its digits.

    Raises:
        InputError: a text or one flat list of ids, a table, something without an order, or what is
            no id; the message says which history and place.
    """
    whole = "histories"
    _refuse_unordered(histories, whole)
    if isinstance(histories, (str, bytes)) or _is_id(histories):
        raise _misread(whole, histories, "a list of histories", "[[...]]")
    rows = _plain(histories, whole)
    lists: list[list[str]] = []
    for number, row in enumerate(rows):
        name = f"histories[{number}]"
        if isinstance(row, (str, bytes)) or _is_id(row):
            raise _misread(name, row, "a list of item ids: histories is a list of lists", "[ids]")
        _refuse_unordered(row, name)
        lists.append([_id(name, place, value) for place, value in enumerate(_plain(row, name))])
    return lists


def _misread(name: str, value: object, expected: str, example: str) -> InputError:
    return InputError(
        f"{name} is {_shown(value)}, expected {expected}",
        code="E-HISTORIES",
        hint=f"for one user write recommend(run, {example}): the outer list has an entry a user",
    )


def _refuse_unordered(values: object, name: str) -> None:
    """Refuse tables, mappings and sets: iterating over them gives names, keys or no order."""
    hint = ""
    if hasattr(values, "columns") or hasattr(values, "column_names"):
        what = "a table"
        hint = "a list of items a user: frame.groupby('user_id')['item_id'].agg(list)"
    elif isinstance(values, Mapping):
        what, hint = "a mapping", "give list(histories.values()), and keep the keys beside it"
    elif isinstance(values, AbstractSet):
        what, hint = "a set, which has no order", "give a list, oldest item first"
    else:
        return
    expected = "a list of histories" if name == "histories" else "a list of item ids"
    raise InputError(f"{name} is {what}, expected {expected}", code="E-HISTORIES", hint=hint)


def _plain(values: Any, name: str) -> list[Any]:  # noqa: ANN401 - any library's
    """The values of a list, an array or a Series, as Python's own."""
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow, polars and pandas, NumPy
        if hasattr(values, method):
            values = getattr(values, method)()
            break
    try:
        return list(values)
    except TypeError:
        raise InputError(
            f"{name} is {_shown(values)}, expected a list of item ids",
            code="E-HISTORIES",
            hint="pass over users without a history, or give an empty list",
        ) from None


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


def known_items(
    catalogue: Catalogue, histories: Sequence[Sequence[str]], rules: HistoryRules
) -> list[list[int]]:
    """The index of every item of the histories, in their order, as the rules say.

    What was left out, and who is left without an item, is said in one warning each.

    Raises:
        InputError: an unknown item or an empty history, where the rules do not say otherwise; the
            message counts all of them.
    """
    indexed: list[list[int]] = []
    lacking: dict[int, list[str]] = {}
    for number, ids in enumerate(histories):
        row = [catalogue.find(item_id) for item_id in ids]
        if None in row:
            lacking[number] = [i for i, item in zip(ids, row, strict=True) if item is None]
        indexed.append([item for item in row if item is not None])
    if lacking:
        _report_unknown(catalogue, lacking, len(histories), rules)
    empty = [number for number, row in enumerate(indexed) if not row]
    if empty:
        _report_empty(empty, lacking, len(histories), rules)
    return indexed


def _report_unknown(
    catalogue: Catalogue, lacking: Mapping[int, list[str]], n_histories: int, rules: HistoryRules
) -> None:
    n_items = sum(map(len, lacking.values()))
    counted = f"{n_items:,} unknown in {len(lacking):,} of {n_histories:,} histories"
    if rules.unknown == "skip":
        _log.warning("W-ITEMS-SKIPPED %s, left out: %s", counted, _named(lacking, rules))
        return
    number, ids = next(iter(lacking.items()))
    raise rules.refusal(
        number,
        f"unknown item id {ids[0]!r}, expected one of {catalogue.n_items} ids; nearest: "
        f"{catalogue.near_text(ids[0])}" + (f"; {counted}" if n_items > 1 else ""),
        code="E-ITEM-UNKNOWN",
        hint=words(
            python="give unknown='skip' to leave them out",
            option="give --unknown skip to leave them out",
        ),
    )


def _report_empty(
    empty: Sequence[int], lacking: Mapping[int, list[str]], n_histories: int, rules: HistoryRules
) -> None:
    counted = f"{len(empty):,} of {n_histories:,} histories have no known item"
    if rules.empty == "popular":
        _log.warning("W-POPULAR %s and get the most popular: %s", counted, _named(empty, rules))
        return
    why = "none of its items is known" if empty[0] in lacking else "no items"
    raise rules.refusal(
        empty[0],
        f"{why}, expected at least one" + (f"; {counted}" if len(empty) > 1 else ""),
        code="E-EMPTY",
        hint=words(
            python="give empty='popular' to get the most popular items",
            option="give --empty popular to get the most popular items",
        ),
    )


def _named(numbers: Iterable[int], rules: HistoryRules) -> str:
    """The first few histories by name, and how many follow."""
    every = list(numbers)
    names = ", ".join(rules.name(number) for number in islice(every, _NAMED))
    return names if len(every) <= _NAMED else f"{names} and {len(every) - _NAMED:,} more"
