"""Items by words of their titles, as one types them: beginnings and small slips will do."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from dllm2rec.data.dataset import Catalogue

_WORD = re.compile(r"\w+")
_MOST_WORDS = 8  # of a query
_MOST_LIKE = 3  # words taken for a misspelt one
_LIKE = 70  # of 100: how alike they must be
_MOST_BEGUN = 5000  # words that begin alike, looked at


@dataclass(frozen=True, eq=False)
class TitleSearch:
    """The words of all titles, and the items of each.

    Attributes:
        catalogue: the items.
        vocabulary: words in lower case, ascending.
        offsets: where each word's items begin, (words + 1,).
        items: ascending within a word.
        by_popularity: all items, the most popular first, (N,).
        rank: the place of each item there, (N,).
    """

    catalogue: Catalogue
    vocabulary: list[str]
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    by_popularity: npt.NDArray[np.int64]
    rank: npt.NDArray[np.int64]

    @classmethod
    def of(cls, catalogue: Catalogue, by_popularity: npt.NDArray[np.int64]) -> Self:
        """Index the titles; items without one are found by their ids alone.

        Args:
            catalogue: N items.
            by_popularity: all of them, the most popular first, (N,).
        """
        found: defaultdict[str, list[int]] = defaultdict(list)
        for item, title in enumerate(catalogue.titles or []):
            for word in {*words_of(title)}:
                found[word].append(item)
        vocabulary = sorted(found)
        rows = [found[word] for word in vocabulary]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        items = np.fromiter((item for row in rows for item in row), np.uint32, int(offsets[-1]))
        rank = np.empty(catalogue.n_items, np.int64)
        rank[by_popularity] = np.arange(catalogue.n_items)
        return cls(catalogue, vocabulary, offsets, items, by_popularity, rank)

    def find(self, query: str, k: int) -> list[int]:
        """The best `k` items: the one of this id, then titles with all words, popular ones first.

        Where no title has all words, those with most of them. Without a word: what is popular.
        """
        itself = [item for item in self.catalogue.find_all([query.strip()]) if item is not None]
        words = words_of(query)[:_MOST_WORDS]
        if not words:
            best = self.by_popularity[:k].tolist()
            return [*dict.fromkeys([*itself, *best])][:k]
        # Any word may be in the middle of being typed.
        sets = [self._items_of(word) for word in words]
        best_items = reduce(np.intersect1d, sets)
        if not len(best_items):
            best_items = _in_most(sets)
        n_exact = self._exact(best_items, words)
        order = np.lexsort((self.rank[best_items], -n_exact))
        found = best_items[order][:k].tolist()
        return [*dict.fromkeys([*itself, *found])][:k]

    def _items_of(self, word: str) -> npt.NDArray[np.uint32]:
        begin = bisect.bisect_left(self.vocabulary, word)
        end = bisect.bisect_left(self.vocabulary, f"{word}\U0010ffff")
        if begin < end:
            return np.unique(self.items[self.offsets[begin] : self.offsets[end]])
        like = self._like(word)
        parts = [self.items[self.offsets[at] : self.offsets[at + 1]] for at in like]
        return np.unique(np.concatenate([np.zeros(0, np.uint32), *parts]))

    def _like(self, word: str) -> list[int]:
        """The words that are nearest to a misspelt one, of those that begin with its letter."""
        begin = bisect.bisect_left(self.vocabulary, word[:1])
        end = bisect.bisect_left(self.vocabulary, f"{word[:1]}\U0010ffff")
        near = self.vocabulary[begin : min(end, begin + _MOST_BEGUN)]
        found = process.extract(word, near, scorer=fuzz.ratio, limit=_MOST_LIKE, score_cutoff=_LIKE)
        return [begin + at for _, _, at in found]

    def _exact(self, items: npt.NDArray[np.uint32], words: list[str]) -> npt.NDArray[np.int64]:
        """How many words each item has as a whole."""
        n_exact = np.zeros(len(items), np.int64)
        for word in words:
            at = bisect.bisect_left(self.vocabulary, word)
            if at < len(self.vocabulary) and self.vocabulary[at] == word:
                n_exact += np.isin(items, self.items[self.offsets[at] : self.offsets[at + 1]])
        return n_exact


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.casefold())


def _in_most(sets: list[npt.NDArray[np.uint32]]) -> npt.NDArray[np.uint32]:
    """The items that most of the sets hold."""
    items, counts = np.unique(np.concatenate(sets), return_counts=True)
    most: npt.NDArray[np.uint32] = items[counts == counts.max(initial=0)]
    return most
