"""How kernels run: panics, Ctrl-C, fork, threads, the GIL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dllm2rec import _core
from dllm2rec.errors import Dllm2RecError, InternalError

GAMMAS = (0.3, 0.5, 0.1)
Call = Callable[[], Any]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    _core.set_threads(2)
    yield
    _core.set_threads(2)


def scan_histories(n_rows: int) -> Any:
    """Negatives outside whole histories of 99,000 events: some 30 microseconds a row."""
    events = np.arange(100_000, dtype=np.uint32)
    begin = np.zeros(n_rows, np.int64)
    keys = np.arange(n_rows, dtype=np.uint64)
    return _core.sample_negatives(
        events, begin, begin + 99_000, keys, n_items=2**32 - 1, n_negatives=1, seed=1, epoch=1
    )


def select_rising(n_rows: int) -> Any:
    """Consistency from scores that rise, so that each enters the list: some 20 ms per row."""
    scores = np.tile(np.arange(20_000, dtype=np.float32), (n_rows, 1))
    ranking = np.zeros((n_rows, 10), np.uint32)
    return _core.consistency_from_scores(scores, ranking, 10_000)


def long_calls(name: str) -> Call:
    rng = np.random.default_rng(0)
    n_rows = 1 << 20
    if name == "sleep":
        return lambda: _core._sleep_for_test(60.0)
    if name == "sample_negatives":
        return lambda: scan_histories(100_000)
    if name == "sample_negatives of one row":
        one = np.zeros(1, np.int64)
        return lambda: _core.sample_negatives(
            np.zeros(0, np.uint32),
            one,
            one,
            np.zeros(1, np.uint64),
            n_items=10_000,
            n_negatives=100_000_000,
            seed=1,
            epoch=1,
        )
    if name == "consistency_from_scores":
        return lambda: select_rising(300)
    if name in {"bootstrap_sums", "sign_sums"}:
        values = rng.random(1_000_000)  # all distinct: drawn row by row
        kernel, counts = getattr(_core, name), np.ones(len(values), np.uint64)
        return lambda: kernel(values, counts, n_draws=1_000_000, seed=1)
    if name == "similar_rows":
        n_titles = 60_000  # all have one word
        words = np.zeros(n_titles, np.uint32), np.ones(n_titles, np.float32)
        return lambda: _core.similar_rows((np.arange(n_titles + 1), *words), 1, 100)
    if name == "count_pairs":
        windows = rng.integers(0, 20_000, (400_000, 50), dtype=np.uint32)
        lengths = np.full(len(windows), 50, np.uint32)
        ages = np.ones(50, np.float32)
        return lambda: _core.count_pairs(windows, lengths, windows[:, 0].copy(), ages, 20_000, 50)
    if name.startswith("pair_bonuses"):
        shape = (1, 500_000) if name.endswith("one row") else (100_000, 50)
        windows = np.zeros(shape, np.uint32)  # of one item, which every item follows
        lengths = np.full(len(windows), shape[1], np.uint32)
        n_items = 2000
        offsets = np.full(n_items + 1, n_items)
        offsets[0] = 0
        table = offsets, np.arange(n_items, dtype=np.uint32), np.ones(n_items, np.float32)
        return lambda: _core.pair_bonuses(windows, lengths, np.ones(shape[1], np.float32), table)
    if name == "order_by_user":
        users = rng.integers(0, 1000, 30_000_000, dtype=np.uint32)
        times = rng.integers(0, 2**62, len(users))
        return lambda: _core.order_by_user(users, times, 1000)
    if name == "gather_windows":
        # 2 GiB of windows.
        events = np.zeros(1 << 20, np.uint32)
        end = rng.integers(500, 1 << 20, n_rows)
        return lambda: _core.gather_windows(events, np.zeros_like(end), end, 512, 1)
    if name.startswith("fused"):
        users, items = (rng.random((n, 64), np.float32) for n in (200_000, 200_000))
        if name == "fused_top_n":
            return lambda: _core.fused_top_n(users, items, 20)
        return lambda: _core.fused_rank_counts(users, items, np.zeros(len(users), np.uint32))
    if name == "top_n":
        rising = np.tile(np.arange(20_000, dtype=np.float32), (1000, 1))
        return lambda: _core.top_n(rising, 10_000)
    if name == "rank_counts":
        zeros = np.zeros((1 << 14, 1 << 16), np.float32)  # 4 GiB that are one page until written
        return lambda: _core.rank_counts(zeros, np.zeros(len(zeros), np.uint32))
    distance = np.resize(rng.random(1 << 20, np.float32), (n_rows, 100))
    if name == "candidate_confidence":
        return lambda: _core.candidate_confidence(distance)
    if name == "sequence_confidence":
        return lambda: _core.sequence_confidence(distance.ravel(), 0.2, 10)
    position = _core.position_weight(100, 1.0)
    return lambda: _core.blend_weights(position, distance, distance, GAMMAS, normalise=True)


LONG = [
    "sleep",
    "sample_negatives",
    "sample_negatives of one row",
    "consistency_from_scores",
    "count_pairs",
    "pair_bonuses",
    "pair_bonuses of one row",
    "similar_rows",
    "bootstrap_sums",
    "sign_sums",
    "fused_rank_counts",
    "fused_top_n",
]
LARGE = [
    "candidate_confidence",
    "sequence_confidence",
    "blend_weights",
    "gather_windows",
    "order_by_user",
    "top_n",
    "rank_counts",
]


@pytest.mark.parametrize("in_worker", [False, True])
def test_a_panic_becomes_an_exception_and_the_next_call_works(in_worker: bool) -> None:
    caught = None
    try:
        _core._panic_for_test(in_worker)
    except Exception as err:  # noqa: BLE001 - a panic that this does not catch would end the test
        caught = err
    assert isinstance(caught, InternalError)
    assert isinstance(caught, Dllm2RecError)
    assert "a kernel panicked, which is a bug of dllm2rec: asked to panic" in str(caught)
    assert scan_histories(200).shape == (200, 1)


def seconds_to_answer_ctrl_c(call: Call, delay_s: float) -> float:
    sent = []

    def interrupt() -> None:
        time.sleep(delay_s)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        return time.perf_counter() - sent[0]
    finally:
        sender.join()


def answers_within_200_ms(call: Call, *delays_s: float) -> bool:
    """In some of a few tries: other work on the machine may delay any of them."""
    return any(seconds_to_answer_ctrl_c(call, delay_s) < 0.2 for delay_s in delays_s * 3)


@pytest.mark.parametrize("n_threads", [1, 2])  # on the caller's own thread, and on others
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_is_answered_within_200_ms(name: str, n_threads: int) -> None:
    call = long_calls(name)
    _core.set_threads(n_threads)
    assert answers_within_200_ms(call, 0.1, 0.17)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_ctrl_c_is_answered_within_200_ms_where_only_size_makes_it_long(name: str) -> None:
    call = long_calls(name)
    _core.set_threads(1)
    assert answers_within_200_ms(call, 0.01, 0.02)


def in_child(n_rows: int) -> None:
    os._exit(0 if scan_histories(n_rows).shape == (n_rows, 1) else 1)


@pytest.mark.parametrize("n_rows", [1, 500])
def test_kernels_work_in_a_forked_child_after_parallel_use(n_rows: int) -> None:
    scan_histories(500)
    for _ in range(5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork
            child = multiprocessing.get_context("fork").Process(target=in_child, args=(n_rows,))
            child.start()
        child.join(30)  # a child that waits for threads of its parent never ends
        alive = child.is_alive()
        child.kill()
        child.join()
        assert not alive, "the child did not end within 30 s"
        assert child.exitcode == 0


def longest_pause_beside_a_kernel() -> tuple[float, float]:
    """How long another thread had to wait at a time, and how long the kernel took; in seconds."""
    done = threading.Event()

    def work() -> None:
        scan_histories(20_000)
        done.set()

    worker = threading.Thread(target=work)
    start = last = time.perf_counter()
    longest = 0.0
    worker.start()
    while not done.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    worker.join()
    return longest, last - start


@pytest.mark.slow
def test_another_thread_runs_while_a_kernel_does() -> None:
    tries = [longest_pause_beside_a_kernel() for _ in range(4)]
    assert min(whole for _, whole in tries) > 0.05
    # Holding the GIL would make the one as long as the other in every try.
    assert any(longest < whole / 2 for longest, whole in tries)


@pytest.mark.slow
def test_kernels_may_be_called_from_many_threads_at_once() -> None:
    want = scan_histories(300)
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.extend(scan_histories(300) for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 160
    for got in results:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n_threads", [0, 1025, 3000, 2**40])
def test_a_number_of_threads_that_no_machine_has_is_refused(n_threads: int) -> None:
    with pytest.raises(ValueError, match=f"n_threads = {n_threads}, expected 1 to 1024"):
        _core.set_threads(n_threads)
