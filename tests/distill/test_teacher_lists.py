"""The teacher's lists as the losses take them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.config.model import DistillationConfig
from dllm2rec.distill.teacher_lists import teacher_lists
from dllm2rec.errors import InputError
from tests.support.worlds import cycle_dataset, oracle_teacher, random_teacher

IMPORTANCE = DistillationConfig(
    ranking_weight=0.5,
    ranking_form="importance",
    top_k=5,
    drop_window_items=False,
    confidence_temperature=0.2,
)
SOFT = DistillationConfig(ranking_weight=0.5, ranking_form="soft_targets", top_k=5)


def test_no_lists_without_a_ranking_weight() -> None:
    dataset = cycle_dataset()
    config = DistillationConfig(ranking_weight=0.0)
    assert teacher_lists(dataset, oracle_teacher(dataset), config, "weight") is None


def test_importance_weight_is_the_papers_formula() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    lists = teacher_lists(dataset, teacher, IMPORTANCE, "weight")
    assert lists is not None
    assert teacher.target_distance is not None
    rank = np.arange(1, 6)
    position = np.exp(-rank / 1.0)
    sure = np.exp(-teacher.target_distance.astype(np.float64) / 0.2)
    expected = 0.3 * position / position.sum() + 0.5 * (sure / sure.mean() / 5)[:, None]
    np.testing.assert_allclose(lists.weight.numpy(), expected, rtol=1e-5)
    np.testing.assert_array_equal(lists.items.numpy(), teacher.ranking[:, :5])


def test_window_items_are_dropped_and_later_ones_move_up() -> None:
    dataset = cycle_dataset()
    teacher = random_teacher(dataset)
    lists = teacher_lists(dataset, teacher, SOFT, "probability")
    assert lists is not None
    assert teacher.distance is not None
    sequences = dataset.windows(dataset.train).sequences
    for row in range(len(dataset.train)):
        keep = [n for n, item in enumerate(teacher.ranking[row]) if item not in sequences[row]][:5]
        kept = lists.kept[row].numpy().astype(bool)
        assert lists.items[row].numpy()[kept].tolist() == teacher.ranking[row][keep].tolist()
        share = np.exp(-teacher.distance[row][keep].astype(np.float64) / 0.05)
        np.testing.assert_allclose(
            lists.probability[row].numpy()[kept], share / share.sum(), rtol=2e-5, atol=1e-7
        )
        assert lists.probability[row].numpy()[~kept].tolist() == [0.0] * int((~kept).sum())


def test_a_list_that_only_repeats_the_window_weighs_nothing() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    ranking = teacher.ranking.copy()
    ranking[0, :] = dataset.windows(dataset.train).sequences[0, 0]
    lists = teacher_lists(dataset, replace(teacher, ranking=ranking), SOFT, "probability")
    assert lists is not None
    assert lists.probability[0].sum() == 0
    assert lists.probability[1].sum().item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "config", "message"),
    [
        ({"ranking": None, "distance": None, "target_distance": None}, SOFT, "expected lists"),
        ({"target_distance": None}, IMPORTANCE, "target_distance_train.txt"),
        ({}, SOFT.model_copy(update={"top_k": 9}), "top_k = 8"),
    ],
)
def test_what_the_teacher_lacks_is_named(
    change: dict[str, None], config: DistillationConfig, message: str
) -> None:
    dataset = cycle_dataset()
    teacher = replace(oracle_teacher(dataset), **change)
    with pytest.raises(InputError, match=message):
        teacher_lists(dataset, teacher, config, "weight" if config is IMPORTANCE else "probability")


def test_the_number_of_a_place_is_read_by_its_name_alone() -> None:
    dataset = cycle_dataset()
    lists = teacher_lists(dataset, oracle_teacher(dataset), SOFT, "probability")
    assert lists is not None
    assert lists.probability is lists.values
    with pytest.raises(TypeError, match="a probability of each place, asked for a weight"):
        _ = lists.weight


def test_lists_need_a_teacher() -> None:
    with pytest.raises(InputError, match="without a teacher"):
        teacher_lists(cycle_dataset(), None, SOFT, "probability")


def test_a_place_without_an_item_weighs_nothing() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    ranking = teacher.ranking.copy()
    ranking[0, 2] = dataset.n_items  # what the parser writes for a duplicate it dropped
    lists = teacher_lists(dataset, replace(teacher, ranking=ranking), IMPORTANCE, "weight")
    assert lists is not None
    assert lists.items[0].tolist() == [*ranking[0, [0, 1, 3, 4, 5]].tolist()]
    assert lists.kept[0].tolist() == [1.0] * 5


def test_the_authors_variant_refuses_a_list_with_an_empty_place() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    ranking = teacher.ranking.copy()
    ranking[3, 4:] = dataset.n_items
    with pytest.raises(InputError, match="train row 3"):
        teacher_lists(dataset, replace(teacher, ranking=ranking), IMPORTANCE, "authors' weight")


def test_the_authors_static_weight_is_that_of_each_item_s_distance() -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    lists = teacher_lists(dataset, teacher, IMPORTANCE, "authors' weight")
    assert lists is not None
    assert teacher.distance is not None
    position = np.exp(-np.arange(1, 6))
    close = np.exp(-teacher.distance[:, :5].astype(np.float64)) + 1e-8
    expected = 0.3 * position / position.sum() + 0.5 * close / close.sum(1, keepdims=True)
    np.testing.assert_allclose(lists.weight.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("config", [IMPORTANCE, SOFT], ids=["importance", "soft targets"])
@pytest.mark.parametrize("with_distances", [True, False])
def test_lists_that_may_be_short_have_empty_places_behind_them(config, with_distances) -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset, top_n=3)
    if not with_distances:
        teacher = replace(teacher, distance=None)
    meaning = "weight" if config is IMPORTANCE else "probability"
    with pytest.raises(InputError, match="E-RANK-COLS"):
        teacher_lists(dataset, teacher, config, meaning)
    lists = teacher_lists(dataset, replace(teacher, short_lists=True), config, meaning)
    asked = teacher_lists(dataset, teacher, config.model_copy(update={"top_k": 3}), meaning)
    assert lists is not None
    assert asked is not None
    assert lists.items.shape == (len(dataset.train), 5)
    assert not lists.kept[:, 3:].any()
    assert not lists.values[:, 3:].any()
    np.testing.assert_array_equal(lists.items[:, :3], asked.items)
    np.testing.assert_array_equal(lists.kept[:, :3], asked.kept)
    if config is SOFT:
        np.testing.assert_array_equal(lists.values[:, :3], asked.values)


def test_the_authors_losses_refuse_lists_that_may_be_short() -> None:
    dataset = cycle_dataset()
    teacher = replace(oracle_teacher(dataset, top_n=3), short_lists=True)
    with pytest.raises(InputError, match="list of train row 0 has places without an item"):
        teacher_lists(dataset, teacher, IMPORTANCE, "authors' weight")
