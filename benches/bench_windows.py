"""Windows cut from a log, and a log put in the order of its users: this package and its peers.

Rows stand anywhere in the events, as those of a shuffled batch do. Every peer must give the same
arrays before it is timed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dllm2rec import _core

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_EVENTS = int(20_000_000 * SCALE)
N_ITEMS = 17_408
LONGEST = 100  # events before a target
CELLS = [
    (n_rows, max_length) for n_rows in (1024, int(1_000_000 * SCALE)) for max_length in (10, 50)
]

Cut = Callable[[Any, Any, Any, int], tuple[Any, Any, Any]]


def ours(events: Any, start: Any, end: Any, max_length: int) -> tuple[Any, Any, Any]:
    return _core.gather_windows(events, start, end, max_length, N_ITEMS)


def by_index(events: Any, start: Any, end: Any, max_length: int) -> tuple[Any, Any, Any]:
    """A matrix of places, one gather, and padding where a place is past the history."""
    begin = np.maximum(start, end - max_length)
    places = begin[:, None] + np.arange(max_length)
    padding = places >= end[:, None]
    places[padding] = 0
    sequences = events[places]
    sequences[padding] = N_ITEMS
    return sequences, (end - begin).astype(np.uint32), events[end]


def numba_loop(*, parallel: bool) -> Cut:
    numba = pytest.importorskip("numba")

    @numba.njit(parallel=parallel, nogil=True)
    def cut(events: Any, start: Any, end: Any, max_length: int) -> Any:
        n_rows = len(end)
        sequences = np.empty((n_rows, max_length), np.uint32)
        lengths, targets = np.empty(n_rows, np.uint32), np.empty(n_rows, np.uint32)
        for row in numba.prange(n_rows):
            begin = max(start[row], end[row] - max_length)
            length = end[row] - begin
            sequences[row, :length] = events[begin : end[row]]
            sequences[row, length:] = N_ITEMS
            lengths[row] = length
            targets[row] = events[end[row]]
        return sequences, lengths, targets

    return cut


PEERS: dict[str, tuple[int, Callable[[], Cut]]] = {
    "dllm2rec": (2, lambda: ours),
    "dllm2rec, one thread": (1, lambda: ours),
    "numba": (2, lambda: numba_loop(parallel=True)),
    "numba, one thread": (1, lambda: numba_loop(parallel=False)),
    "numpy": (1, lambda: by_index),
}


@pytest.fixture(autouse=True)
def all_threads() -> Iterator[None]:
    yield
    _core.set_threads(len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(("n_rows", "max_length"), CELLS)
def test_windows(benchmark: Any, peer: str, n_rows: int, max_length: int) -> None:
    rng = np.random.default_rng(0)
    events = rng.integers(0, N_ITEMS, N_EVENTS, dtype=np.uint32)
    end = rng.integers(LONGEST, N_EVENTS, n_rows)
    start = end - rng.integers(1, LONGEST + 1, n_rows)
    threads, make = PEERS[peer]
    cut = make()
    _core.set_threads(threads)

    results = cut(events, start, end, max_length)
    for got, want in zip(results, by_index(events, start, end, max_length), strict=True):
        np.testing.assert_array_equal(got, want)
    n_bytes = sum(array.nbytes for array in results)
    del results

    benchmark.group = f"windows/{n_rows}x{max_length}"
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["bytes"] = n_bytes
    benchmark.pedantic(cut, (events, start, end, max_length), rounds=9, warmup_rounds=1)


Order = Callable[[Any, Any, int], Any]


def ordered(users: Any, times: Any, n_users: int) -> Any:
    return _core.order_by_user(users, times, n_users)[0]


def lexsort(users: Any, times: Any, _: int) -> Any:
    return np.lexsort((times, users))


def polars_sort(users: Any, times: Any, _: int) -> Any:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"user": users, "time": times})
    keys = [polars.col("user"), polars.col("time")]
    return frame.select(polars.arg_sort_by(*keys, maintain_order=True)).to_series().to_numpy()


@pytest.mark.parametrize("peer", ["dllm2rec", "polars", "numpy"])
@pytest.mark.parametrize("in_order", [True, False])
def test_order(benchmark: Any, peer: str, in_order: bool) -> None:
    rng = np.random.default_rng(0)
    n_users = max(1, N_EVENTS // 100)
    users = rng.integers(0, n_users, N_EVENTS, dtype=np.uint32)
    times = rng.integers(10**15, 2 * 10**15, N_EVENTS)
    if in_order:
        times.sort()
    order = {"dllm2rec": ordered, "polars": polars_sort, "numpy": lexsort}[peer]
    np.testing.assert_array_equal(order(users, times, n_users), lexsort(users, times, n_users))
    benchmark.group = f"order/{N_EVENTS}/{'rising' if in_order else 'shuffled'} times"
    benchmark.extra_info["peer"] = peer
    benchmark.pedantic(order, (users, times, n_users), rounds=3, warmup_rounds=1)
