"""The demo dataset: sound, the same everywhere, one teacher that knows and one that does not."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.demo.settings import DEFAULTS, DemoSettings
from dllm2rec.demo.world import demo_world
from dllm2rec.errors import InputError
from dllm2rec.evaluate.baselines import popularity_counts, teacher_quality
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.demo.random_teacher import random_teacher

SMALL = dataclasses.replace(DEFAULTS, n_users=150, n_items=120)
Demo = tuple[SequenceDataset, TeacherKnowledge]


@pytest.fixture(scope="module")
def demo() -> Demo:
    return demo_world()


def test_sizes_are_those_of_a_laptop(demo):
    dataset, _ = demo
    assert (dataset.n_items, dataset.max_length) == (800, 10)
    assert 10_000 <= len(dataset.train) <= 15_000
    assert 2_000 <= len(dataset.validation) <= 3_000
    assert 2_000 <= len(dataset.test) <= 3_000


def test_every_position_of_every_user_is_a_row_of_one_split(demo):
    dataset, _ = demo
    assert dataset.has_users
    ends = np.concatenate([rows.end for rows in dataset.splits().values()])
    starts = np.concatenate([rows.start for rows in dataset.splits().values()])
    first_events = np.unique(starts)
    assert len(first_events) == DEFAULTS.n_users
    expected = np.setdiff1d(np.arange(dataset.events.size), first_events)
    assert np.sort(ends).tolist() == expected.tolist()
    # A row begins where its user does.
    assert (first_events[np.searchsorted(first_events, ends) - 1] == starts).all()
    assert len(prefix_rows(dataset)) == 0


def test_splits_follow_each_other_in_a_users_time(demo):
    dataset, _ = demo
    order = np.full(dataset.events.size, -1)
    for number, rows in enumerate(dataset.splits().values()):
        order[rows.end] = number
    inside = np.isin(np.arange(dataset.events.size), dataset.train.start, invert=True)
    steps = np.diff(order)[(order[:-1] >= 0) & (order[1:] >= 0) & inside[1:]]
    assert (steps >= 0).all()
    assert (steps > 0).any()


def test_nobody_takes_an_item_twice(demo):
    dataset, _ = demo
    user = np.zeros(dataset.events.size, dtype=np.int64)
    user[np.unique(np.concatenate([rows.start for rows in dataset.splits().values()]))] = 1
    pairs = user.cumsum() * dataset.n_items + dataset.events
    assert np.unique(pairs).size == pairs.size


def test_popularity_is_skewed_and_some_items_are_new(demo):
    dataset, _ = demo
    counts = np.sort(dataset.target_counts())[::-1]
    assert counts[:80].sum() > 0.2 * counts.sum()  # a tenth of the items; 0.1 were no skew
    cold = (dataset.target_counts()[dataset.targets(dataset.test)] == 0).mean()
    assert 0.02 < cold < 0.15
    assert (counts == 0).sum() >= 10


def test_ids_and_titles_are_distinct_and_not_the_index(demo):
    catalogue = demo[0].catalogue
    assert catalogue.titles is not None
    assert len(set(catalogue.item_ids)) == len(set(catalogue.titles)) == catalogue.n_items
    assert all(item_id.startswith("SKU-") for item_id in catalogue.item_ids)
    assert catalogue.index_of(catalogue.item_ids[7]) == 7
    assert catalogue.item_ids != sorted(catalogue.item_ids)


def test_title_words_say_what_the_vectors_say(demo):
    dataset, teacher = demo
    assert dataset.catalogue.titles is not None
    assert teacher.item_embeddings is not None
    themes = np.array([title.split()[1] for title in dataset.catalogue.titles])
    similarity = teacher.item_embeddings @ teacher.item_embeddings.T
    same = (themes[:, None] == themes) & ~np.eye(len(themes), dtype=bool)
    assert similarity[same].mean() > similarity[~same].mean() + 0.3


def test_teacher_is_shaped_for_its_dataset_and_survives_a_round_trip(demo, tmp_path):
    dataset, teacher = demo
    assert teacher.ranking.shape == (len(dataset.train), 20)
    assert teacher.item_embeddings is not None
    assert teacher.item_embeddings.shape == (800, 48)
    save_teacher(tmp_path / "teacher", teacher, dataset)
    loaded = load_teacher(tmp_path / "teacher", dataset)
    np.testing.assert_array_equal(loaded.ranking, teacher.ranking)
    assert not any("W-" in note for note in loaded.notes)


def test_distances_are_those_of_the_listed_items(demo):
    dataset, teacher = demo
    assert teacher.distance is not None
    assert teacher.target_distance is not None
    assert (np.diff(teacher.distance, axis=1) >= 0).all()
    assert all(len(set(row)) == 20 for row in teacher.ranking[:500].tolist())
    targets = dataset.targets(dataset.train)
    rows, places = np.nonzero(teacher.ranking == targets[:, None])
    assert rows.size > 1000
    np.testing.assert_array_equal(teacher.distance[rows, places], teacher.target_distance[rows])
    missed = np.setdiff1d(np.arange(targets.size), rows)
    assert (teacher.target_distance[missed] >= teacher.distance[missed, -1]).all()


def test_teacher_knows_more_than_counting_does(demo):
    dataset, teacher = demo
    quality = teacher_quality(teacher, dataset)["test"]
    counted = fit_window_counts(dataset).rank_counts(dataset.test)
    for metric, of_counts in rank_metrics(counted, [20]).items():
        if metric in ("hr@20", "ndcg@20"):
            assert quality[metric] > 1.5 * of_counts
    popular = rank_metrics(popularity_counts(dataset, dataset.test), [20])
    assert rank_metrics(counted, [20])["ndcg@20"] > 1.1 * popular["ndcg@20"]


def test_random_teacher_knows_nothing(demo, tmp_path):
    dataset, good = demo
    teacher = random_teacher(dataset, seed=1)
    quality = teacher_quality(teacher, dataset)["test"]
    assert quality["hr@20"] == pytest.approx(20 / 800, abs=0.012)  # four standard errors
    assert all(len(set(row)) == 20 for row in teacher.ranking[:500].tolist())
    shares = np.bincount(teacher.ranking.ravel(), minlength=800) / teacher.ranking.size
    assert abs(shares * 800 - 1).max() < 0.4  # every item as often: 291 times, six errors
    for name in ("ranking", "distance", "target_distance", "item_embeddings", "ranking_test"):
        assert getattr(teacher, name).shape == getattr(good, name).shape
        assert getattr(teacher, name).dtype == getattr(good, name).dtype
    save_teacher(tmp_path / "teacher", teacher, dataset)
    notes = load_teacher(tmp_path / "teacher", dataset).notes
    assert any(note.startswith("W-TEACHER-RANDOM") for note in notes)


def test_seed_decides_everything():
    one, teacher = demo_world(3, SMALL)
    again, same = demo_world(3, SMALL)
    other, _ = demo_world(4, SMALL)
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    np.testing.assert_array_equal(teacher.ranking, same.ranking)
    assert teacher.distance is not None
    assert same.distance is not None
    assert teacher.distance.tobytes() == same.distance.tobytes()
    assert random_teacher(one, 0).ranking.tobytes() == random_teacher(one, 0).ranking.tobytes()
    assert random_teacher(one, 0).ranking.tobytes() != random_teacher(one, 1).ranking.tobytes()


def test_dataset_is_the_same_on_every_machine(demo):
    dataset, teacher = demo
    assert dataset.fingerprint()[:16] == "ef94a9cbcf315290"
    weights = np.arange(1, teacher.ranking.size + 1, dtype=np.uint64).reshape(teacher.ranking.shape)
    assert int((teacher.ranking * weights).sum()) == 10833227283518


@cache
def content(settings: DemoSettings) -> tuple[str, bytes, bytes]:
    dataset, teacher = demo_world(0, settings)
    assert teacher.item_embeddings is not None
    return dataset.fingerprint(), teacher.ranking.tobytes(), teacher.item_embeddings.tobytes()


NO_CHANGE = {"n_users", "n_items"}  # the small dataset sets them


@pytest.mark.parametrize(
    "change",
    [
        {"min_events": 4},
        {"mean_more_events": 6.0},
        {"max_events": 8},
        {"max_length": 5},
        {"taste_dims": 7},
        {"style_share": 0.2},
        {"own_share": 0.9},
        {"taste_strength": 2.0},
        {"taste_memory": 0.2},
        {"popularity_skew": 1.5},
        {"late_share": 0.5},
        {"mean_gap": 0.5},
        {"train_share": 0.5},
        {"validation_share": 0.2},
        {"top_n": 5},
        {"teacher_width": 16},
        {"teacher_taste_noise": 3.0},
        {"teacher_item_noise": 3.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_constant_changes_the_dataset(change):
    assert content(dataclasses.replace(SMALL, **change)) != content(SMALL)


def test_every_constant_is_tried():
    parameters = test_every_constant_changes_the_dataset.pytestmark[0].args[1]
    tried = {name for change in parameters for name in change}
    assert tried | NO_CHANGE == {field.name for field in dataclasses.fields(DemoSettings)}


def test_noise_makes_the_teacher_worse():
    def hit_rate(noise: float) -> float:
        settings = dataclasses.replace(SMALL, teacher_taste_noise=noise)
        dataset, teacher = demo_world(0, settings)
        return teacher_quality(teacher, dataset)["test"]["hr@20"]

    assert hit_rate(0.0) > hit_rate(1.5) + 0.05 > hit_rate(20.0) + 0.1


def test_dataset_without_distinct_titles_is_refused():
    with pytest.raises(InputError, match="n_items"):
        demo_world(0, dataclasses.replace(SMALL, n_items=2000))
