"""Small grids, and recipes and trainings that are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from dllm2rec.config.load import load_config
from dllm2rec.rerun.paper import cells, plan
from dllm2rec.rerun.paper.plan import Job, Recipes

Fake = Callable[[Job, float, float], Mapping[str, object]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One student and three pairs of weights: a whole table is some fifty trainings then."""
    monkeypatch.setattr(plan, "RANKING_WEIGHTS", (0.0, 1.0))
    monkeypatch.setattr(plan, "EMBEDDING_WEIGHTS", (0.3,))
    monkeypatch.setattr(plan, "MOST_BEYOND", 0)
    for one in (cells, plan):
        monkeypatch.setattr(one, "STUDENTS", {"sasrec": ("sasrec", 0.0)})


@pytest.fixture
def recipes() -> Recipes:
    """The paper's recipe, `light`, and three seeds."""
    return Recipes(load_config(recipe="paper"), load_config(recipe="light"), 3)


@pytest.fixture
def fake() -> Fake:
    """A line of the log: what a training reached on validation and, of both metrics, on test."""

    def made(job: Job, validation: float, test: float) -> Mapping[str, object]:
        return {
            "key": job.key,
            "validation": {"hr@20": 0.5, "ndcg@20": validation},
            "test": {"hr@20": test, "ndcg@20": test / 2},
        }

    return made
