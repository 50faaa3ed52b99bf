"""The kernels of training agree with torch when Triton's interpreter runs them: no GPU is needed.

The checks stand in `tests.support.kernels.interpreted` and run in a process of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.support.kernels.gpu_step import STEPS
from tests.support.kernels.interpreter import InterpreterIsBrokenError, RunCheck, interpreter

pytestmark = [
    pytest.mark.slow,  # the interpreter runs one lane at a time
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="no triton beside torch"),
]

# Without a cosine schedule: the interpreter knows no cosine of float64.
UPDATES: dict[str, dict[str, object]] = {
    "plain": {},
    "decay, clipping and average": {
        "weight_decay": 0.1,
        "max_gradient_norm": 0.5,
        "ema_decay": 0.9,
    },
    "warm-up": {"warmup_steps": 3},
}
each_step = pytest.mark.parametrize(
    ("recipe", "overrides"), STEPS, ids=[" ".join([recipe, *rest]) for recipe, rest in STEPS]
)


@pytest.fixture(scope="module")
def run_check() -> Iterator[RunCheck]:
    try:
        with interpreter() as run:
            yield run
    except InterpreterIsBrokenError:
        pytest.skip("the interpreter of this Triton does not run with this numpy")


@pytest.mark.parametrize("with_offset", [False, True], ids=["no offset", "offset"])
@pytest.mark.parametrize("max_scores", [1 << 28, 700], ids=["at once", "in chunks"])
def test_terms_over_the_catalogue_and_their_gradients(run_check, max_scores, with_offset):
    run_check("check_terms", max_scores=max_scores, with_offset=with_offset)


@pytest.mark.parametrize(
    ("name", "extras", "halves"),
    [
        ("softmax", True, 2),
        ("softmax and all", False, 2),
        ("softmax and all", True, 1),
        ("soft targets", True, 2),
        ("bce", True, 2),
        ("bce", False, 1),
    ],
)
def test_terms_from_tiles(run_check, name, extras, halves):
    run_check("check_tiles", name=name, n_halves=halves, extras=extras)


@pytest.mark.parametrize("name", ["softmax and all", "bce"])
def test_many_scores_are_made_in_tiles(run_check, name):
    run_check("check_exact_in_tiles", name=name)


def test_scales_of_factors(run_check):
    run_check("check_scales")


@pytest.mark.parametrize("once", [False, True])
def test_entries_of_tiles(run_check, once):
    run_check("check_entries", once=once)


def test_tiles_in_several_launches(run_check):
    run_check("check_tiles_in_launches")


def test_a_user_that_is_not_finite_in_tiles(run_check):
    run_check("check_tile_that_is_not_finite")


@pytest.mark.parametrize(("size", "n_heads", "n_sums"), [(16, 1, 202), (32, 4, 202), (16, 1, 35)])
def test_encoder_of_sasrec(run_check, size, n_heads, n_sums):
    run_check("check_encoder", size=size, n_heads=n_heads, n_sums=n_sums)


@pytest.mark.parametrize(("n_items", "width", "size"), [(130, 50, 16), (300, 7, 64)])
def test_item_table_from_the_teacher_s_embeddings(run_check, n_items, width, size):
    run_check("check_table", n_items=n_items, width=width, size=size)


@pytest.mark.parametrize(("n_listed", "width"), [(1, 16), (70, 20)])
def test_scores_of_listed_items(run_check, n_listed, width):
    run_check("check_listed", n_listed=n_listed, width=width)


@pytest.mark.parametrize("moves", ["none", "offset", "masked", "bonuses"])
@pytest.mark.parametrize(("n_users", "n_items", "width"), [(1, 40, 3), (35, 300, 20)])
def test_ranks_counted_on_the_chip(run_check, n_users, n_items, width, moves):
    run_check("check_ranks", n_users=n_users, n_items=n_items, width=width, moves=moves)


@pytest.mark.parametrize("moves", ["none", "offset", "masked", "bonuses"])
@pytest.mark.parametrize(("n", "bound"), [(1, "good"), (10, "good"), (10, "high"), (10, "low")])
def test_lists_made_on_the_chip(run_check, n, moves, bound):
    run_check("check_lists", n=n, moves=moves, bound=bound)


@each_step
def test_a_whole_step(run_check, recipe, overrides):
    run_check("check_step", recipe=recipe, overrides=overrides)


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [("light", []), ("light", ["loss.base=sampled_softmax", "loss.n_negatives=37"])],
    ids=["softmax", "sampled softmax"],
)
def test_a_step_on_rows_with_and_without_a_target(run_check, recipe, overrides):
    run_check("check_step", recipe=recipe, overrides=overrides, histories=True)


@each_step
def test_a_step_whose_kernels_are_collected(run_check, recipe, overrides):
    run_check("check_collecting", recipe=recipe, overrides=overrides)


@pytest.mark.parametrize("change", UPDATES.values(), ids=UPDATES)
def test_update_of_the_weights(run_check, change):
    run_check("check_update", change=change)


@pytest.mark.parametrize(
    ("first", "second"),
    [("gpu", "gpu"), ("cpu", "gpu"), ("gpu", "cpu")],
    ids=["on a gpu", "from cpu to gpu", "from gpu to cpu"],
)
def test_a_training_that_is_resumed(run_check, first, second):
    run_check("check_training", first_on_gpu=first == "gpu", second_on_gpu=second == "gpu")


def test_a_failing_check_is_named_and_the_next_one_runs(run_check):
    with pytest.raises(AssertionError, match="unheard_of"):
        run_check("unheard_of")
    run_check("check_table", n_items=3, width=2, size=16)
