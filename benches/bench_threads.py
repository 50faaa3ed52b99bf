"""Every kernel on one thread and on two: the table's ratio is how much the second one gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec import _core

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS = max(100, int(150_000 * SCALE))
N_ITEMS = 17_408
RNG = np.random.default_rng(0)

Work = Callable[[], Any]


def parse(folder: Path, k: int, form: str) -> Work:
    path = folder / "list.txt"
    start = RNG.integers(0, N_ITEMS, (N_ROWS, 1))
    np.savetxt(path, (start + np.arange(k) * 61) % N_ITEMS, fmt=form)
    return lambda: _core.parse_items(path, n_items=N_ITEMS)


def weights(_: Path) -> Work:
    distance = RNG.random((N_ROWS, 100), np.float32)
    position, gammas = _core.position_weight(100, 1.0), (0.3, 0.5, 0.0)
    return lambda: _core.blend_weights(
        position, _core.candidate_confidence(distance), None, gammas, normalise=False
    )


def negatives(_: Path) -> Work:
    events = RNG.integers(0, N_ITEMS, N_ROWS * 4, dtype=np.uint32)
    begin = RNG.integers(0, N_ROWS * 4 - 11, N_ROWS)
    keys = np.arange(N_ROWS, dtype=np.uint64)
    return lambda: _core.sample_negatives(
        events, begin, begin + 11, keys, n_items=N_ITEMS, n_negatives=100, seed=1, epoch=1
    )


def windows(_: Path) -> Work:
    events = RNG.integers(0, N_ITEMS, N_ROWS * 4, dtype=np.uint32)
    end = RNG.integers(100, N_ROWS * 4, N_ROWS)
    return lambda: _core.gather_windows(events, end - 100, end, 50, N_ITEMS)


def order(_: Path) -> Work:
    users = RNG.integers(0, N_ROWS, N_ROWS * 20, dtype=np.uint32)
    times = RNG.integers(0, 10**9, N_ROWS * 20)
    return lambda: _core.order_by_user(users, times, N_ROWS)


def scores() -> Any:
    return RNG.standard_normal((max(10, N_ROWS // 30), N_ITEMS), dtype=np.float32)


def ranks(_: Path) -> Work:
    matrix = scores()
    targets = RNG.integers(0, N_ITEMS, len(matrix)).astype(np.uint32)
    return lambda: _core.rank_counts(matrix, targets)


def top_20(_: Path) -> Work:
    matrix = scores()
    return lambda: _core.top_n(matrix, 20)


def vectors() -> tuple[Any, Any]:
    return (
        RNG.standard_normal((max(16, N_ROWS // 30), 64), dtype=np.float32),
        RNG.standard_normal((N_ITEMS, 64), dtype=np.float32),
    )


def fused_ranks(_: Path) -> Work:
    users, items = vectors()
    targets = RNG.integers(0, N_ITEMS, len(users)).astype(np.uint32)
    return lambda: _core.fused_rank_counts(users, items, targets)


def fused_top_20(_: Path) -> Work:
    users, items = vectors()
    return lambda: _core.fused_top_n(users, items, 20)


KERNELS: dict[str, Callable[[Path], Work]] = {
    "parse %d": lambda folder: parse(folder, 100, "%d"),
    "parse %.18e": lambda folder: parse(folder, 20, "%.18e"),
    "weights": weights,
    "negatives": negatives,
    "windows": windows,
    "order": order,
    "ranks": ranks,
    "top20": top_20,
    "fused ranks": fused_ranks,
    "fused top20": fused_top_20,
}


@pytest.fixture(scope="module", params=KERNELS)
def kernel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Work]]:
    folder: Path = tmp_path_factory.mktemp("threads")
    yield request.param, KERNELS[request.param](folder)
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("threads", [2, 1])
def test_threads(benchmark: Any, kernel: tuple[str, Work], threads: int) -> None:
    name, work = kernel
    try:
        results = []
        for n in (1, 2):
            _core.set_threads(n)
            results.append(work())
        for one, two in zip(flat(results[0]), flat(results[1]), strict=True):
            np.testing.assert_array_equal(one, two)
        del results
        _core.set_threads(threads)
        benchmark.group = f"two threads/{name}"
        benchmark.extra_info["peer"] = "dllm2rec" if threads == 2 else "one thread"
        benchmark.pedantic(work, rounds=9, warmup_rounds=1)
    finally:
        _core.set_threads(len(os.sched_getaffinity(0)))


def flat(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple) else [result]
