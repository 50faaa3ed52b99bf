"""The kernels that order a log and cut windows, against their slow twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec import _core
from dllm2rec.errors import InputError
from tests.reference import histories as reference


@st.composite
def logs(draw: st.DrawFn) -> tuple[Any, Any, int]:
    n_users = draw(st.integers(1, 6))
    users = draw(st.lists(st.integers(0, n_users - 1), max_size=60))
    times = draw(st.none() | st.just([draw(st.integers(-3, 3) | st.just(2**62)) for _ in users]))
    return (
        np.array(users, np.uint32),
        None if times is None else np.array(times, np.int64),
        n_users,
    )


@given(logs())
def test_a_log_is_ordered_as_a_stable_sort_orders_it(log: tuple[Any, Any, int]) -> None:
    for got, want in zip(_core.order_by_user(*log), reference.order_by_user(*log), strict=True):
        np.testing.assert_array_equal(got, want)


def cut(seed: int, n_events: int, n_rows: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, n_events - 1, n_rows)
    end = start + 1 + rng.integers(0, n_events, n_rows) % (n_events - start - 1)
    return rng.integers(0, 50, n_events).astype(np.uint32), start, end


@given(st.integers(0, 99), st.integers(2, 40), st.integers(0, 30), st.integers(1, 12))
def test_windows_are_slices(seed: int, n_events: int, n_rows: int, max_length: int) -> None:
    given = (*cut(seed, n_events, n_rows), max_length, 50)
    pairs = zip(_core.gather_windows(*given), reference.gather_windows(*given), strict=True)
    for got, want in pairs:
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint32


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    events, start, end = cut(1, 100_000, 200_000)
    users = events % 7
    times = start[:100_000] % 97
    try:
        _core.set_threads(threads)
        windows = _core.gather_windows(events, start, end, 10, 50)
        order, starts = _core.order_by_user(users, times, 7)
    finally:
        _core.set_threads(2)
    for got, want in zip(
        windows, reference.gather_windows(events, start, end, 10, 50), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(order, np.lexsort((times, users)))
    np.testing.assert_array_equal(starts, np.searchsorted(np.sort(users), np.arange(8)))


@pytest.mark.parametrize(("start", "end"), [(0, 4), (-1, 2), (2, 2), (3, 1), (0, -1)])
def test_a_row_outside_the_events_is_named(start: int, end: int) -> None:
    events = np.arange(4, dtype=np.uint32)
    with pytest.raises(InputError, match=r"end row 1 column 0: .*expected 0 <= start < end"):
        _core.gather_windows(events, np.array([0, start]), np.array([1, end]), 3, 4)


def test_a_user_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="users row 2 column 0: 3, expected a user below n_users"):
        _core.order_by_user(np.array([0, 1, 3], np.uint32), None, 3)
