"""The arithmetic of gains and intervals, against a plain computation."""

from __future__ import annotations

import math

import pytest

from dllm2rec.rerun.paper.gains import interval, mean_gains, paired_gains

T_975_DF_4 = 2.7764451051977987  # of a table


def test_an_interval_is_students_over_seeds() -> None:
    values = [0.5, 0.47, 0.56, 0.52, 0.6]
    mean = sum(values) / 5
    deviation = math.sqrt(sum((one - mean) ** 2 for one in values) / 4)
    found = interval(values)
    assert found is not None
    assert found.mean == pytest.approx(mean)
    assert found.deviation == pytest.approx(deviation)
    assert found.low == pytest.approx(mean - T_975_DF_4 * deviation / math.sqrt(5))
    assert found.high == pytest.approx(mean + T_975_DF_4 * deviation / math.sqrt(5))
    assert found.n_seeds == 5
    assert not found.holds_zero


def test_one_seed_has_no_interval_and_none_has_no_mean() -> None:
    found = interval([0.2])
    assert found is not None
    assert (found.mean, found.low, found.n_seeds) == (0.2, None, 1)
    assert found.holds_zero
    assert interval([]) is None


def test_gains_are_paired_by_seed_and_need_both_sides() -> None:
    ours, theirs = {0: 0.3, 1: 0.2, 2: 0.9, 4: 0.1}, {0: 0.2, 1: 0.4, 3: 0.5, 4: 0.0}
    assert paired_gains(ours, theirs) == pytest.approx({0: 0.5, 1: -0.5})


def test_the_mean_gain_is_of_seeds_that_every_cell_has() -> None:
    cells = [{0: 0.1, 1: 0.3, 2: 0.2}, {0: 0.5, 1: 0.1}]
    assert mean_gains(cells) == pytest.approx([0.3, 0.2])
    assert mean_gains([{0: 0.1}, {}]) == []
    assert mean_gains([]) == []
