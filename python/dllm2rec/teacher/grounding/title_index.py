"""Which item is meant by a title: the same one, the same but for spelling, or the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from dllm2rec.teacher.grounding.nearest import NearTitles
from dllm2rec.teacher.grounding.normal_form import (
    N_FORMS,
    NormalTitle,
    cleaned,
    normal_title,
    without_author,
)

Title = TypeVar("Title")
How = Literal["exact", "normalised", "nearest", "doubtful", "unmatched"]
HOWS: tuple[How, ...] = ("exact", "normalised", "nearest", "doubtful", "unmatched")
MAX_YEARS_APART = 1  # a festival's year and a cinema's


@dataclass(frozen=True)
class Grounded:
    """What a title was taken for.

    Attributes:
        item: the item's index; of a doubtful title the one that it may mean; None if there is none.
        how: by which step. Only exact, normalised and nearest titles count as the item's.
        score: likeness of the names, 0 to 100.
        why: what made it doubtful, or decided among several; "" if nothing did.
    """

    item: int | None
    how: How
    score: float = 100.0
    why: str = ""

    @property
    def is_match(self) -> bool:
        """Whether the item is listed for the title."""
        return self.how in ("exact", "normalised", "nearest")


class TitleIndex:
    """The titles of a catalogue, ready to be asked.

    A title is looked up as it is, then by what is left of it without case, accents, signs,
    articles, numbering, ratings and brackets, then by likeness. A year in brackets must fit where
    both titles have one. Several items with one name are told apart by the year, then, where the
    title is exactly theirs, by an id that stood beside it, then by how often they are the target of
    a train row, then by their index.
    """

    def __init__(self, titles: Sequence[str], counts: npt.NDArray[np.int64]) -> None:
        self._counts = counts
        self._exact = _by_key(titles, lambda title: [" ".join(title.split())])
        self._normal = [normal_title(title) for title in titles]
        forms = [_by_key(self._normal, _form(level)) for level in range(N_FORMS)]
        self._levels = [_by_key(self._normal, lambda title: [title.whole]), *forms]
        self._others = _by_key(self._normal, lambda title: title.others)
        self._mains = _by_key(self._normal, lambda title: [title.main])
        self._near = NearTitles([title.forms[1] for title in self._normal])
        self._known: dict[tuple[str, int | None], Grounded] = {}

    def ground(self, answer: str, beside: int | None = None) -> Grounded:
        """Say which item a title means.

        Args:
            answer: the title as a model wrote it.
            beside: the item whose id stood beside it; it decides among items of exactly this title.
        """
        key = answer, beside
        if key not in self._known:
            self._known[key] = self._ground(answer, beside)
        return self._known[key]

    def _ground(self, answer: str, beside: int | None) -> Grounded:
        same = self._exact.get(" ".join(answer.split()))
        if same:
            return self._chosen(same, "exact", beside)
        text = cleaned(answer)
        asked = normal_title(text)
        found, misfit = self._spelt_alike(asked)
        if found is None and (title := without_author(text)) is not None:
            found, _ = self._spelt_alike(normal_title(title))
        if found is not None:
            return found
        near = self._nearest(asked)
        if near.is_match or misfit is None:
            return near
        return misfit

    def _spelt_alike(self, asked: NormalTitle) -> tuple[Grounded | None, Grounded | None]:
        """The item of the same name, and one of that name whose year does not fit."""
        misfit = None
        for items in self._of_one_name(asked):
            fitting = self._of_year(items, asked.year)
            if fitting:
                return self._chosen(fitting, "normalised"), None
            if misfit is None:
                year = self._normal[items[0]].year
                why = f"the year is {asked.year}, the item's {year}"
                misfit = Grounded(items[0], "doubtful", why=why)
        mains = [i for i in self._mains.get(asked.forms[1], []) if self._has_year(i, asked.year)]
        if len(mains) == 1:
            return Grounded(mains[0], "normalised", why="the item's name goes on"), None
        return None, misfit

    def _of_one_name(self, asked: NormalTitle) -> Iterable[list[int]]:
        for level, key in zip(self._levels, (asked.whole, *asked.forms), strict=True):
            if key in level:
                yield level[key]
        for key in (asked.forms[0], *asked.others):
            if key in self._others:
                yield self._others[key]
        for key in asked.others:
            if len(key) > len(asked.forms[0]) // 2 and key in self._levels[1]:
                yield self._levels[1][key]

    def _of_year(self, items: list[int], year: int | None) -> list[int]:
        """The items whose year is this one, or else fits."""
        same = [item for item in items if self._has_year(item, year)]
        return same or [item for item in items if self._fits(item, year)]

    def _has_year(self, item: int, year: int | None) -> bool:
        return year is not None and self._normal[item].year == year

    def _fits(self, item: int, year: int | None) -> bool:
        known = self._normal[item].year
        return year is None or known is None or abs(known - year) <= MAX_YEARS_APART

    def _chosen(self, items: list[int], how: How, beside: int | None = None) -> Grounded:
        if len(items) == 1:
            return Grounded(items[0], how)
        several = f"{len(items)} items of this name"
        if beside in items:
            return Grounded(beside, how, why=f"{several}: the one whose id stood beside it")
        often = max(items, key=lambda item: (int(self._counts[item]), -item))
        return Grounded(often, how, why=f"{several}: the most frequent one")

    def _nearest(self, asked: NormalTitle) -> Grounded:
        def may_be(item: int) -> bool:
            return self._fits(item, asked.year) and self._normal[item].numbers == asked.numbers

        found = self._near.find(asked.forms[1], may_be)
        if found is None:
            return Grounded(None, "unmatched", 0.0)
        how: How = "nearest" if not found.why else "doubtful" if found.is_likely else "unmatched"
        return Grounded(found.item, how, found.score, found.why)


def _form(level: int) -> Callable[[NormalTitle], list[str]]:
    return lambda title: [title.forms[level]]


def _by_key(
    titles: Iterable[Title], keys: Callable[[Title], Iterable[str]]
) -> dict[str, list[int]]:
    """The items of each key, in their order; an empty key is none."""
    found: dict[str, list[int]] = {}
    for item, title in enumerate(titles):
        for key in dict.fromkeys(keys(title)):
            if key:
                found.setdefault(key, []).append(item)
    return found
