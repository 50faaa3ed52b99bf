"""Teachers that know nothing have the shape of the one they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.rerun.paper.controls import random_teacher, shuffled_teacher
from dllm2rec.teacher.knowledge import check_teacher
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher


def test_a_random_teacher_lists_every_item_alike_and_none_twice() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    assert teacher.ranking is not None
    ranking = teacher.ranking.copy()
    ranking[3, 5:] = N_ITEMS
    teacher = replace(teacher, ranking=ranking)
    found = random_teacher(teacher, N_ITEMS, np.random.default_rng(0))
    check_teacher(found, dataset)
    assert found.ranking is not None
    assert ((found.ranking == N_ITEMS).sum(axis=1) == 0).sum() == len(ranking) - 1
    whole = found.ranking[(found.ranking < N_ITEMS).all(axis=1)]
    assert all(len(set(row)) == len(row) for row in whole.tolist())
    for column in whole.T:
        share = np.bincount(column, minlength=N_ITEMS) / len(column)
        assert share.max() < 2.5 / N_ITEMS
        assert share.min() > 0.2 / N_ITEMS
    hits = (found.ranking == dataset.targets(dataset.train)[:, None]).any(axis=1).mean()
    assert hits == pytest.approx(8 / N_ITEMS, abs=0.05)


def test_a_shuffled_teacher_has_the_same_rows_elsewhere() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    found = shuffled_teacher(teacher, np.random.default_rng(0))
    check_teacher(found, dataset)
    for ours, theirs in (
        (found.ranking, teacher.ranking),
        (found.distance, teacher.distance),
        (found.item_embeddings, teacher.item_embeddings),
    ):
        assert ours is not None
        assert theirs is not None
        assert (ours != theirs).any()
        assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))
    # A list keeps its distances.
    pairs = [
        sorted(zip(map(tuple, t.ranking.tolist()), map(tuple, t.distance.tolist()), strict=True))
        for t in (found, teacher)
        if t.ranking is not None and t.distance is not None
    ]
    assert pairs[0] == pairs[1]
    hits = (found.ranking == dataset.targets(dataset.train)[:, None]).any(axis=1).mean()
    assert hits < 0.3
