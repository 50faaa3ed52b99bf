"""A teacher of titles: vectors of an encoder, lists that were not shown their targets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.llm.encode import encode_titles
from dllm2rec.llm.text_teacher import TextTeacherForm, teacher_of_vectors
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.leak import leak_notes
from tests.support.tiny_models import tiny_encoder
from tests.support.worlds import N_ITEMS, cycle_dataset

pytestmark = pytest.mark.slow

FORM = TextTeacherForm("vectors", top=8)


def circle() -> np.ndarray:
    """Vectors whose cycle a linear map can follow."""
    angles = 2 * np.pi * np.outer(np.arange(N_ITEMS), [1, 2, 3, 4]) / N_ITEMS
    vectors = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made(dataset, vectors, **form):
    return teacher_of_vectors(dataset, vectors, replace(FORM, **form), report=lambda *_: None)


def hit_rate(lists, dataset, rows):
    return list_metrics(lists, dataset.targets(rows), 1)["hr@1"]


def test_teacher_learns_what_follows_what():
    dataset = cycle_dataset()
    teacher = made(dataset, circle())
    plain = made(dataset, circle(), fit=False)
    assert hit_rate(teacher.ranking_test, dataset, dataset.test) > 0.5
    assert hit_rate(plain.ranking_test, dataset, dataset.test) < 0.3


def test_distances_rise_along_a_list_and_tell_the_targets():
    dataset = cycle_dataset()
    teacher = made(dataset, circle())
    assert (np.diff(teacher.distance, axis=1) >= -1e-6).all()
    listed = teacher.ranking == dataset.targets(dataset.train)[:, None]
    rows, places = listed.nonzero()
    np.testing.assert_allclose(
        teacher.target_distance[rows], teacher.distance[rows, places], atol=1e-5
    )


def test_train_rows_are_answered_by_what_has_not_seen_their_targets():
    """Where targets are noise, what was shown them would still list them on train rows."""
    dataset = cycle_dataset(n_users=60, shuffled=True)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(N_ITEMS, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    teacher = made(dataset, vectors)
    assert leak_notes(teacher, dataset) == []
    assert hit_rate(teacher.ranking, dataset, dataset.train) < 3 / N_ITEMS


def test_items_of_the_window_and_without_title_are_not_listed():
    dataset = cycle_dataset(noise=0.0)
    vectors = circle()
    vectors[7] = 0
    teacher = made(dataset, vectors)
    windows = dataset.windows(dataset.train)
    assert not (teacher.ranking[:, :, None] == windows.sequences[:, None]).any()
    assert not (teacher.ranking == 7).any()
    assert any("1 of 40 items have no title" in note for note in teacher.notes)


def test_lists_of_more_items_than_there_are_hold_all():
    dataset = cycle_dataset(noise=0.0)
    teacher = made(dataset, circle(), top=1000, fit=False)
    assert teacher.top_n == N_ITEMS
    # The items of the window leave empty places, which are as far as anything.
    empty = teacher.ranking == N_ITEMS
    assert empty.any()
    assert (teacher.distance[empty] == teacher.distance.max()).all()


def test_equal_titles_have_equal_vectors_and_empty_ones_none(tmp_path):
    model = tiny_encoder(tmp_path / "encoder")
    done = []
    vectors = encode_titles(
        ["abc", "", "a longer title", "abc"], model, report=lambda *now: done.append(now)
    )
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors[0], vectors[3])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1], rtol=1e-5)
    assert not np.allclose(vectors[0], vectors[2])
    assert done == [(2, 2)]


def test_a_model_that_is_none_is_told_in_one_line(tmp_path):
    pytest.importorskip("sentence_transformers", reason="the extra llm is not installed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected a folder with a Hugging Face model"):
        encode_titles(["abc"], str(tmp_path / "empty"))


def test_data_without_titles_is_refused():
    from dllm2rec.llm.text_teacher import text_teacher

    dataset = cycle_dataset(n_users=3)
    bare = replace(dataset, catalogue=Catalogue(dataset.catalogue.item_ids))
    with pytest.raises(InputError, match="no titles, expected one per item"):
        text_teacher(bare, FORM)


def write_data(folder, dataset):
    folder.mkdir()
    for name, write in authors_files(dataset).items():
        write(folder / name)


def test_command_writes_a_teacher_that_belongs_to_the_dataset(tmp_path, capsys):
    model = tiny_encoder(tmp_path / "encoder")
    write_data(tmp_path / "data", cycle_dataset())
    words = ["teacher", "embed", "--dataset", str(tmp_path / "data"), "--model", model]
    words += ["--out", str(tmp_path / "teacher"), "--top", "5", "--device", "cpu", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["facts"]["items per row"] == 5
    dataset = load_dataset(tmp_path / "data")
    teacher = load_teacher(tmp_path / "teacher", dataset)
    assert teacher.ranking.shape == (len(dataset.train), 5)
    assert teacher.item_embeddings.shape == (N_ITEMS, 16)
    assert teacher.ranking_validation is not None
    assert any(model in note for note in teacher.notes)
