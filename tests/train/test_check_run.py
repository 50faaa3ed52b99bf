"""Every lack is found before a training, all of them at once, and nothing is left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.config.load import load_config
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError, Dllm2RecError, InputError, ResourceError
from dllm2rec.plan.run import plan_run
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_run import train_run
from tests.support.worlds import asked_histories, cycle_dataset, oracle_teacher
from tests.teacher.test_import_options import place

# Each lack is looked for by several commands.
pytestmark = pytest.mark.slow

DATASET = cycle_dataset()
TEACHER = oracle_teacher(DATASET)
NO_ROWS = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))
EMPTY_PLACES = np.where(np.arange(8) < 3, TEACHER.ranking, DATASET.n_items).astype(np.uint32)
TWO_ITEMS = replace(DATASET, max_length=2)


def config(*overrides: str, recipe: str = "light") -> Any:
    few = ("train.max_epochs=1", "student.hidden_size=16", "distillation.top_k=6")
    return load_config(recipe=recipe, overrides=[*few, "train.device=cpu", *overrides])


# name: what differs from a call that works, class of the error, words of it
CALLS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no target distances": (
        {
            "teacher": replace(TEACHER, target_distance=None),
            "config": config(
                "distillation.position_gamma=0", "distillation.consistency_gamma=0", recipe="paper"
            ),
        },
        InputError,
        "no distances to the true next items",
    ),
    "mixed precision on a CPU": (
        {"config": config("train.precision=mixed")},
        ConfigError,
        "train.precision = mixed on a CPU, expected exact",
    ),
    "short lists": (
        {"config": config("distillation.top_k=9")},
        InputError,
        "E-RANK-COLS: the teacher lists 8 items per row, expected at least .*= 9",
    ),
    "empty places": (
        {
            "teacher": replace(TEACHER, ranking=EMPTY_PLACES),
            "config": config(recipe="authors"),
        },
        InputError,
        "list of train row 0 has places without an item",
    ),
    "histories that the authors' losses cannot read": (
        {
            "teacher": replace(TEACHER, histories=asked_histories()),
            "config": config(recipe="authors"),
        },
        InputError,
        "lists for 60 histories of its own.*hint: train with the recipe paper or strong",
    ),
    "no vectors": (
        {
            "teacher": replace(TEACHER, item_embeddings=None),
            "config": config("distillation.ranking_weight=0"),
        },
        InputError,
        "without item embeddings",
    ),
    "lists of other rows": (
        {"teacher": replace(TEACHER, ranking=TEACHER.ranking[1:], distance=None,
                            target_distance=None)},
        InputError,
        "E-ROWS: teacher ranking: 839 rows, expected 840",
    ),
    "vectors alone, of which nothing is learnt": (
        {
            "teacher": TeacherKnowledge(item_embeddings=TEACHER.item_embeddings),
            "config": config("distillation.embedding_weight=0"),
        },
        InputError,
        "a teacher of vectors alone, expected lists",
    ),
    "vectors of other items": (
        {"teacher": replace(TEACHER, item_embeddings=TEACHER.item_embeddings[1:])},
        InputError,
        "E-SHAPE: teacher item_embeddings: 39 rows, expected 40",
    ),
    "caser's window": (
        {"dataset": TWO_ITEMS, "students": ["sasrec", "caser"]},
        ConfigError,
        r"filter_heights = \[2, 3, 4\], .*none above the window's length 2",
    ),
    "heads of another student": (
        {
            "config": config("student.name=gru4rec", "student.hidden_size=15"),
            "students": ["gru4rec", "sasrec"],
        },
        ConfigError,
        "n_heads = 2 does not divide hidden_size = 15",
    ),
    "vectors on both sides of an untied student": (
        {"config": config("student.tied=false")},
        ConfigError,
        "embedding_sides = \"both\" with student.tied = false",
    ),
    "the authors' student": (
        {"config": config("student.n_blocks=2", recipe="authors")},
        ConfigError,
        "student.n_blocks = 2 with variant = \"authors\"",
    ),
    "no validation rows": (
        {"dataset": replace(DATASET, validation=NO_ROWS)},
        InputError,
        "no validation rows, expected at least one.*hint: prepare",
    ),
    "no test rows": ({"dataset": replace(DATASET, test=NO_ROWS)}, InputError, "no test rows"),
    "k": ({"config": config("evaluation.ks=[41]")}, ConfigError, "evaluation.ks: 41"),
    "top k": ({"config": config("distillation.top_k=41")}, ConfigError, "distillation.top_k: 41"),
    "unknown student": ({"students": ["sasrec", "bert"]}, ConfigError, "students: 'bert'"),
    "no student": ({"students": []}, ConfigError, "no students, expected some of gru4rec"),
    "no seed": ({"options": RunOptions(n_seeds=0)}, ConfigError, "n_seeds = 0"),
    "last seed": (
        {"config": config(f"train.seed={2**63 - 1}"), "options": RunOptions(n_seeds=2)},
        ConfigError,
        "expected the last one below",
    ),
    "no negative": (
        {
            "dataset": cycle_dataset(),
            "config": config("loss.base=sampled_softmax", "loss.exclude=history"),
            "has_users": False,
        },
        InputError,
        "windows without users",
    ),
}  # fmt: skip
if not torch.cuda.is_available():
    CALLS["device"] = (
        {"config": config("train.device=cuda")},
        ConfigError,
        'device cuda: none is present, expected one; use "cpu" or "auto"',
    )


def arguments(changes: dict[str, Any]) -> dict[str, Any]:
    given = {"config": config(), "dataset": DATASET, "teacher": TEACHER, "students": ["sasrec"]}
    if not changes.pop("has_users", True):
        changes["dataset"] = replace(changes["dataset"], has_users=False)
    return given | changes


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_trains_nothing_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    changes, kind, message = CALLS[name]
    given = arguments(dict(changes))
    with pytest.raises(kind, match=message):
        train_run(*split(given), tmp_path / "runs" / "one", **named(given), progress=Trains())
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", CALLS)
def test_a_plan_refuses_the_same(name: str) -> None:
    changes, kind, message = CALLS[name]
    given = arguments(dict(changes))
    options = given.pop("options", RunOptions())
    with pytest.raises(kind, match=message):
        plan_run(*split(given), students=given["students"], n_seeds=options.n_seeds)


def split(given: dict[str, Any]) -> tuple[Any, SequenceDataset, TeacherKnowledge]:
    return given["config"], given["dataset"], given["teacher"]


def named(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in ("students", "options") if name in given}


class Trains(Silent):
    """Fails as soon as a training begins."""

    def start(self, *_: object) -> None:
        pytest.fail("a training began")


def test_all_lacks_are_said_at_once(tmp_path: Path) -> None:
    teacher = replace(TEACHER, distance=None, item_embeddings=None)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    before = listing(tmp_path)
    with pytest.raises(InputError) as caught:
        train_run(
            config("distillation.top_k=9"),
            replace(TWO_ITEMS, validation=NO_ROWS),
            teacher,
            tmp_path / "full",
            students=["caser", "bert"],
        )
    text = str(caught.value)
    assert text.startswith("5 things stand in the way:\n1. ")
    for words in (
        "no validation rows",
        "filter_heights",
        "students: 'bert'",
        "E-RANK-COLS",
        "full: not empty",
    ):
        assert text.count(words) == 1, words
    assert caught.value.exit_code == InputError.exit_code
    assert listing(tmp_path) == before


def test_students_alone_need_nothing_of_a_teacher(tmp_path: Path) -> None:
    result = train_run(config(), DATASET, None, tmp_path / "run", students="gru4rec")
    assert [row.name for row in result.rows][-1] == "gru4rec"


class Refuses(Silent):
    """A tracker that does not take the run."""

    def run(self, settings: object) -> None:
        raise ResourceError("--log: no")


@pytest.mark.parametrize("existed", [False, True])
def test_a_tracker_that_takes_no_run_leaves_no_folder(existed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    if existed:
        folder.mkdir(parents=True)
    before = listing(tmp_path)
    with pytest.raises(ResourceError, match="no"):
        train_run(config(), DATASET, None, folder, students="sasrec", progress=Refuses())
    assert listing(tmp_path) == before
    train_run(config(), DATASET, None, folder, students="sasrec")


@pytest.mark.parametrize("kind", ["missing", "empty", "file"])
def test_resuming_what_is_no_run_leaves_nothing(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    if kind == "empty":
        folder.mkdir()
    elif kind == "file":
        folder.write_text("x")
    before = listing(tmp_path)
    with pytest.raises(ArtifactError, match=r"no run\.json"):
        resume_run(folder, DATASET, TEACHER)
    assert listing(tmp_path) == before


LISTS = {"myrank_train.txt": "2 0 1\n3 4 0\n"}
COMMANDS = {
    "short lists": (["--set", "distillation.top_k=5"], 3, "E-RANK-COLS: the teacher lists 3"),
    "caser's window": (["--student", "sasrec", "--student", "caser"], 2, "window's length 2"),
    "k": (["--set", "evaluation.ks=[6]"], 2, "evaluation.ks: 6, expected at most 5"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_fails_trains_nothing_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, status, message = COMMANDS[name]
    data, teacher = place(tmp_path, LISTS)
    before = listing(tmp_path)
    few = ["--set", "evaluation.ks=[1]", "--set", "train.max_epochs=1"]
    out = ["--out", str(tmp_path / "runs" / "one"), "--device", "cpu"]
    command = ["train", "--dataset", str(data), "--teacher", str(teacher), *out, *few, *words]
    assert main(command) == status
    shown = capsys.readouterr()
    assert message in shown.err
    assert "at most 1 epochs" not in shown.err
    assert listing(tmp_path) == before


def test_the_guard_of_these_tests_works(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="a training began"):
        train_run(
            config(), DATASET, TEACHER, tmp_path / "run", students=["sasrec"], progress=Trains()
        )
    assert listing(tmp_path) != []
    assert issubclass(InputError, Dllm2RecError)
