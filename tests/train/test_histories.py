"""Students learn from lists of histories that are no train rows, alone or beside such of rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.errors import ArtifactError
from dllm2rec.plan.run import plan_run
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_run import train_run
from tests.support.worlds import N_ITEMS, asked_histories, cycle_dataset, oracle_teacher

DATASET = cycle_dataset()
ALONE = TeacherKnowledge(histories=asked_histories(distances=False))
BOTH = replace(oracle_teacher(DATASET), histories=asked_histories())


def config(recipe: str, *overrides: str) -> Any:
    few = ("train.max_epochs=1", "student.hidden_size=16", "distillation.top_k=6")
    weight = ("distillation.ranking_weight=0.3", "train.device=cpu")
    return load_config(recipe=recipe, overrides=[*few, *weight, *overrides])


def every_walk() -> TeacherKnowledge:
    """What follows each walk of one to five items along the cycle."""
    length, first = (part.ravel() for part in np.mgrid[1:6, 0:N_ITEMS])
    items = [first[at] + np.arange(length[at]) for at in range(len(first))]
    following = (first + length)[:, None] + np.arange(3)
    return TeacherKnowledge(
        histories=AskedHistories(
            offsets=np.append(0, length.cumsum()),
            items=(np.concatenate(items) % N_ITEMS).astype(np.int32),
            rankings=(following % N_ITEMS).astype(np.int32),
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("base", ["softmax", "sampled_softmax"])
def test_what_no_target_shows_is_learnt_from_the_lists_alone(base: str) -> None:
    """Train rows walk the cycle at random; only the histories know how it goes on."""
    world = cycle_dataset(20, shuffled=True)
    walkers = cycle_dataset(noise=0.0)
    events = np.concatenate([world.events, walkers.events])
    shifted = replace(
        walkers.validation,
        start=walkers.validation.start + world.events.size,
        end=walkers.validation.end + world.events.size,
    )
    world = replace(world, events=events, validation=shifted)
    settings = changed(
        config("light", "train.learning_rate=0.01", "train.max_epochs=25"),
        loss={"base": base, "n_negatives": 20},
        distillation={"embedding_weight": 0.0, "ranking_weight": 0.5, "top_k": 3},
        train={"batch_size": 64, "patience": 25},
    )
    reached = []
    for weight in (0.5, 0.0):
        torch.manual_seed(0)
        one = changed(settings, distillation={"ranking_weight": weight})
        data = make_training_data(settings, world, every_walk(), torch.device("cpu"))
        student = make_student(one, world, every_walk())
        training = Training(student, data.for_ranking_weight(weight), one)
        reached.append(max(record["ndcg@20"] for record in fit(training, Silent())))
    assert reached[0] > 0.6
    assert reached[1] < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["light", "paper"])
@pytest.mark.parametrize("teacher", [ALONE, BOTH], ids=["alone", "beside train rows"])
def test_histories_train_with_a_recipe_and_a_run_of_them_resumes(
    recipe: str, teacher: TeacherKnowledge, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    result = train_run(config(recipe), DATASET, teacher, run, students="sasrec", progress=False)
    assert result.n_train == len(DATASET.train)
    assert result.rows[-1].name.endswith(" + dllm2rec")
    assert resume_run(run, DATASET, teacher, progress=False).rows == result.rows
    assert teacher.histories is not None
    items = teacher.histories.items.copy()
    items[0] = (items[0] + 1) % N_ITEMS
    other = replace(teacher, histories=replace(teacher.histories, items=items))
    with pytest.raises(ArtifactError, match="teacher"):
        resume_run(run, DATASET, other, progress=False)


@pytest.mark.slow
def test_a_plan_counts_the_histories() -> None:
    asked = config("light", "train.batch_size=420")
    plan = plan_run(asked, DATASET, ALONE, students="sasrec", watch_s=0.1)
    assert plan.n_train == 840
    assert [student.steps_per_epoch for student in plan.students] == [2, 3]


NO_VECTORS = "no item vectors, so distillation.embedding_weight = 0"
BY_RANK = "no distances of its lists, so that they are weighted by rank"
LACKS: dict[str, tuple[TeacherKnowledge, str, list[str]]] = {
    "alone, light": (ALONE, "light", [NO_VECTORS, BY_RANK]),
    "alone, paper": (ALONE, "paper", [NO_VECTORS, "the paper's confidence weight cannot be"]),
    "both, light": (BOTH, "light", []),
    "both, paper": (BOTH, "paper", []),
    "lists of one kind without distances": (
        replace(BOTH, histories=ALONE.histories),
        "light",
        [BY_RANK],
    ),
}


@pytest.mark.parametrize(("teacher", "recipe", "lacks"), LACKS.values(), ids=LACKS)
def test_each_lack_is_named(teacher: TeacherKnowledge, recipe: str, lacks: list[str]) -> None:
    fitted, notes = fit_to_teacher(config(recipe), teacher)
    assert [text in note for text, note in zip(lacks, notes, strict=True)] == [True] * len(lacks)
    assert fitted.distillation.ranking_weight == 0.3
