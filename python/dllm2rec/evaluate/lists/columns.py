"""Which column of a table of lists is what, by the names that libraries give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dllm2rec.errors import InputError

Key = Literal["row", "user"]

# TREC, ranx, RecBole, RePlay, RecTools and LensKit; of several the first.
_ROW = ("row", "row_id", "row_index", "row_number")
_USER = ("user_id", "user", "userid", "uid", "query_id", "q_id", "qid", "query", "user_idx")
_ITEMS = (
    "item_id",
    "item",
    "items",
    "item_ids",
    "doc_id",
    "docno",
    "docid",
    "item_idx",
    "item_id_list",
    "movie_id",
    "parent_asin",
    "asin",
    "ranking",
    "recommendations",
    "recommended",
    "recs",
    "topk",
    "docs",
)
_RANKS = ("rank", "position", "pos", "place")
_SCORES = ("score", "scores", "rating", "relevance", "rel", "prediction", "preds", "weight")


@dataclass(frozen=True)
class ListColumns:
    """The columns of a table of lists that are read.

    Attributes:
        key: whether the lists are for rows or for users.
        owner: whose list a line is of.
        items: an item, or all items of a list.
        rank: its place, the best has the smallest; None where there is none.
        score: of the item, the best has the largest; None where there is none.
    """

    key: Key
    owner: str
    items: str
    rank: str | None = None
    score: str | None = None


TREC_RUN = ListColumns("user", "qid", "docno", score="score")  # as trec_eval, which reads no rank
TREC_QRELS = ListColumns("user", "qid", "docno", score="rel")


def list_columns(names: Sequence[str], source: str) -> ListColumns:
    """Find the columns of a table by their usual names; a type behind a colon is no part of one.

    Raises:
        InputError: none says whose the lists are, or none holds items.
    """
    plain = {_plain(name): name for name in reversed(names)}

    def named(usual: Sequence[str]) -> str | None:
        return next((plain[_plain(name)] for name in usual if _plain(name) in plain), None)

    row, user, items = named(_ROW), named(_USER), named(_ITEMS)
    owner = row or user
    if owner is None or items is None:
        found = ", ".join(map(ascii, names))[:200]
        lacks = "whose each list is: user_id or row" if owner is None else "the items: item_id"
        raise InputError(
            f"columns {found}, expected one that says {lacks}",
            code="E-COLUMN",
            path=source,
            hint="name the columns user_id (or row), item_id, and rank or score",
        )
    key: Key = "user" if row is None else "row"
    return ListColumns(key, owner, items, named(_RANKS), named(_SCORES))


def _plain(name: str) -> str:
    """`user_id:token`, as RecBole has it, and `User ID` are `userid`."""
    return re.sub(r"[^a-z0-9]", "", name.partition(":")[0].casefold())
