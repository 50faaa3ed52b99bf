"""Intervals that hold what they say, p values that are uniform where there is nothing to find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec import _core
from dllm2rec.comparisons import paired
from dllm2rec.comparisons.paired import holm, paired_difference
from dllm2rec.comparisons.student_t import quantile
from dllm2rec.errors import InputError, NonFiniteError
from tests.reference import paired as slow

GAINS = np.concatenate([[0.0], 1 / np.log2(np.arange(2, 22))])


def gains(rng: np.random.Generator, n_rows: int, hit_rate: float = 0.2) -> np.ndarray:
    """NDCG@20 of rows, as a scorer of this hit rate has it."""
    place = np.where(rng.random(n_rows) < hit_rate, rng.integers(1, 21, n_rows), 0)
    return GAINS[place]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov's: how far two samples' distributions are apart."""
    every = np.sort(np.concatenate([one, other]))
    shares = (np.searchsorted(np.sort(x), every, side="right") / len(x) for x in (one, other))
    return float(np.abs(next(shares) - next(shares)).max())


@pytest.mark.parametrize("n_rows", [5, 60, 3000])
@pytest.mark.parametrize("kind", ["few values", "all distinct"])
def test_draws_are_distributed_as_those_of_the_slow_twin(n_rows: int, kind: str) -> None:
    rng = np.random.default_rng(n_rows)
    values = gains(rng, n_rows, 0.5) - gains(rng, n_rows, 0.4)
    values = values if kind == "few values" else rng.normal(size=n_rows)
    distinct, counts = np.unique(values, return_counts=True)
    counts = counts.astype(np.uint64)
    limit = 1.95 * math.sqrt(2 / 4000)  # passed by one in a thousand
    fast = _core.bootstrap_sums(distinct, counts, n_draws=4000, seed=3) / n_rows
    assert distance(fast, slow.bootstrap_means(values, 4000, rng)) < limit
    fast = _core.sign_sums(distinct, counts, n_draws=4000, seed=3) / n_rows
    assert distance(fast.round(9), slow.sign_means(values, 4000, rng).round(9)) < limit


@pytest.mark.slow
@pytest.mark.parametrize("n_rows", [100, 1000])
def test_the_interval_holds_the_difference_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, n_rows: int
) -> None:
    monkeypatch.setattr(paired, "N_DRAWS", 2000)
    rng = np.random.default_rng(7)
    truth = (0.3 - 0.2) * GAINS[1:].mean()
    held = 0
    for trial in range(600):
        found = paired_difference([gains(rng, n_rows, 0.3)], [gains(rng, n_rows, 0.2)], seed=trial)
        held += found.low <= truth <= found.high
    # Three standard errors of a share of .95 among 600, and the bias of percentiles at 100 rows.
    assert 0.95 - 0.04 < held / 600 < 0.95 + 0.027


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [1, 2, 4])
def test_p_is_uniform_and_intervals_hold_zero_where_there_is_no_difference(
    monkeypatch: pytest.MonkeyPatch, n_seeds: int
) -> None:
    monkeypatch.setattr(paired, "N_DRAWS", 1000)
    rng = np.random.default_rng(11)
    p_values, held = [], 0
    for trial in range(400):
        rates = 0.3 + 0.05 * rng.normal(size=(2, n_seeds)) * (n_seeds > 1)
        sides = [[gains(rng, 200, rate) for rate in side] for side in rates]
        found = paired_difference(sides[0], sides[1], seed=trial)
        p_values.append(found.p)
        held += found.low <= 0 <= found.high
    if n_seeds == 1:
        assert distance(np.array(p_values), np.arange(1, 401) / 400) < 1.95 / math.sqrt(400)
    # The variance of rows is in that of seeds, too: few false findings rather than too many.
    for level in (0.01, 0.05, 0.2):
        error = math.sqrt(level * (1 - level) / 400)
        assert np.mean(np.array(p_values) <= level) < level + 3 * error
    assert held / 400 > 0.95 - 0.033


def test_the_figures_are_those_of_their_formulas() -> None:
    rng = np.random.default_rng(0)
    one, other = gains(rng, 500, 0.4), gains(rng, 500, 0.2)
    found = paired_difference([one], [other])
    difference = one - other
    assert found.difference == pytest.approx(difference.mean())
    assert found.effect == pytest.approx(difference.mean() / difference.std(ddof=1))
    error = difference.std(ddof=1) / math.sqrt(500)
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    assert found.low < found.difference < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert (found.test, found.n_rows) == ("permutation", 500)
    assert found.p <= 3 / 10_001
    back = paired_difference([other], [one])
    assert (back.difference, back.p) == (-found.difference, found.p)


