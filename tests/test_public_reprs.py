"""What a notebook shows: a few lines of each object, and how a training goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import dllm2rec
from dllm2rec import ArtifactError
from dllm2rec.runs.run_manifest import read_run
from tests.support.worlds import cycle_dataset, oracle_teacher
from tests.test_public_calls import EVENTS, FEW

FEW_DEMO = [*FEW, "distillation.ranking_weight=0.0"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebook")
    dllm2rec.save_dataset(dllm2rec.prepare(EVENTS), folder / "data")
    return folder


def run(dataset: dllm2rec.SequenceDataset, folder: Path, **options: object) -> dllm2rec.Config:
    config = dllm2rec.load_config(recipe="light", overrides=FEW)
    return dllm2rec.train_run(config, dataset, None, folder, students="gru4rec", **options)


def test_objects_are_shown_in_a_few_lines_without_arrays(folders: Path, tmp_path: Path) -> None:
    dataset = dllm2rec.load_dataset(folders / "data")
    teacher = oracle_teacher(cycle_dataset())
    result = run(dataset, tmp_path / "run", progress=False)
    checkpoint = dllm2rec.load_checkpoint(tmp_path / "run" / "gru4rec")
    shown = {
        "40 items, 180 events": dataset,
        "40 items, the first '0'": dataset.catalogue,
        "Rows: 90": dataset.train,
        "Prepared, 30 users": dllm2rec.prepare(EVENTS),
        "180 events of 30 users and 40 items": dllm2rec.from_frame(EVENTS),
        "840 lists of 8 items": teacher,
        "popularity": result,
        "gru4rec  ": result.table("test"),
        "Checkpoint: gru4rec, 40 items": checkpoint,
        "hidden_size=16": dllm2rec.load_config(recipe="light", overrides=FEW),
    }
    for words, value in shown.items():
        text = repr(value)
        assert words in text
        assert len(text.splitlines()) <= 8, text
        assert len(text) < 2500
        assert "array(" not in text
    assert str(folders / "data") in repr(dataset)


def test_training_prints_a_line_an_epoch_unless_it_is_told_not_to(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = dllm2rec.load_dataset(folders / "data")
    run(dataset, tmp_path / "one")
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[0] == "gru4rec: epochs 1 to at most 1"
    assert lines[1].startswith("gru4rec: epoch 1/1  loss ")
    assert "ndcg@20" in lines[1]
    assert lines[2].startswith("gru4rec: validation ndcg@20")
    assert shown.out == ""
    run(dataset, tmp_path / "two", progress=False)
    assert capsys.readouterr().err == ""


def test_evaluation_finds_the_dataset_of_a_run_made_from_python(
    folders: Path, tmp_path: Path
) -> None:
    dataset = dllm2rec.load_dataset(folders / "data")
    result = run(dataset, tmp_path / "run", progress=False)
    table = dllm2rec.evaluate_run(tmp_path / "run", device="cpu")
    row = next(row for row in table.rows if row.name == "gru4rec")
    assert row.metrics["ndcg@20"] == result.rows[-1].test["ndcg@20"]
    assert read_run(tmp_path / "run").source == dllm2rec.Source.of(folders / "data")


def test_a_dataset_made_in_memory_is_given_to_the_evaluation(tmp_path: Path) -> None:
    dataset = dllm2rec.prepare(EVENTS).dataset
    run(dataset, tmp_path / "run", progress=False)
    with pytest.raises(ArtifactError, match="give dataset=, it or its folder"):
        dllm2rec.evaluate_run(tmp_path / "run")
    table = dllm2rec.evaluate_run(tmp_path / "run", dataset=dataset, device="cpu")
    assert table.n_rows == len(dataset.test)
    with pytest.raises(ArtifactError, match=r"the dataset that .* was trained on; give dataset="):
        dllm2rec.evaluate_run(tmp_path / "run", dataset=cycle_dataset(), device="cpu")


def test_the_same_refusal_names_the_option_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dllm2rec.cli import main

    run(dllm2rec.prepare(EVENTS).dataset, tmp_path / "run", progress=False)
    assert main(["evaluate", str(tmp_path / "run")]) == 4
    assert "give --dataset" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_world_is_found_by_what_it_is() -> None:
    dataset, teacher = dllm2rec.demo_world()
    assert dllm2rec.Source.known(dataset, teacher) == dllm2rec.Source()
    named_alike = dllm2rec.SequenceDataset(
        "demo-0",
        dataset.catalogue,
        dataset.events,
        5,
        dataset.train,
        dataset.validation,
        dataset.test,
        has_users=True,
    )
    assert dllm2rec.Source.known(named_alike, teacher) is None
    assert np.array_equal(dataset.events, named_alike.events)


def test_a_teacher_knows_its_folder(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    dllm2rec.save_teacher(tmp_path / "teacher", oracle_teacher(dataset), dataset)
    teacher = dllm2rec.load_teacher(tmp_path / "teacher", dataset)
    assert teacher.folder == (tmp_path / "teacher").resolve()
    shutil.rmtree(tmp_path / "teacher")
