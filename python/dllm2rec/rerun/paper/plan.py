"""Which trainings a cell needs next: weights from validation with the first seed, then all seeds.

What is to be trained is a function of what has been: a table that was interrupted anywhere goes on
as if it had not been.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from dllm2rec.config.load import changed
from dllm2rec.config.methods import METHODS, with_method
from dllm2rec.config.model import Config
from dllm2rec.rerun.paper.cells import (
    ALONE,
    DEFAULT,
    DEFAULT_ALONE,
    DISTILLED,
    LIST_METHODS,
    STUDENTS,
    UNTRAINED,
    VECTOR_METHODS,
    Cell,
)
from dllm2rec.tracking.metric_names import SELECTION

# The paper tunes both over 0.1 .. 1. Where the largest of a grid is the best, larger ones follow
# for as long as each is better; a table marks what was chosen at the end of that.
RANKING_WEIGHTS = (0.0, 0.2, 0.6, 1.4, 3.0, 6.0)
EMBEDDING_WEIGHTS = (0.1, 0.3, 1.0, 3.0)
BEYOND = {"ranking": 2.0, "embedding": 3.0}  # each is so many times the one before
MOST_BEYOND = 3
FIRST_EMBEDDING_WEIGHT = 0.3  # beside which the ranking weight is chosen, the recipe's

Record = Mapping[str, Any]


class Weights(NamedTuple):
    """Of the terms that learn from the teacher."""

    ranking: float
    embedding: float

    @property
    def is_at_edge(self) -> bool:
        """Whether one is the largest that is tried at all, so that a larger one may do better."""
        return (
            self.ranking >= RANKING_WEIGHTS[-1] * BEYOND["ranking"] ** MOST_BEYOND
            or self.embedding >= EMBEDDING_WEIGHTS[-1] * BEYOND["embedding"] ** MOST_BEYOND
        )


NO_TEACHER = Weights(0.0, 0.0)


@dataclass(frozen=True)
class Job:
    """One training, or what needs none of a dataset.

    Attributes:
        dataset: its name.
        teacher: "own", "random" or "shuffled"; None without.
        student: as the table calls it.
        method: as the table calls it.
        config: with one seed; that of the default recipe has grids.
        key: the same for the same training, whichever cell asks for it.
    """

    dataset: str
    teacher: str | None
    student: str
    method: str
    config: Config
    key: str


@dataclass(frozen=True)
class Recipes:
    """The settings of the paper's students and of the default, and how many seeds there are."""

    paper: Config
    default: Config
    n_seeds: int

    @property
    def seeds(self) -> range:
        """`train.seed` and those after it."""
        first = self.paper.train.seed
        return range(first, first + self.n_seeds)


@dataclass(frozen=True)
class Plan:
    """What is known of a cell.

    Attributes:
        weights: those that validation chose; None before that is known, or where there are none.
        jobs: of every seed where the weights are known, in the order of seeds; done ones as well.
        ready: what can be trained now.
        n_later: how many trainings come after those, at most.
    """

    weights: Weights | None
    jobs: tuple[Job, ...]
    ready: tuple[Job, ...]
    n_later: int = 0


def plan(cell: Cell, recipes: Recipes, done: Mapping[str, Record]) -> Plan:
    """What a cell needs, given the trainings that are done, by their keys."""
    if cell.part == "default":
        seeds = recipes.seeds[:1] if cell.method == UNTRAINED else recipes.seeds
        jobs = tuple(_default_job(recipes.default, cell, seed) for seed in seeds)
        return Plan(None, jobs, _missing(jobs, done))
    asked = cell._replace(method=DISTILLED, part="students") if cell.part == "ablations" else cell
    tried: list[tuple[Weights, Job]] = []
    n_rounds = 2 if _takes_both(asked.method) else 1
    for number in range(n_rounds):
        grid = _grid(asked.method, None if number == 0 else _best(tried, done))
        if number == 0 and len(grid) == 1:
            return _of_seeds(cell, grid[0], recipes, done)
        varied = "ranking" if number == 0 and asked.method not in VECTOR_METHODS else "embedding"
        for n_beyond in range(MOST_BEYOND + 1):
            of_grid = [_job(recipes.paper, asked, weights, recipes.seeds[0]) for weights in grid]
            tried += zip(grid, of_grid, strict=True)
            ready = _missing([job for _, job in tried], done)
            if ready:
                n_later = (n_rounds - 1 - number) * (len(EMBEDDING_WEIGHTS) + MOST_BEYOND)
                n_later += MOST_BEYOND - n_beyond + recipes.n_seeds - 1
                return Plan(None, (), ready, n_later)
            grid = _beyond(varied, tried, done)
            if not grid:
                break
    return _of_seeds(cell, _best(tried, done), recipes, done)


