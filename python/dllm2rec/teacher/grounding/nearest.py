"""The title that is most like another one, if it is like it enough and no second one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MIN_SCORE = 88.0  # of a match; found by eye on titles of films
MIN_MARGIN = 4.0  # over the next item
LIKELY = 80.0  # from here on a title is doubtful, below it is unmatched
MIN_WORD = 70.0  # each word but a small one must have one that is so alike
MIN_LETTERS = 5  # shorter names differ by a letter and are others
_SMALL = frozenset(
    [
        "the",
        "a",
        "an",
        "and",
        "of",
        "in",
        "on",
        "to",
        "for",
        "at",
        "with",
        "le",
        "la",
        "de",
        "des",
        "du",
        "el",
        "los",
        "las",
        "der",
        "die",
        "das",
        "y",
        "et",
    ]
)
_N_CANDIDATES = 40
_N_GRAMS = 10  # the rarest ones of a title that are looked up


class Near(NamedTuple):
    """The nearest item, its likeness from 0 to 100, and why it is no match; "" if it is one."""

    item: int
    score: float
    why: str

    @property
    def is_likely(self) -> bool:
        """Whether it may be meant all the same."""
        return self.score >= LIKELY


class NearTitles:
    """Normal forms of titles, found by the rarest letter triples that they share."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = titles
        places: dict[str, list[int]] = {}
        for item, title in enumerate(titles):
            for gram in _grams(title):
                places.setdefault(gram, []).append(item)
        self._places = {gram: np.array(items, np.int64) for gram, items in places.items()}

    def find(self, title: str, may_be: Callable[[int], bool]) -> Near | None:
        """Find the item whose title is most like this one, among those that may be it."""
        from rapidfuzz import fuzz

        if not title:
            return None
        scored = [
            (
                max(
                    fuzz.ratio(title, self._titles[item]), _sorted_ratio(title, self._titles[item])
                ),
                item,
            )
            for item in self._candidates(title)
            if may_be(item)
        ]
        if not scored:
            return None
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
        score, item = scored[0]
        others = (s for s, other in scored if self._titles[other] != self._titles[item])
        second = next(others, 0.0)
        return Near(item, score, self._doubt(title, item, score, second))

    def _doubt(self, title: str, item: int, score: float, second: float) -> str:
        near = self._titles[item]
        if score < MIN_SCORE:
            return "the names are not alike enough"
        if min(len(title), len(near)) < MIN_LETTERS:
            return "the names are too short to be alike"
        if score - second < MIN_MARGIN:
            return "another item's name is about as near"
        if not (_each_has_one(title, near) and _each_has_one(near, title)):
            return "a word is another one"
        return ""

    def _candidates(self, title: str) -> list[int]:
        """The items that share most of the title's rarest letter triples."""
        known = [self._places[gram] for gram in _grams(title) if gram in self._places]
        known.sort(key=len)
        if not known:
            return []
        found = np.concatenate(known[:_N_GRAMS])
        items, counts = np.unique(found, return_counts=True)
        best: npt.NDArray[np.int64] = items[np.argsort(-counts, kind="stable")[:_N_CANDIDATES]]
        return [int(item) for item in best]


def _grams(title: str) -> set[str]:
    text = f"  {title} "
    return {text[n : n + 3] for n in range(len(text) - 2)}


def _sorted_ratio(one: str, other: str) -> float:
    from rapidfuzz import fuzz

    return float(fuzz.token_sort_ratio(one, other))


def _each_has_one(words: str, others: str) -> bool:
    """Whether each word but a small one has one among the others that is like it."""
    from rapidfuzz import fuzz

    there = others.split()
    return all(
        word in _SMALL or any(fuzz.ratio(word, other) >= MIN_WORD for other in there)
        for word in words.split()
    )
