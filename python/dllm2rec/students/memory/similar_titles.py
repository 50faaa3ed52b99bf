"""Which items have similar titles: cosines of their words' TF-IDF weights.

Words are runs of two or more letters, digits and underscores, case folded. A word's weight in a
title is `(1 + ln count) * (1 + ln((1 + N) / (1 + titles with it)))`, a title's weights have length
1, and a title is similar to another by their product. (The weights of Salton and Buckley, 1988, as
scikit-learn's TfidfVectorizer has them with `sublinear_tf` and `min_df=2`.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dllm2rec import _core

MOST_SIMILAR = 256  # kept of each item, the most similar
MOST_PAIRS = 1 << 26  # of a catalogue: half a gigabyte
# Multiplications for a catalogue: some 20 s on two cores. Where there would be more, the words of
# most titles are left out: they say least.
MOST_PRODUCTS = 1 << 32
WORD = re.compile(r"\w\w+")


class SimilarTitles(NamedTuple):
    """The items whose titles are most similar to each item's.

    Attributes:
        offsets: where each item's begin, int64 (N + 1,).
        items: ascending within an item, the item itself left out, uint32 (n,).
        cosines: in (0, 1], float32 (n,).
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    cosines: npt.NDArray[np.float32]


class _Words(NamedTuple):
    """A title's words: `words[offsets[i]:offsets[i + 1]]`, and what each weighs in it."""

    offsets: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.float32]
    n_words: int


def similar_titles(titles: Sequence[str]) -> SimilarTitles:
    """Compare all titles of a catalogue.

    Args:
        titles: one per item, N; an item without words is similar to none.
    """
    n_items = len(titles)
    most = min(MOST_SIMILAR, max(1, MOST_PAIRS // max(1, n_items)))
    words = _weighed(_words(titles), n_items)
    matrix = words.offsets, words.words, words.weights
    offsets, items, cosines = _core.similar_rows(matrix, words.n_words, most)
    return SimilarTitles(offsets, items, np.minimum(cosines, 1))


def _words(titles: Sequence[str]) -> _Words:
    """Number the words that several titles have; weights are counts yet."""
    numbers: dict[str, int] = {}
    words: list[int] = []
    counts: list[int] = []
    sizes = np.zeros(len(titles) + 1, dtype=np.int64)
    for row, title in enumerate(titles, start=1):
        found = Counter(WORD.findall(title.casefold()))
        words.extend(numbers.setdefault(word, len(numbers)) for word in found)
        counts.extend(found.values())
        sizes[row] = len(found)
    return _Words(
        np.cumsum(sizes),
        np.array(words, dtype=np.uint32),
        np.array(counts, dtype=np.float32),
        len(numbers),
    )


def _weighed(words: _Words, n_items: int) -> _Words:
    """Leave out words that compare nothing or too much, and weigh the others."""
    n_titles = np.bincount(words.words, minlength=words.n_words)
    rarest = np.argsort(n_titles, kind="stable")
    work = np.cumsum(n_titles[rarest].astype(np.float64) ** 2)
    is_kept = np.zeros(words.n_words, dtype=np.bool_)
    is_kept[rarest[work <= MOST_PRODUCTS]] = True
    is_kept &= n_titles > 1
    keep = is_kept[words.words]
    row = np.repeat(np.arange(n_items), np.diff(words.offsets))[keep]
    kept = words.words[keep]
    idf = 1 + np.log((1 + n_items) / (1 + n_titles))
    weights = (1 + np.log(words.weights[keep])) * idf[kept]
    length = np.sqrt(np.bincount(row, weights**2, minlength=n_items))
    return _Words(
        np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_items))]).astype(np.int64),
        kept,
        (weights / length[row]).astype(np.float32),
        words.n_words,
    )
