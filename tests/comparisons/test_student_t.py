"""Student's t against published quantiles and SciPy."""

from __future__ import annotations

import math

import pytest

from dllm2rec.comparisons.student_t import quantile, upper_tail

# Tables of every textbook: p, degrees of freedom, t.
PUBLISHED = [
    (0.975, 1, 12.7062047362),
    (0.975, 2, 4.3026527297),
    (0.975, 10, 2.2281388520),
    (0.95, 5, 2.0150483733),
    (0.8, 4, 0.9409646),
    (0.975, math.inf, 1.9599639845),
]


@pytest.mark.parametrize(("p", "df", "t"), PUBLISHED)
def test_quantiles_are_the_published_ones(p: float, df: float, t: float) -> None:
    assert quantile(p, df) == pytest.approx(t, rel=1e-7)
    assert upper_tail(t, df) == pytest.approx(1 - p, rel=1e-7)
    assert upper_tail(-t, df) == pytest.approx(p, rel=1e-7)


def test_tails_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for df in (1, 1.5, 2.25, 7, 40, 1e3, 1e6):
        for t in (0.0, 1e-9, 0.3, 1.96, 8.0, 40.0):
            assert upper_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-9, abs=1e-300)
        assert quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)
