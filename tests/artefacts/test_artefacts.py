"""What earlier versions wrote is read, and gives what it gave then."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dllm2rec
from dllm2rec.errors import ArtifactError
from tests.artefacts.make import HERE, lists_of

VERSIONS = sorted(path for path in HERE.iterdir() if (path / "expected.json").is_file())
# Of versions whose states cannot be resumed any more: what the refusal says to do.
NOT_RESUMED: dict[str, str] = {}

pytestmark = pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)


def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return found


def check_lists(model: dllm2rec.Recommender, folder: Path, within: float) -> None:
    """The same items where scores are apart, and scores that are near."""
    for mine, then in zip(lists_of(model), expected(folder)["lists"], strict=True):
        assert [score for _, score in mine] == pytest.approx(
            [score for _, score in then], abs=within
        )
        gaps = [a[1] - b[1] for a, b in pairwise(then)]
        if min(gaps) > 2 * within:
            assert [item for item, _ in mine] == [item for item, _ in then]


def test_there_is_a_version(folder: Path) -> None:
    assert {"dataset", "teacher", "run", "export", "export-int8", "interrupted"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_dataset_and_its_teacher_are_read(folder: Path) -> None:
    dataset = dllm2rec.load_dataset(folder / "dataset")
    teacher = dllm2rec.load_teacher(folder / "teacher", dataset)
    assert (dataset.n_items, len(dataset.test)) == (24, 60)
    assert teacher.ranking is not None
    assert teacher.ranking.shape == (len(dataset.train), 6)


def test_a_run_is_evaluated_and_answers(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "run", tmp_path / "run")  # what is scored on test rows is noted
    dataset = dllm2rec.load_dataset(folder / "dataset")
    table = dllm2rec.evaluate_run(run, dataset=dataset, device="cpu")
    then = {name.replace(" ", ""): row for name, row in expected(folder)["test"].items()}
    for row in table.rows:
        if row.name != "teacher":
            known = then[row.name.replace(" ", "")]
            assert {key: row.metrics[key] for key in known} == pytest.approx(known, abs=0.02)
    check_lists(dllm2rec.load(run, device="cpu"), folder, within=1e-4)


def test_a_run_has_a_report(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "run", tmp_path / "run")
    dllm2rec.write_report(run)
    assert (run / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("name", ["export", "export-int8"])
def test_an_export_answers(folder: Path, name: str) -> None:
    within = 1e-4 if name == "export" else 0.2
    check_lists(dllm2rec.load_export(folder / name), folder, within)


def test_an_interrupted_run_goes_on_or_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "interrupted", tmp_path / "run")
    dataset = dllm2rec.load_dataset(folder / "dataset")
    if folder.name in NOT_RESUMED:
        with pytest.raises(ArtifactError, match=NOT_RESUMED[folder.name]):
            dllm2rec.resume_run(run, dataset, None, progress=False)
        return
    result = dllm2rec.resume_run(run, dataset, None, progress=False)
    assert "sasrec" in {row.name for row in result.rows}
