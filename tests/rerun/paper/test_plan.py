"""What a cell trains next: a grid with the first seed, then the chosen weights with all seeds."""

from __future__ import annotations

import pytest

from dllm2rec.rerun.paper.cells import PARTS, Cell, all_cells
from dllm2rec.rerun.paper.plan import (
    EMBEDDING_WEIGHTS,
    NO_TEACHER,
    RANKING_WEIGHTS,
    Recipes,
    Record,
    Weights,
    plan,
)
from tests.rerun.paper.conftest import Fake

DISTILLED = Cell("students", "games", "dros", "dllm2rec")


def trained(
    cell: Cell, recipes: Recipes, fake: Fake, best: Weights
) -> tuple[dict[str, Record], list[int]]:
    """Train a cell to its end, and how many each round had; validation likes `best` most."""
    done: dict[str, Record] = {}
    rounds = []
    while ready := plan(cell, recipes, done).ready:
        rounds.append(len(ready))
        for job in ready:
            found = job.config.distillation
            far = abs(found.ranking_weight - best.ranking)
            far += 1e-3 * abs(found.embedding_weight - best.embedding)
            done[job.key] = fake(job, 0.9 - 0.01 * far, 0.2)
    return done, rounds


def test_weights_are_chosen_one_after_the_other_and_then_trained_with_all_seeds(
    recipes: Recipes, fake: Fake
) -> None:
    n = len(RANKING_WEIGHTS)
    done, rounds = trained(DISTILLED, recipes, fake, Weights(1.4, 0.3))
    # The grid of lists and no teacher; that of vectors, of which 0.3 is known; the other seeds.
    assert rounds == [n + 1, len(EMBEDDING_WEIGHTS) - 1, recipes.n_seeds - 1]
    found = plan(DISTILLED, recipes, done)
    assert found.weights == (1.4, 0.3)
    assert [job.config.train.seed for job in found.jobs] == [0, 1, 2]
    assert {job.config.loss.dro_weight for job in found.jobs} == {1.0}
    assert not found.weights.is_at_edge


def test_a_grid_goes_on_for_as_long_as_its_largest_weight_is_the_best(
    recipes: Recipes, fake: Fake
) -> None:
    done, rounds = trained(DISTILLED, recipes, fake, Weights(12.0, 9.0))
    # 12 is better than 6, 24 is not; 9 is better than 3, 27 is not.
    n, m = len(RANKING_WEIGHTS), len(EMBEDDING_WEIGHTS)
    assert rounds == [n + 1, 1, 1, m - 1, 1, 1, recipes.n_seeds - 1]
    found = plan(DISTILLED, recipes, done)
    assert found.weights == (12.0, 9.0)
    assert not found.weights.is_at_edge
    done, _ = trained(Cell("baselines", "games", "sasrec", "hint"), recipes, fake, Weights(0, 27.0))
    hint = plan(Cell("baselines", "games", "sasrec", "hint"), recipes, done)
    assert hint.weights == (0.0, 27.0)


@pytest.mark.parametrize("best", [Weights(48.0, 0.3), Weights(0.2, 81.0)])
def test_a_weight_at_the_end_of_all_that_is_tried_is_marked(
    recipes: Recipes, fake: Fake, best: Weights
) -> None:
    done, _ = trained(DISTILLED, recipes, fake, best)
    found = plan(DISTILLED, recipes, done).weights
    assert found == best
    assert found.is_at_edge


def test_no_teacher_may_be_the_best_and_is_the_student_alone(recipes: Recipes, fake: Fake) -> None:
    done, _ = trained(DISTILLED, recipes, fake, NO_TEACHER)
    found = plan(DISTILLED, recipes, done)
    alone = plan(DISTILLED._replace(method="alone"), recipes, done)
    assert found.weights == NO_TEACHER
    assert [job.key for job in found.jobs] == [job.key for job in alone.jobs]
    assert alone.ready == ()
    assert {job.teacher for job in found.jobs} == {None}


def test_a_training_that_diverged_is_never_the_best(recipes: Recipes, fake: Fake) -> None:
    jobs = plan(DISTILLED, recipes, {}).ready
    done: dict[str, Record] = {job.key: {"failed": "inf"} for job in jobs[:-1]}
    done[jobs[-1].key] = fake(jobs[-1], 0.0, 0.2)
    more = plan(DISTILLED, recipes, done).ready  # the next behind the only one that did not
    assert {job.config.distillation.ranking_weight for job in more} == {2 * RANKING_WEIGHTS[-1]}


def test_an_ablation_keeps_the_weights_of_the_whole(recipes: Recipes, fake: Fake) -> None:
    done, _ = trained(DISTILLED, recipes, fake, Weights(0.6, 1.0))
    cell = Cell("ablations", "games", "dros", "without-confidence")
    found = plan(cell, recipes, done)
    assert found.weights == (0.6, 1.0)
    assert {job.config.distillation.confidence_gamma for job in found.jobs} == {0.0}
    assert {job.config.distillation.ranking_weight for job in found.jobs} == {0.6}
    assert len(found.ready) == recipes.n_seeds
    assert plan(cell, recipes, {}).ready == plan(DISTILLED, recipes, {}).ready


@pytest.mark.parametrize(
    ("method", "n", "kind"),
    [("rd", len(RANKING_WEIGHTS), "rd"), ("hint", len(EMBEDDING_WEIGHTS) + 1, "dllm2rec")],
)
def test_a_baseline_has_a_grid_of_its_own_weight(
    recipes: Recipes, method: str, n: int, kind: str
) -> None:
    ready = plan(Cell("baselines", "games", "sasrec", method), recipes, {}).ready
    assert len(ready) == n
    assert {job.teacher for job in ready} == {None, "own"}
    assert {job.config.distillation.ranking_method for job in ready if job.teacher} == {kind}


def test_controls_learn_from_their_own_teacher_as_the_method_does(recipes: Recipes) -> None:
    own = plan(DISTILLED, recipes, {}).ready
    for method, kind in (("random teacher", "random"), ("shuffled teacher", "shuffled")):
        ready = plan(Cell("controls", "games", "dros", method), recipes, {}).ready
        assert [job.config for job in ready] == [job.config for job in own]
        assert [job.teacher for job in ready[1:]] == [kind] * (len(own) - 1)
        assert {job.key for job in ready} & {job.key for job in own} == {own[0].key}  # no teacher


def test_a_part_brings_what_it_is_compared_with() -> None:
    cells = all_cells(["games"], ["controls"], "sasrec")
    methods = {cell.method for cell in cells}
    assert methods == {"alone", "random teacher", "shuffled teacher"}
    assert len(all_cells(["a", "b"], PARTS, "sasrec")) == 2 * (3 * (2 + 6 + 7 + 2) + 3)
    assert all_cells(["games"], ["ablations"], "sasrec")[0].part == "students"
