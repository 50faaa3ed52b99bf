"""The negatives' generator in Python's whole numbers, word by word."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

WORD = 2**64
GAMMA = 0x9E3779B97F4A7C15


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def split(state: int, index: int) -> int:
    return mix((state + (index + 1) * GAMMA) % WORD)


def words(seed: int, epoch: int, key: int, draw: int) -> Iterator[int]:
    stream = split(split(seed, epoch), key)
    while True:
        yield split(stream, draw)
        stream = mix(WORD - 1 - stream)


def below(n: int, source: Iterator[int]) -> int:
    for word in source:
        if word * n % WORD >= WORD % n:
            return word * n // WORD
    raise AssertionError("the words never end")


def draw(excluded: set[int], n_items: int, source: Iterator[int]) -> int:
    item = below(n_items, source)
    if item not in excluded:
        return item
    allowed = [item for item in range(n_items) if item not in excluded]
    return allowed[below(len(allowed), source)]


def sample_negatives(
    events: npt.NDArray,
    begin: npt.NDArray,
    end: npt.NDArray,
    keys: npt.NDArray,
    *,
    n_items: int,
    n_negatives: int,
    seed: int,
    epoch: int,
) -> npt.NDArray[np.uint32]:
    out = np.zeros((len(keys), n_negatives), np.uint32)
    for b, key in enumerate(keys.tolist()):
        excluded = set(events[begin[b] : end[b]].tolist())
        for j in range(n_negatives):
            out[b, j] = draw(excluded, n_items, words(seed, epoch, key, j))
    return out