def test_seeds_are_a_source_of_noise() -> None:
    rng = np.random.default_rng(1)
    rates = (0.25, 0.3, 0.35)
    seeds = [gains(rng, 2000, rate) for rate in rates]
    other = gains(rng, 2000, 0.28)
    found = paired_difference(seeds, [other])
    pooled = paired_difference([np.mean(seeds, axis=0)], [other])
    assert found.difference == pytest.approx(pooled.difference)
    assert found.high - found.low > 2 * (pooled.high - pooled.low)
    assert found.p > pooled.p
    assert found.detectable > 2 * pooled.detectable
    assert (found.test, pooled.test) == ("t", "permutation")
    # Seeds that agree to the last row add nothing but the degrees of freedom of rows.
    same = paired_difference([seeds[0]] * 3, [other])
    alone = paired_difference([seeds[0]], [other])
    assert same.low == pytest.approx(alone.low, abs=3e-4)
    assert same.p == pytest.approx(alone.p, abs=0.02)


def test_the_interval_of_many_seeds_is_that_of_its_standard_error() -> None:
    rng = np.random.default_rng(3)
    seeds = [gains(rng, 1500, rate) for rate in np.linspace(0.2, 0.4, 8)]
    other = gains(rng, 1500, 0.3)
    found = paired_difference(seeds, [other])
    rows = (np.mean(seeds, axis=0) - other).var(ddof=1) / 1500
    between = np.var([one.mean() for one in seeds], ddof=1) / 8
    df = (rows + between) ** 2 / (rows**2 / 1499 + between**2 / 7)
    width = 2 * quantile(0.975, df) * math.sqrt(rows + between)
    assert found.high - found.low == pytest.approx(width, rel=0.06)


def test_one_seed_has_one_result_whatever_the_threads() -> None:
    rng = np.random.default_rng(1)
    sides = [gains(rng, 900, 0.3)], [gains(rng, 900, 0.29), gains(rng, 900, 0.28)]
    results = []
    try:
        for n_threads in (1, 2, 7):
            _core.set_threads(n_threads)
            results.append(
                (paired_difference(*sides, seed=5), paired_difference(sides[0], sides[1][:1]))
            )
    finally:
        _core.set_threads(2)
    assert results[0] == results[1] == results[2]
    assert paired_difference(*sides, seed=6) != results[0][0]


def test_the_same_figures_differ_by_nothing() -> None:
    values = gains(np.random.default_rng(2), 50)
    found = paired_difference([values], [values])
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert (found.effect, found.detectable) == (0.0, 0.0)
    seeds = paired_difference([values, values], [values, values])
    assert (seeds.difference, seeds.low, seeds.high, seeds.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_constant_difference_is_sure_but_for_few_rows() -> None:
    found = paired_difference([np.full(3, 0.5)], [np.full(3, 0.25)])
    assert (found.low, found.high, found.effect) == (0.25, 0.25, 0.0)
    # All three rows keep their sign, or all change it: one draw in four.
    assert found.p == pytest.approx(0.25, abs=0.02)


def test_equal_sums_in_another_order_count_as_equal() -> None:
    # 0.1 + 0.2 - 0.3 is not 0 in floats, and every draw is as far as what was found.
    values = np.array([0.1, 0.2, -0.3])
    assert paired_difference([values], [np.zeros(3)]).p == 1.0
    # 6.7 as NumPy adds them; a draw that keeps every sign adds them up to 6.699999999999999.
    values = np.array([2.5, 1.9, 1.5, 0.8])
    assert paired_difference([values], [np.zeros(4)]).p == pytest.approx(2 / 16, abs=0.02)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=0, max_size=12))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(slow.holm(p_values))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="at least two"):
        paired_difference([np.zeros(1)], [np.zeros(1)])
    with pytest.raises(InputError, match="values of 3, 4 rows, expected the same"):
        paired_difference([np.zeros(3)], [np.zeros(4)])
    with pytest.raises(NonFiniteError):
        paired_difference([np.array([0.0, np.nan])], [np.zeros(2)])


def test_users_of_one_row_each_are_the_rows() -> None:
    rng = np.random.default_rng(0)
    one, other = gains(rng, 200), gains(rng, 200)
    users = rng.permutation(200)
    assert paired_difference([one], [other], users=users) == paired_difference([one], [other])


def test_rows_of_a_user_are_drawn_together_as_the_slow_twin_draws_them() -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(300), rng.integers(1, 6, 300))
    of_user = rng.standard_normal(300)
    differences = 0.1 + of_user[users] + 0.1 * rng.standard_normal(len(users))
    found = paired_difference([differences], [np.zeros(len(users))], users=users)
    sums, sizes = np.bincount(users, weights=differences), np.bincount(users)
    drawn = rng.integers(0, 300, (4000, 300))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    assert found.difference == pytest.approx(differences.mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    flipped = np.abs(rng.choice([-1, 1], (4000, 300)) @ sums)
    assert found.p == pytest.approx(np.mean(flipped >= abs(sums.sum())), abs=0.03)
    alone = paired_difference([differences], [np.zeros(len(users))])
    assert found.high - found.low > 1.4 * (alone.high - alone.low)
    assert found.detectable > 1.4 * alone.detectable


def test_users_that_are_not_those_of_the_rows_are_refused() -> None:
    values, zeros = np.ones(4), np.zeros(4)
    with pytest.raises(InputError, match="one for each of 4 rows"):
        paired_difference([values], [zeros], users=np.arange(3))
    with pytest.raises(InputError, match="at least two users"):
        paired_difference([values], [zeros], users=np.full(4, 7))
