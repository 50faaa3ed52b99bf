"""Lists of a few users by the codes of many items: those of the exact pass, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from dllm2rec import _core
from dllm2rec.errors import InputError, NonFiniteError
from dllm2rec.serve import encoder
from tests.server.made_up import made_up_recommender


def moved(rng, n_users, n_items, shift):
    offsets = np.arange(n_users + 1, dtype=np.int64) * 30
    listed = rng.integers(0, n_items, n_users * 30).astype(np.uint32)
    rows = [np.sort(rng.choice(n_items, 40, replace=False)) for _ in range(n_users)]
    values = rng.standard_normal(n_users * 40).astype(np.float32)
    bonuses = np.arange(n_users + 1, dtype=np.int64) * 40, np.concatenate(rows), values
    return (offsets, listed, shift), (bonuses[0], bonuses[1].astype(np.uint32), bonuses[2])


@pytest.mark.parametrize("kind", ["normal", "skewed", "equal", "sparse"])
@pytest.mark.parametrize("shift", [-np.inf, -1.0])
def test_lists_are_those_of_the_exact_pass(kind, shift):
    rng = np.random.default_rng(5)
    for n_items, width in [(20_000, 64), (9_999, 33), (70_001, 16)]:
        items = rng.standard_normal((n_items, width)).astype(np.float32)
        if kind == "skewed":  # popular items are long, a few numbers are most of a vector
            items *= rng.lognormal(0, 2, (n_items, 1)) * rng.lognormal(0, 1, (1, width))
        if kind == "equal":
            items[:] = items[rng.integers(0, 7, n_items)]
        if kind == "sparse":
            items *= rng.random(items.shape) < 0.1
        items = items.astype(np.float32)
        codes = _core.code_items(items)
        users = rng.standard_normal((3, width)).astype(np.float32)
        for k in (1, 20, 500):
            window, bonuses = moved(rng, 3, n_items, shift)
            mine = _core.coded_top_n(users, items, codes, k, None, window, bonuses)
            exact = _core.fused_top_n(users, items, k, None, window, bonuses)
            np.testing.assert_array_equal(mine[0], exact[0])
            np.testing.assert_array_equal(mine[1], exact[1])


def test_what_does_not_fit_is_refused():
    items = np.ones((40, 3), np.float32)
    codes = _core.code_items(items)
    assert codes[0].shape == (3, 64)  # sixteen items a panel
    users = np.ones((1, 3), np.float32)
    with pytest.raises(InputError, match="codes"):
        _core.coded_top_n(users, items[:10], codes, 3)
    with pytest.raises(InputError, match="slacks"):
        _core.coded_top_n(users, items, (codes[0], codes[1], codes[2][1:]), 3)
    items[7, 1] = np.nan
    with pytest.raises(NonFiniteError, match="items row 7 column 1"):
        _core.code_items(items)


def test_a_recommender_answers_few_histories_by_codes_and_many_without(monkeypatch):
    model = made_up_recommender(encoder.MANY_ITEMS, width=16)
    histories = [[f"item-{7 * n + place}" for place in range(n % 9 + 1)] for n in range(40)]
    many = model.recommend(histories, 12)
    similar = model.similar_items([f"item-{n}" for n in range(40)], 5)
    used = []
    coded = _core.coded_top_n
    monkeypatch.setattr(_core, "coded_top_n", lambda *given: used.append(given) or coded(*given))
    for number, history in enumerate(histories):
        np.testing.assert_array_equal(model.recommend([history], 12).items[0], many.items[number])
        near = model.similar_items([f"item-{number}"], 5)
        np.testing.assert_array_equal(near.items[0], similar.items[number])
    assert len(used) == 80
    model.recommend(histories, 12)
    assert len(used) == 80