def _of_seeds(cell: Cell, weights: Weights, recipes: Recipes, done: Mapping[str, Record]) -> Plan:
    jobs = tuple(_job(recipes.paper, cell, weights, seed) for seed in recipes.seeds)
    return Plan(weights, jobs, _missing(jobs, done))


def _missing(jobs: Sequence[Job], done: Mapping[str, Record]) -> tuple[Job, ...]:
    return tuple(job for job in dict.fromkeys(jobs) if job.key not in done)


def _takes_both(method: str) -> bool:
    return method not in (ALONE, *LIST_METHODS, *VECTOR_METHODS)


def _grid(method: str, best: Weights | None) -> list[Weights]:
    """The weights to try: first of the lists, then, beside the best, of the vectors.

    No weight at all is among them: a teacher may have nothing to give.
    """
    if method == ALONE:
        return [NO_TEACHER]
    if method in LIST_METHODS:
        return [Weights(ranking, 0.0) for ranking in RANKING_WEIGHTS]
    if method in VECTOR_METHODS:
        return [NO_TEACHER, *(Weights(0.0, embedding) for embedding in EMBEDDING_WEIGHTS)]
    if best is None:
        firsts = [Weights(ranking, FIRST_EMBEDDING_WEIGHT) for ranking in RANKING_WEIGHTS]
        return [NO_TEACHER, *firsts]
    if best == NO_TEACHER:
        return []
    return [Weights(best.ranking, embedding) for embedding in EMBEDDING_WEIGHTS]


def _beyond(
    varied: str, tried: Sequence[tuple[Weights, Job]], done: Mapping[str, Record]
) -> list[Weights]:
    """The next larger weight, if the largest that was tried is the best."""
    best = _best(tried, done)
    weight = getattr(best, varied)
    if weight == 0 or weight < max(getattr(weights, varied) for weights, _ in tried):
        return []
    larger = {**best._asdict(), varied: weight * BEYOND[varied]}
    return [Weights(**larger)]


def _best(tried: Sequence[tuple[Weights, Job]], done: Mapping[str, Record]) -> Weights:
    """What reached most on validation; of equals the first. A training that failed reached none."""

    def reached(one: tuple[Weights, Job]) -> float:
        return float(done[one[1].key].get("validation", {}).get(SELECTION, -1.0))

    return max(tried, key=reached)[0]


@cache  # each is asked for again after every training
def _job(paper: Config, cell: Cell, weights: Weights, seed: int) -> Job:
    """A training of the paper's recipe; without any weight it is one without a teacher."""
    name, dro_weight = STUDENTS[cell.student]
    config = changed(
        paper,
        student={"name": name, "tied": True},
        loss={"dro_weight": dro_weight},
        distillation={
            "embedding_sides": "both",
            "ranking_weight": weights.ranking,
            "embedding_weight": weights.embedding,
        },
        train={"seed": seed},
    )
    taught = with_method(config, cell.method) if cell.method in METHODS else config
    distillation = taught.distillation
    if distillation.ranking_weight == distillation.embedding_weight == 0:
        weightless = {"ranking_weight": 0.0, "embedding_weight": 0.0}
        alone = changed(config, distillation=weightless)
        return _keyed(cell.dataset, None, cell.student, ALONE, alone)
    return _keyed(cell.dataset, cell.teacher, cell.student, cell.method, taught)


@cache
def _default_job(default: Config, cell: Cell, seed: int) -> Job:
    if cell.method == UNTRAINED:
        return _keyed(cell.dataset, "own", "", UNTRAINED, default)
    config = changed(default, train={"seed": seed})
    if cell.method == DEFAULT:
        return _keyed(cell.dataset, "own", cell.student, DEFAULT, config)
    weightless = {"ranking_weight": 0.0, "embedding_weight": 0.0}
    alone = changed(config, distillation=weightless)
    return _keyed(cell.dataset, None, cell.student, DEFAULT_ALONE, alone)


def _keyed(dataset: str, teacher: str | None, student: str, method: str, config: Config) -> Job:
    """A job with its key; where it was trained is no part of it, nor is what a table calls it."""
    settings = config.model_dump(mode="json")
    del settings["train"]["device"]
    kind = method if method in (UNTRAINED, DEFAULT, DEFAULT_ALONE) else "paper"
    text = json.dumps([kind, dataset, teacher, settings], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    return Job(dataset, teacher, student, method, config, key)
