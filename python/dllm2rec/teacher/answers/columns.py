"""Which column of an answers file is what: whose list it is, its items, their ranks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from dllm2rec.caller import words
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.teacher.answers.records import AnswerFile, open_answers

# By what people and models call them; of several the first.
_ROW = ["row", "row_id", "row_index", "row_number", "train_row"]
_USER = [
    "user_id",
    "user",
    "userid",
    "uid",
    "qid",
    "query_id",
    "reviewerid",
    "customer_id",
    "customer",
    "account_id",
]
_HISTORY = [
    "history",
    "histories",
    "sequence",
    "seq",
    "item_seq",
    "history_items",
    "history_titles",
    "history_item_ids",
    "item_history",
    "watched",
    "input_items",
]
_TITLES = [
    "title",
    "titles",
    "item_title",
    "item_titles",
    "item_name",
    "item_names",
    "name",
    "names",
    "movie_title",
    "movie",
    "movies",
    "film",
    "films",
    "book",
    "books",
    "book_title",
    "artist",
    "artists",
    "artist_name",
    "track",
    "song",
    "game",
    "product",
    "recommended_titles",
]
_IDS = [
    "item_id",
    "item_ids",
    "item",
    "items",
    "movie_id",
    "parent_asin",
    "asin",
    "docno",
    "docid",
    "doc_id",
    "product_id",
    "book_id",
    "artist_id",
    "isbn",
    "sku",
    "recommended_ids",
]
_LISTS = [
    "ranking",
    "rankings",
    "list",
    "recommendations",
    "recommended",
    "recommendation",
    "recs",
    "rec_list",
    "answer",
    "answers",
    "response",
    "output",
    "completion",
    "predictions",
    "prediction",
    "predicted",
    "topk",
    "candidates",
    "generated",
    "text",
]
_RANKS = ["rank", "position", "pos", "place", "order"]
_DISTANCES = ["distance", "distances"]
_ENDINGS = (".jsonl", ".ndjson", ".json", ".tsv", ".txt", ".trec", ".run")


@dataclass(frozen=True)
class AnswerColumns:
    """The columns of a file that are read; None where there is no such column.

    Attributes:
        row: number of the train row that a list is for.
        user: external id of the user.
        history: the items that the list continues, oldest first.
        titles: titles: one, or a list.
        ids: ids of items: one, or a list.
        items: titles or ids, which the values themselves tell.
        rank: place in the list, the best one has the smallest.
        distance: of the answer to the item, small is sure.
    """

    row: str | None = None
    user: str | None = None
    history: str | None = None
    titles: str | None = None
    ids: str | None = None
    items: str | None = None
    rank: str | None = None
    distance: str | None = None


def find_columns(file: AnswerFile, given: AnswerColumns) -> AnswerColumns:
    """Find the columns by their usual names; those that are given go first.

    Raises:
        ConfigError: there is no column of a given name.
        InputError: none says whose the lists are, or none holds items.
    """
    for field in fields(given):
        name = getattr(given, field.name)
        if name is not None and name not in file.names:
            raise ConfigError(
                f"{file.path}: no column {name!a} as {field.name}, expected one of "
                f"{_shown(file.names)}{_near(name, file.names)}"
            )
    taken = {getattr(given, field.name) for field in fields(given)} - {None}
    found = _Found([name for name in file.names if name not in taken])
    is_keyed = given.row or given.user or given.history
    has_items = given.titles or given.ids or given.items
    columns = AnswerColumns(
        row=given.row or (None if is_keyed else found.take(_ROW)),
        user=given.user or (None if is_keyed else found.take(_USER, _is_of_user)),
        history=given.history or (None if is_keyed else found.take(_HISTORY)),
        titles=given.titles or (None if has_items else found.take(_TITLES, _is_of_titles)),
        ids=given.ids or (None if has_items else found.take(_IDS, _is_of_ids)),
        items=given.items or (None if has_items else found.take(_LISTS)),
        rank=given.rank or found.take(_RANKS),
        distance=given.distance or found.take(_DISTANCES),
    )
    _check(file, columns)
    return columns


def is_answers(path: Path) -> bool:
    """Whether a file is one of answers, by its name; a table, by its columns.

    Raises:
        InputError: it is a table that cannot be read.
        ArtifactError: a Parquet file is corrupt.
    """
    ending = Path(plain_name(path).lower()).suffix
    if ending not in (".csv", ".parquet"):
        return ending in _ENDINGS
    found = _Found(open_answers(path).names)
    return any(found.take(usual) for usual in (_ROW, _USER, _HISTORY))


class _Found:
    """Names that are not taken yet."""

    def __init__(self, names: list[str]) -> None:
        self._names = {_plain(name): name for name in reversed(names)}

    def take(self, usual: list[str], rule: Callable[[str], bool] | None = None) -> str | None:
        """The column of the first usual name that there is, else the first that meets a rule."""
        plain = next((name for name in map(_plain, usual) if name in self._names), None)
        if plain is None and rule is not None:
            plain = next((name for name in reversed(self._names) if rule(name)), None)
        return None if plain is None else self._names.pop(plain)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _is_of_user(plain: str) -> bool:
    return plain.startswith("user") or plain.endswith("userid")


def _is_of_titles(plain: str) -> bool:
    return plain.endswith(("title", "titles", "name", "names"))


def _is_of_ids(plain: str) -> bool:
    return plain.endswith(("id", "ids", "asin"))


def _check(file: AnswerFile, columns: AnswerColumns) -> None:
    if columns.row is columns.user is columns.history is None:
        cure = words(
            python='options=AnswerOptions(columns=AnswerColumns(user="NAME")), or row= or history=',
            option="--user-column NAME, --row-column NAME or --history-column NAME",
        )
        raise InputError(
            f"columns {_shown(file.names)}, expected one that says whose each list is: row, "
            "user_id or history",
            code="E-COLUMN",
            path=file.path,
            line=1,
            hint=f"name it with {cure}",
        )
    if columns.titles is columns.ids is columns.items is None:
        cure = words(
            python='options=AnswerOptions(columns=AnswerColumns(titles="NAME")), or ids=',
            option="--titles-column NAME or --ids-column NAME",
        )
        raise InputError(
            f"columns {_shown(file.names)}, expected one with titles or item ids",
            code="E-COLUMN",
            path=file.path,
            line=1,
            hint=f"name it with {cure}",
        )


def _shown(names: list[str]) -> str:
    text = ", ".join(map(ascii, names[:20]))
    return text if len(text) <= 200 else f"{text[:197]}..."


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names[:1000], n=1)
    return f"; did you mean {near[0]!a}?" if near else ""
