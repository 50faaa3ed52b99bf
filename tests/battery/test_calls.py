"""Many calls of kernels: from threads, in forked processes, and without a leak."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec import _core
from dllm2rec.errors import Dllm2RecError
from tests.battery.trials import Tell, Trials
from tests.support.children import ended, forked

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
RNG = np.random.default_rng(0)
SCORES = RNG.random((40, 200)).astype(np.float32)
TARGETS = RNG.integers(0, 200, 40).astype(np.uint32)
VECTORS = RNG.random((300, 8)).astype(np.float32)
DISTANCE = RNG.random((50, 10)).astype(np.float32)
EVENTS = RNG.integers(0, 200, 1000).astype(np.uint32)
BEGIN = np.arange(0, 900, 10)
WORSE = np.full_like(SCORES, np.nan)

CALLS: dict[str, Callable[[], Any]] = {
    "rank_counts": lambda: _core.rank_counts(SCORES, TARGETS),
    "top_n": lambda: _core.top_n(SCORES, 20),
    "fused_rank_counts": lambda: _core.fused_rank_counts(VECTORS[:40], VECTORS, TARGETS),
    "fused_top_n": lambda: _core.fused_top_n(VECTORS[:40], VECTORS, 20),
    "candidate_confidence": lambda: _core.candidate_confidence(DISTANCE),
    "sequence_confidence": lambda: _core.sequence_confidence(DISTANCE.ravel(), 0.2, 10),
    "consistency_from_scores": lambda: _core.consistency_from_scores(
        SCORES, np.zeros((40, 10), np.uint32), 10
    ),
    "gather_windows": lambda: _core.gather_windows(EVENTS, BEGIN, BEGIN + 10, 8, 200),
    "sample_negatives": lambda: _core.sample_negatives(
        EVENTS,
        BEGIN,
        BEGIN + 10,
        BEGIN.astype(np.uint64),
        n_items=200,
        n_negatives=3,
        seed=1,
        epoch=1,
    ),
    "order_by_user": lambda: _core.order_by_user(EVENTS, np.arange(1000), 200),
}
REFUSED: dict[str, Callable[[], Any]] = {
    "rank_counts": lambda: _core.rank_counts(WORSE, TARGETS),
    "top_n": lambda: _core.top_n(WORSE, 20),
    "fused_top_n": lambda: _core.fused_top_n(VECTORS[:40], VECTORS, 0),
    "candidate_confidence": lambda: _core.candidate_confidence(-DISTANCE),
    "gather_windows": lambda: _core.gather_windows(EVENTS, BEGIN, BEGIN + 10_000, 8, 200),
    "parse_items": lambda: _core.parse_items("nowhere.txt", n_items=9),
}


def as_bytes(result: Any) -> bytes:
    parts = result if isinstance(result, tuple) else (result,)
    return b"".join(np.asarray(part).tobytes() for part in parts)


def wrong_in_threads(calls: dict[str, Callable[[], Any]], each: int) -> list[str]:
    """Which calls gave something else on 8 threads, of so many on each."""
    want = {name: as_bytes(call()) for name, call in calls.items()}
    names = list(calls)
    wrong: list[str] = []
    done: list[int] = []

    def work(first: int) -> None:
        for number in range(each):
            name = names[(first + number) % len(names)]
            if as_bytes(calls[name]()) != want[name]:
                wrong.append(name)
        done.append(first)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(1200)
    assert len(done) == 8
    return wrong


def test_calls_from_many_threads_give_what_one_gives(trials: Trials, tell: Tell) -> None:
    each = -(-trials.count(50_000) // 8)
    assert wrong_in_threads(CALLS, each) == []
    tell({"calls on 8 threads": 8 * each, "unlike those of one": 0})


def test_control_threads_that_share_a_buffer_are_seen() -> None:
    buffer = np.zeros(4)

    def with_buffer(value: float) -> Any:
        buffer[:] = value
        time.sleep(1e-4)  # another thread's turn
        return buffer.copy()

    assert wrong_in_threads({"one": lambda: with_buffer(1.0), "two": lambda: with_buffer(2.0)}, 50)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_in_a_forked_process(tmp_path: Path, name: str, trials: Trials, tell: Tell) -> None:
    want = as_bytes(CALLS[name]())
    full = trials.count(20)
    for _ in range(full):
        CALLS[name]()  # its threads are there
        child = forked(lambda: as_bytes(CALLS[name]()) != want, tmp_path / "log")
        assert ended(child) == 0, (tmp_path / "log").read_text()
    tell({"forked processes": full, "without an answer": 0}, "kernels", name)


def test_control_a_lock_that_a_thread_held_hangs_a_fork(tmp_path: Path) -> None:
    lock, held, done = threading.Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = forked(lambda: not lock.acquire(), tmp_path / "log")
    with pytest.raises(pytest.fail.Exception, match="had not ended"):
        ended(child, within_s=0.5)
    done.set()
    holder.join()


def resident() -> int:
    """The bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def growth(call: Callable[[], Any], n: int) -> int:
    """By how many bytes this process grows over so many calls, after others have warmed it up."""
    for _ in range(max(200, n // 10)):
        call()
    before = resident()
    for _ in range(n):
        call()
    return resident() - before


def refuse(call: Callable[[], Any]) -> None:
    with suppress(Dllm2RecError, ValueError, OSError, OverflowError):
        call()
        pytest.fail("it was not refused")


@pytest.mark.parametrize("name", [*CALLS, *(f"refused {name}" for name in REFUSED)])
def test_calls_leak_nothing(name: str, trials: Trials, tell: Tell) -> None:
    call = CALLS.get(name)
    if call is None:
        refused = REFUSED[name.removeprefix("refused ")]

        def call() -> None:
            refuse(refused)

    n = trials.count(20_000)
    grown = growth(call, n)
    assert grown < 2**20
    tell({"calls": n, "KiB of growth": float(grown / 2**10)}, "kernels and refusals", name)


def test_control_a_leak_is_seen(trials: Trials) -> None:
    kept = []
    assert growth(lambda: kept.append(bytes(10_000)), max(500, trials.count(20_000))) > 2**20
