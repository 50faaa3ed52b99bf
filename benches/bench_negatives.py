"""Negatives, in draws a second: this package, numba and NumPy, all outside an 11-item list per row.

Equality means nothing between generators: before it is timed, each peer must draw only items of
the catalogue and none that its row excludes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dllm2rec.batches.negative_sampler import sample_negatives

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_EVENTS = int(2_000_000 * SCALE)
N_EXCLUDED = 11
CELLS = [
    (batch, n_negatives, n_items)
    for batch in (256, 4096)
    for n_negatives in (1, 100)
    for n_items in (17_408, 1_000_000, 10_000_000)
]

Sampler = Callable[..., npt.NDArray[Any]]


def ours(events: Any, begin: Any, end: Any, keys: Any, n_items: int, n_negatives: int) -> Any:
    return sample_negatives(
        events, begin, end, keys, n_items=n_items, n_negatives=n_negatives, seed=1, epoch=1
    )


def numpy_rejection() -> Sampler:
    """Draw all, compare with the lists in one broadcast, draw again where one hit."""
    rng = np.random.default_rng(1)

    def sample(
        events: Any, begin: Any, end: Any, keys: Any, n_items: int, n_negatives: int
    ) -> npt.NDArray[np.uint32]:
        lists = events[begin[:, None] + np.arange(N_EXCLUDED)]
        items = rng.integers(0, n_items, (len(begin), n_negatives), dtype=np.uint32)
        rows, columns = _hits(items, lists)
        while len(rows):
            items[rows, columns] = rng.integers(0, n_items, len(rows), dtype=np.uint32)
            again = (items[rows, columns, None] == lists[rows]).any(1)
            rows, columns = rows[again], columns[again]
        return items

    return sample


def _hits(items: Any, lists: Any) -> tuple[Any, Any]:
    hit = items == lists[:, :1]
    for column in range(1, N_EXCLUDED):
        hit |= items == lists[:, column : column + 1]
    return np.nonzero(hit)


def numba_rejection(*, parallel: bool) -> Sampler:
    """Splitmix64 with a stream per row, multiply-shift, a linear scan of the list."""
    numba = pytest.importorskip("numba")
    u64 = np.uint64

    @numba.njit(inline="always")
    def mix(z: Any) -> Any:
        z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
        return z ^ (z >> u64(31))

    @numba.njit(parallel=parallel, nogil=True)
    def sample(events: Any, begin: Any, end: Any, keys: Any, n_items: int, n_negatives: int) -> Any:
        out = np.empty((len(begin), n_negatives), np.uint32)
        for row in numba.prange(len(begin)):
            state = mix(keys[row] + u64(0x9E3779B97F4A7C15))
            first, last = begin[row], end[row]
            for j in range(n_negatives):
                while True:
                    state += u64(0x9E3779B97F4A7C15)
                    item = np.uint32(((mix(state) >> u64(32)) * u64(n_items)) >> u64(32))
                    hit = False
                    for i in range(first, last):
                        hit |= events[i] == item
                    if not hit:
                        break
                out[row, j] = item
        return out

    return sample


PEERS: dict[str, Callable[[], Sampler]] = {
    "dllm2rec": lambda: ours,
    "numba": lambda: numba_rejection(parallel=True),
    "numba, one thread": lambda: numba_rejection(parallel=False),
    "numpy": numpy_rejection,
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("batch", "n_negatives", "n_items"), CELLS)
def test_negatives(benchmark: Any, peer: str, batch: int, n_negatives: int, n_items: int) -> None:
    if peer.startswith("numba") and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(0)
    events = rng.integers(0, n_items, N_EVENTS, dtype=np.uint32)
    begin = rng.integers(0, N_EVENTS - N_EXCLUDED, batch)
    end = begin + N_EXCLUDED
    keys = np.arange(batch, dtype=np.uint64)
    sample = PEERS[peer]()

    items = sample(events, begin, end, keys, n_items, n_negatives)
    assert items.shape == (batch, n_negatives)
    assert items.max() < n_items
    assert not len(_hits(items, events[begin[:, None] + np.arange(N_EXCLUDED)])[0])

    benchmark.group = f"negatives/{batch}x{n_negatives}/{n_items}"
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["draws"] = batch * n_negatives
    benchmark(sample, events, begin, end, keys, n_items, n_negatives)
