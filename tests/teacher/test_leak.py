"""A teacher that was shown the train targets is named; one as good on other rows is not."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dllm2rec.config.load import load_config
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.teacher.leak import leak_notes
from dllm2rec.train.train_run import train_run
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset()
Lists = npt.NDArray[np.uint32]


def lists(split: str, hit: float, seed: int) -> Lists:
    """Eight items per row, with the target among them in this share of the rows."""
    rng = np.random.default_rng(seed)
    targets = DATASET.targets(DATASET.splits()[split]).astype(np.int64)
    steps = rng.permuted(np.tile(np.arange(1, N_ITEMS), (len(targets), 1)), axis=1)[:, :8]
    ranking = (targets[:, None] + steps) % N_ITEMS
    hits = np.arange(len(targets)) < hit * len(targets)
    ranking[hits, 3] = targets[hits]
    return ranking.astype(np.uint32)


def teacher(train: float, held_out: float, split: str = "validation") -> TeacherKnowledge:
    ranking = lists(split, held_out, 1)
    return TeacherKnowledge(
        ranking=lists("train", train, 0),
        ranking_validation=ranking if split == "validation" else None,
        ranking_test=ranking if split == "test" else None,
    )


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_teacher_that_saw_the_train_targets_leaks(split: str) -> None:
    (note,) = leak_notes(teacher(0.9, 0.2, split), DATASET)
    assert note.startswith(
        f"W-TEACHER-LEAK hr@8 is 0.9000 on train rows and 0.2000 on {split} rows (840 and 120"
    )


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        (0.3, 0.3),
        (0.35, 0.2),  # not twice as often
        (0.9, 0.5),  # many errors, not twice as often
        (0.05, 0.02),  # twice as often, too few rows to tell
        (0.0, 0.0),
        (1.0, 1.0),
    ],
)
def test_an_honest_teacher_does_not(train: float, held_out: float) -> None:
    assert leak_notes(teacher(train, held_out), DATASET) == []


def test_nothing_is_said_without_lists_to_compare_with() -> None:
    alone = replace(teacher(0.9, 0.2), ranking_validation=None)
    assert leak_notes(alone, DATASET) == []
    assert leak_notes(replace(alone, ranking=None, item_embeddings=np.ones((40, 2), np.float32)),
                      DATASET) == []  # fmt: skip


def test_rows_without_an_answer_are_not_counted() -> None:
    whole = teacher(0.2, 0.2)
    assert whole.ranking_validation is not None
    few = whole.ranking_validation.copy()
    few[40:] = N_ITEMS  # the hits are the first 24 rows: 24 of 40
    assert leak_notes(replace(whole, ranking_validation=few), DATASET) == []
    assert whole.ranking is not None
    half = whole.ranking.copy()
    half[210:] = N_ITEMS  # 168 hits of 210 answered rows, beside 24 of 120
    (note,) = leak_notes(replace(whole, ranking=half), DATASET)
    assert "hr@8 is 0.8000 on train rows" in note


@pytest.mark.slow
def test_a_run_says_so_before_it_trains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    leaking = teacher(0.9, 0.2)
    save_teacher(tmp_path / "teacher", leaking, DATASET)
    loaded = load_teacher(tmp_path / "teacher", DATASET)
    config = load_config(
        overrides=[
            "train.max_epochs=1", "student.hidden_size=16", "distillation.top_k=6",
            "distillation.ranking_weight=0.3", "train.device=cpu",
        ]
    )  # fmt: skip
    for name, given in {"read": loaded, "made": leaking}.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            result = train_run(
                config, DATASET, given, tmp_path / name, students="gru4rec", progress=False
            )
        assert sum("W-TEACHER-LEAK" in note for note in caplog.messages) == 1
        assert sum("W-TEACHER-LEAK" in note for note in result.notes) == 1
