"""What was chosen is trained again on train and validation rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.runs.checkpoint import REFIT, Checkpoint, load_checkpoint
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_result import RunResult
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.refit import with_validation_rows, without_answers
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_run import train_run
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16, "dropout": 0.1},
    distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
    train={
        "batch_size": 64,
        "learning_rate": 0.01,
        "max_epochs": 3,
        "device": "cpu",
        "refit": True,
        "ema_decay": 0.9,
    },
)
DATASET = cycle_dataset()
TEACHER = oracle_teacher(DATASET)
TAUGHT = "sasrec+dllm2rec"


def train(
    folder: Path,
    config: Config = CONFIG,
    dataset: SequenceDataset = DATASET,
    teacher: TeacherKnowledge | None = TEACHER,
) -> RunResult:
    options = RunOptions(baseline=teacher is None)
    return train_run(
        config, dataset, teacher, folder, students=["sasrec"], options=options, progress=False
    )


def weights(checkpoint: Checkpoint) -> dict[str, bytes]:
    state = checkpoint.student.state_dict()
    return {name: value.numpy().tobytes() for name, value in state.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("refit") / "run"
    return folder, train(folder)


def test_it_is_the_chosen_training_on_more_rows(run: tuple[Path, RunResult], tmp_path: Path):
    folder, result = run
    served = load_checkpoint(folder / TAUGHT)
    epochs = int(served.record[REFIT])
    wide = with_validation_rows(DATASET)
    teacher = without_answers(TEACHER, len(DATASET.validation), N_ITEMS)
    weight = float(served.config.distillation.ranking_weights[0])
    # The schedule is constant here, so that a training of as many epochs ends where it did.
    same = changed(
        served.config,
        train={"refit": False, "max_epochs": epochs, "patience": 99},
        distillation={"ranking_weight": weight},
        student={"pair_memory": False},
    )
    train(tmp_path / "by-hand", same, wide, teacher)
    by_hand = load_checkpoint(tmp_path / "by-hand" / TAUGHT)
    assert int(by_hand.record["epoch"]) == epochs, "its best epoch is to be the last one"
    assert weights(served) == weights(by_hand)
    row = next(row for row in result.rows if row.name.endswith("dllm2rec"))
    assert row.detail[REFIT] == epochs == row.detail["epoch"]


def test_selection_is_that_of_a_run_without_it(run: tuple[Path, RunResult], tmp_path: Path):
    folder, result = run
    plain = train(tmp_path / "plain", changed(CONFIG, train={"refit": False}))
    one, other = (
        next(row for row in table.rows if row.name.endswith("dllm2rec"))
        for table in (result, plain)
    )
    assert one.validation == other.validation
    assert one.detail["ranking_weight"] == other.detail["ranking_weight"]
    assert weights(load_checkpoint(folder / TAUGHT)) != weights(
        load_checkpoint(tmp_path / "plain" / TAUGHT)
    )


def test_the_table_is_of_what_is_served(run: tuple[Path, RunResult]):
    folder, result = run
    table = evaluate_run(folder, dataset=DATASET, device="cpu")
    row = next(row for row in result.rows if row.name.endswith("dllm2rec"))
    again = next(row for row in table.rows if row.name == TAUGHT)
    assert {key: again.metrics[key] for key in row.test} == row.test


def test_validation_rows_that_were_trained_on_are_not_evaluated(run: tuple[Path, RunResult]):
    with pytest.raises(ConfigError, match=r"trained on the validation rows too \(train.refit\)"):
        evaluate_run(run[0], dataset=DATASET, split="validation", device="cpu")


def test_the_pair_memory_counts_validation_rows(tmp_path: Path):
    """A pair that only validation rows hold is remembered; the form is the one that was chosen."""
    config = changed(CONFIG, train={"max_epochs": 1}, distillation={"ranking_weight": 0.0})
    plain = changed(config, train={"refit": False})
    memories = []
    for name, one in (("refit", config), ("plain", plain)):
        train(tmp_path / name, one, teacher=None)
        memories.append(load_checkpoint(tmp_path / name / "sasrec").memory)
    refitted, before = memories
    assert refitted is not None
    assert before is not None
    assert refitted.form == before.form
    assert refitted.values.tobytes() != before.values.tobytes()


def test_no_test_row_is_learnt(run: tuple[Path, RunResult], tmp_path: Path):
    """Other test targets, the same student."""
    events = DATASET.events.copy()
    events[DATASET.test.end] = (events[DATASET.test.end] + 1) % N_ITEMS
    other = replace(DATASET, events=events)
    train(tmp_path / "other", dataset=other)
    assert weights(load_checkpoint(tmp_path / "other" / TAUGHT)) == weights(
        load_checkpoint(run[0] / TAUGHT)
    )


def test_rows_without_an_answer_have_no_list():
    longer = without_answers(TEACHER, 3, N_ITEMS)
    assert longer.ranking is not None
    assert longer.ranking.shape == (len(DATASET.train) + 3, TEACHER.top_n)
    assert (longer.ranking[-3:] == N_ITEMS).all()
    for name in ("distance", "target_distance"):
        before, after = getattr(TEACHER, name), getattr(longer, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert len(after) == len(before) + 3
            assert np.isfinite(after).all()
    vectors = replace(TEACHER, ranking=None, distance=None, target_distance=None)
    if vectors.item_embeddings is not None:
        assert without_answers(vectors, 3, N_ITEMS) is vectors


def test_the_authors_objective_refuses_it():
    with pytest.raises(ConfigError, match=r"train\.refit = true with variant = \"authors\""):
        load_config(recipe="authors", overrides=["train.refit=true"])


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from dllm2rec.train import train_seed
from tests.train import test_refit as here
torch.set_num_threads(1)
real = train_seed.save_checkpoint
def dying(folder, name, checkpoint):
    before = sys.argv[2] == "before"
    if name.startswith("refit") and before:
        os.kill(os.getpid(), signal.SIGKILL)
    real(folder, name, checkpoint)
    if name.startswith("refit"):
        os.kill(os.getpid(), signal.SIGKILL)
train_seed.save_checkpoint = dying
here.train(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_that_was_killed_there_ends_with_the_same_bits(
    run: tuple[Path, RunResult], tmp_path: Path, moment: str
):
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(folder), moment]
    done = subprocess.run(command, env=os.environ, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    resume_run(folder, DATASET, TEACHER, progress=False)
    assert weights(load_checkpoint(folder / TAUGHT)) == weights(load_checkpoint(run[0] / TAUGHT))
    one, other = (json.loads((f / "results.json").read_text()) for f in (folder, run[0]))
    assert [row["test"] for row in one["rows"]] == [row["test"] for row in other["rows"]]
