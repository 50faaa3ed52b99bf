"""Lists alone and vectors alone are teachers, with every recipe; what they lack is said first."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.config.load import load_config
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.distill.teacher_lists import RANK_DISTANCE, teacher_lists
from dllm2rec.plan.run import plan_run
from dllm2rec.runs.run_manifest import read_config, read_run
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_run import train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

DATASET = cycle_dataset()
WHOLE = oracle_teacher(DATASET)
LISTS = TeacherKnowledge(ranking=WHOLE.ranking)
VECTORS = TeacherKnowledge(item_embeddings=WHOLE.item_embeddings)
NO_LISTS = "no lists, so distillation.ranking_weight = 0"
NO_VECTORS = "no item vectors, so distillation.embedding_weight = 0"
BY_RANK = "no distances of its lists, so that they are weighted by rank"
NO_CONFIDENCE = "the paper's confidence weight cannot be computed"
LACKS: dict[tuple[str, str], list[str]] = {
    ("light", "lists"): [NO_VECTORS, BY_RANK],
    ("paper", "lists"): [NO_VECTORS, NO_CONFIDENCE],
    ("authors", "lists"): [NO_VECTORS, BY_RANK],
    ("light", "vectors"): [NO_LISTS],
    ("paper", "vectors"): [NO_LISTS],
    ("authors", "vectors"): [NO_LISTS],
}


def config(recipe: str, *overrides: str) -> Any:
    few = ("train.max_epochs=1", "student.hidden_size=16", "distillation.top_k=6")
    weight = ("distillation.ranking_weight=0.3", "train.device=cpu")
    return load_config(recipe=recipe, overrides=[*few, *weight, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "kind"), LACKS)
def test_a_part_of_a_teacher_trains_with_every_recipe(
    recipe: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    teacher = LISTS if kind == "lists" else VECTORS
    with caplog.at_level(logging.WARNING):
        result = train_run(
            config(recipe), DATASET, teacher, tmp_path / "run", students="sasrec", progress=False
        )
    assert result.rows[-1].name.endswith(" + dllm2rec")
    said = [note for note in caplog.messages if note.startswith("W-TEACHER-LACKS")]
    assert len(said) == len(LACKS[recipe, kind])
    assert set(said) <= set(result.notes)
    used = read_config(tmp_path / "run", read_run(tmp_path / "run")).distillation
    assert (used.ranking_weight > 0, used.embedding_weight > 0) == (
        kind == "lists",
        kind == "vectors",
    )
    assert resume_run(tmp_path / "run", DATASET, teacher, progress=False).rows == result.rows


@pytest.mark.slow
def test_a_plan_of_a_part_of_a_teacher() -> None:
    plan = plan_run(config("light"), DATASET, VECTORS, students="sasrec", watch_s=0.1)
    assert plan.students[-1].ranking_weights == (0.0,)


@pytest.mark.parametrize(("recipe", "kind"), LACKS)
def test_each_lack_is_named(recipe: str, kind: str) -> None:
    teacher = LISTS if kind == "lists" else VECTORS
    _, notes = fit_to_teacher(config(recipe), teacher)
    wanted = LACKS[recipe, kind]
    assert [words in note for note, words in zip(notes, wanted, strict=True)] == [True] * len(
        wanted
    )


@pytest.mark.parametrize("recipe", ["light", "paper", "authors"])
def test_a_whole_teacher_changes_nothing(recipe: str) -> None:
    assert fit_to_teacher(config(recipe), WHOLE) == (config(recipe), [])


def test_lists_without_distances_are_weighted_by_rank() -> None:
    asked = config("light", "distillation.drop_window_items=false").distillation
    lists = teacher_lists(DATASET, LISTS, asked, "probability")
    assert lists is not None
    expected = np.arange(1, 7) ** (-RANK_DISTANCE / asked.confidence_temperature)
    np.testing.assert_allclose(lists.probability[3], expected / expected.sum(), rtol=1e-5)


def test_a_place_without_an_item_keeps_the_rank_of_those_after_it() -> None:
    assert LISTS.ranking is not None
    ranking = LISTS.ranking.copy()
    ranking[0, 1] = DATASET.n_items
    asked = config("light", "distillation.drop_window_items=false").distillation
    lists = teacher_lists(DATASET, replace(LISTS, ranking=ranking), asked, "probability")
    assert lists is not None
    ranks = np.array([1, 3, 4, 5, 6, 7])
    expected = ranks ** (-RANK_DISTANCE / asked.confidence_temperature)
    np.testing.assert_allclose(lists.probability[0], expected / expected.sum(), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["light", "paper"])
def test_rows_without_an_answer_learn_from_their_target_alone(recipe: str, tmp_path: Path) -> None:
    assert LISTS.ranking is not None
    ranking = LISTS.ranking.copy()
    ranking[::2] = DATASET.n_items
    teacher = replace(LISTS, ranking=ranking)
    asked = fit_to_teacher(config(recipe), teacher)[0].distillation
    meaning = "weight" if recipe == "paper" else "probability"
    lists = teacher_lists(DATASET, teacher, asked, meaning)
    assert lists is not None
    assert not lists.values[::2].any()
    assert lists.values[1::2].any()
    train_run(
        config(recipe), DATASET, teacher, tmp_path / "run", students="gru4rec", progress=False
    )
