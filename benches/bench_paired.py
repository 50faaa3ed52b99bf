"""Paired bootstrap and sign-flip permutation over differences of NDCG@20.

A million rows, two scorers that agree on most of them. Peers: NumPy, which draws row after row, and
SciPy's `bootstrap` (its percentile method draws the same way); its `permutation_test` takes a
second for one draw of signs. They get 20 draws, since 10,000 would take minutes; ours with 10,000
is timed beside them. Before anything is timed, the standard deviation of our draws is held to the
formula that all of them estimate.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dllm2rec import _core
from dllm2rec.comparisons.paired import _by_user, paired_difference

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS = int(1_000_000 * SCALE)
FEW = 20
Vector = npt.NDArray[np.float64]


def differences() -> Vector:
    rng = np.random.default_rng(0)
    gains = np.concatenate([[0.0], 1 / np.log2(np.arange(2, 22))])
    places = [np.where(rng.random(N_ROWS) < 0.2, rng.integers(1, 21, N_ROWS), 0) for _ in "ab"]
    other = np.where(rng.random(N_ROWS) < 0.6, places[0], places[1])
    values: Vector = gains[places[0]] - gains[other] + 0.0
    return values


def ours_bootstrap(values: Vector, n_draws: int) -> Vector:
    distinct, counts = np.unique(values, return_counts=True)
    sums = _core.bootstrap_sums(distinct, counts.astype(np.uint64), n_draws=n_draws, seed=1)
    return sums / len(values)


def ours_signs(values: Vector, n_draws: int) -> Vector:
    sizes, counts = np.unique(np.abs(values), return_counts=True)
    sums = _core.sign_sums(sizes, counts.astype(np.uint64), n_draws=n_draws, seed=1)
    return sums / len(values)


def numpy_bootstrap(values: Vector, n_draws: int) -> Vector:
    rng = np.random.default_rng(1)
    n_rows = len(values)
    return np.array([values[rng.integers(0, n_rows, n_rows)].mean() for _ in range(n_draws)])


def numpy_signs(values: Vector, n_draws: int) -> Vector:
    rng = np.random.default_rng(1)
    signs = (1 - 2 * rng.integers(0, 2, len(values)) for _ in range(n_draws))
    return np.array([(values * sign).mean() for sign in signs])


def scipy_bootstrap(values: Vector, n_draws: int) -> Vector:
    stats = pytest.importorskip("scipy.stats")
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=n_draws, method="percentile", batch=1, rng=1
    )
    drawn: Vector = found.bootstrap_distribution
    return drawn


Draw = Callable[[Vector, int], Vector]
PEERS: dict[str, dict[str, tuple[Draw, int]]] = {
    "bootstrap": {
        "dllm2rec": (ours_bootstrap, FEW),
        "numpy": (numpy_bootstrap, FEW),
        "scipy": (scipy_bootstrap, FEW),
        "dllm2rec, 10,000 draws": (ours_bootstrap, 10_000),
    },
    "signs": {
        "dllm2rec": (ours_signs, FEW),
        "numpy": (numpy_signs, FEW),
        "dllm2rec, 10,000 draws": (ours_signs, 10_000),
    },
}


def test_by_user(benchmark: Any) -> None:
    """Interval and p by user: a fifth as many users as rows, sums that nearly all differ."""
    rng = np.random.default_rng(0)
    gains = np.concatenate([[0.0], 1 / np.log2(np.arange(2, 22))])
    scorer, reference = (gains[rng.integers(1, 21, N_ROWS)] for _ in "ab")
    users = rng.integers(0, N_ROWS // 5, N_ROWS)
    sums, moved = _by_user(scorer - reference, users)
    assert moved is not None
    n_users = users.max() + 1
    plain = np.zeros((2, n_users))
    np.add.at(plain, (0, users), scorer - reference)
    np.add.at(plain, (1, users), 1)
    plain = plain[:, plain[1] > 0]
    np.testing.assert_array_equal(sums, plain[0])
    np.testing.assert_array_equal(moved, plain[0] - plain[1] * (scorer - reference).mean())
    found = paired_difference([scorer], [reference], users=users)
    error = np.sqrt(len(sums) / (len(sums) - 1) * (moved**2).sum()) / N_ROWS
    assert abs((found.high - found.low) / (2 * 1.96 * error) - 1) < 0.04
    benchmark.group = "paired/by user"
    benchmark.extra_info["rows"] = N_ROWS
    benchmark.pedantic(paired_difference, ([scorer], [reference]), {"users": users}, rounds=3)


@pytest.mark.parametrize(("kind", "peer"), [(kind, peer) for kind in PEERS for peer in PEERS[kind]])
def test_draws(benchmark: Any, kind: str, peer: str) -> None:
    values = differences()
    draw, n_draws = PEERS[kind][peer]
    spread = values.std() if kind == "bootstrap" else np.sqrt((values**2).mean())
    centre = values.mean() if kind == "bootstrap" else 0.0
    error = spread / np.sqrt(len(values))
    many = PEERS[kind]["dllm2rec"][0](values, 10_000)
    assert abs(many.std() / error - 1) < 0.04
    assert abs(many.mean() - centre) < 0.05 * error
    drawn = draw(values, n_draws)
    assert abs(drawn.mean() - centre) < 5 * error / np.sqrt(n_draws)
    benchmark.group = f"paired/{kind}" + ("/many" if n_draws > FEW else "")
    benchmark.extra_info["peer"] = peer.partition(",")[0]
    benchmark.extra_info["rows"] = N_ROWS
    benchmark.pedantic(draw, (values, n_draws), rounds=3, warmup_rounds=0)
