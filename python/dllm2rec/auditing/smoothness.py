"""Whether items that follow each other are alike: in their titles, or in a teacher's vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
Cosine = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], float]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Smoothness:
    """Mean cosine of pairs.

    Attributes:
        of: `titles` or `vectors`.
        neighbours: of an item and the one that followed it, where they differ.
        random: of the same first items, each with the follower of another pair, where they differ.
        n_pairs: how many neighbours.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    of: str
    neighbours: float
    random: float
    n_pairs: int


def title_smoothness(titles: Sequence[str], pairs: Pairs, seed: int) -> Smoothness | None:
    """Compare words of titles: each a binary vector of words, weighed by log(N / df).

    Pairs with a title that has no words are left out; None where none is left.
    """
    words: dict[str, int] = {}
    holders: list[int] = []
    tokens: list[int] = []
    for number, title in enumerate(titles):
        for word in dict.fromkeys(_WORD.findall(title.lower())):
            holders.append(number)
            tokens.append(words.setdefault(word, len(words)))
    if not words:
        return None
    item, token = np.array(holders, np.int64), np.array(tokens, np.int64)
    weight = np.log(len(titles) / np.bincount(token, minlength=len(words))) ** 2
    offsets = np.searchsorted(item, np.arange(len(titles) + 1))
    norms = np.sqrt(np.bincount(item, weights=weight[token], minlength=len(titles)))

    def keys_of(items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        lengths = (offsets[1:] - offsets[:-1])[items]
        at = np.arange(lengths.sum()) + np.repeat(
            offsets[items] - lengths.cumsum() + lengths, lengths
        )
        keys: npt.NDArray[np.int64] = np.repeat(np.arange(len(items)), lengths) * len(words)
        keys += token[at]
        return keys

    def cosine(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        shared = np.intersect1d(keys_of(first), keys_of(second), assume_unique=True)
        dots = np.bincount(
            shared // len(words), weights=weight[shared % len(words)], minlength=len(first)
        )
        return float((dots / (norms[first] * norms[second])).mean())

    return _compared("titles", pairs, norms > 0, cosine, seed)


def vector_smoothness(
    vectors: npt.NDArray[np.floating], pairs: Pairs, seed: int
) -> Smoothness | None:
    """Compare vectors of items, (N, E); pairs with a vector of zeros are left out."""
    norms = np.sqrt(np.einsum("ne,ne->n", vectors, vectors, dtype=np.float64))

    def cosine(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        dots = np.einsum("ne,ne->n", vectors[first], vectors[second], dtype=np.float64)
        return float((dots / (norms[first] * norms[second])).mean())

    return _compared("vectors", pairs, norms > 0, cosine, seed)


def _compared(
    of: str, pairs: Pairs, known: npt.NDArray[np.bool_], cosine: Cosine, seed: int
) -> Smoothness | None:
    first, second = pairs
    kept = (first != second) & known[first] & known[second]
    first, second = first[kept], second[kept]
    other = np.random.default_rng(seed).permutation(second)
    differs = first != other
    if not differs.any():
        return None
    return Smoothness(of, cosine(first, second), cosine(first[differs], other[differs]), len(first))
