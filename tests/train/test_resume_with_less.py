"""A run that goes on with a teacher that lacks something of the one it was begun with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dllm2rec.config.load import changed
from dllm2rec.errors import Dllm2RecError
from dllm2rec.train.resume_run import resume_run
from tests.support.kill_trials import CONFIG
from tests.train.test_resume_run import DATASET, SELDOM, TEACHER, stop_at

SOFT = changed(
    SELDOM,
    loss={"base": "softmax"},
    distillation={"ranking_form": "soft_targets", "embedding_weight": 0.0},
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) / "run" for name in ("weights", "soft")}
    stop_at(1, folders["weights"])
    stop_at(1, folders["soft"], SOFT)
    return folders


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("lacking", ["target_distance", "item_embeddings"])
def test_what_the_settings_need_is_missed_before_anything_changes(
    stopped: dict[str, Path], tmp_path: Path, lacking: str
) -> None:
    assert CONFIG.distillation.confidence_gamma > 0
    assert CONFIG.distillation.embedding_weight > 0
    folder = shutil.copytree(stopped["weights"], tmp_path / "run")
    before = bytes_of(folder)
    with pytest.raises(Dllm2RecError, match=r"teacher|embedding|distance"):
        resume_run(folder, DATASET, replace(TEACHER, **{lacking: None}), allow_data_change=True)
    assert bytes_of(folder) == before
    assert resume_run(folder, DATASET, TEACHER).rows


def test_a_teacher_without_distances_is_noted_in_the_table(
    stopped: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(stopped["soft"], tmp_path / "run")
    less = replace(TEACHER, distance=None)
    result = resume_run(folder, DATASET, less, allow_data_change=True)
    assert [note.split()[0] for note in result.notes] == ["W-DATA-CHANGED", "W-TEACHER-LACKS"]
    assert "W-TEACHER-LACKS the teacher has no distances of its lists" in caplog.text
