"""`dllm2rec reproduce --dataset`: a whole table of a tiny world, stopped and gone on with."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError, ResourceError
from dllm2rec.rerun.paper import train_job
from dllm2rec.rerun.paper.cells import PARTS
from dllm2rec.rerun.paper.ledger import LOG_FILE, SCRATCH
from dllm2rec.rerun.paper.reproduce_table import Step, TableOptions, reproduce_table
from dllm2rec.runs.source import Source
from dllm2rec.teacher.folder import save_teacher
from tests.support.worlds import random_teacher

SMALL = ("student.hidden_size=8", "train.max_epochs=1", "train.device=cpu", "train.batch_size=64")
OVERRIDES = (*SMALL, "distillation.top_k=6")
STUDENTS = TableOptions(parts=("students",), n_seeds=2, overrides=OVERRIDES)


def log_of(folder: Path) -> dict[str, dict[str, object]]:
    lines = map(json.loads, (folder / LOG_FILE).read_text().splitlines())
    found = [{key: line[key] for key in line if key != "seconds"} for line in lines]
    assert len({line["key"] for line in found}) == len(found)  # nothing is trained twice
    return {str(line["key"]): line for line in found}


@pytest.fixture
def source(home: Path) -> Source:
    """The dataset and the teacher of the tiny world."""
    return Source.of(home / "data", home / "teacher")


@pytest.mark.usefixtures("small")
def test_a_whole_table_from_the_command_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "paper"
    words = ["reproduce", "--dataset", str(home / "data"), "--teacher", str(home / "teacher")]
    words += ["--out", str(out), "--seeds", "2", "--json"]
    words += [word for one in OVERRIDES for word in ("--set", one)]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "1 of about" in told.err
    table = json.loads(told.out)
    assert table == json.loads((out / "table.json").read_text())
    assert {row["part"] for row in table["rows"]} == set(PARTS)
    assert {row["method"] for row in table["rows"] if row["student"] == ""} == {
        "popularity",
        "window counts",
        "graph times text",
    }
    assert table["n_left"] == 0
    assert table["n_cells"] == 2
    assert table["mean_gain"]["n_seeds"] == 2
    assert list((out / SCRATCH).iterdir()) == []
    log = log_of(out)
    taught = [line for line in log.values() if line["method"] == "dllm2rec"]
    assert all(np.isfinite(line["test"]["ndcg@20"]) for line in taught)  # type: ignore[index]

    assert main([word for word in words if word != "--json"]) == 0
    told = capsys.readouterr()
    assert "of about" not in told.err  # nothing was left to train
    assert "mean gain of DLLM2Rec over the same student alone" in told.out
    assert log_of(out) == log


@pytest.mark.usefixtures("small")
def test_a_table_that_was_stopped_goes_on_to_the_same_figures(
    source: Source, tmp_path: Path
) -> None:
    whole = reproduce_table([source], tmp_path / "whole", STUDENTS)

    def stop(step: Step) -> None:
        if step.n_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce_table([source], tmp_path / "again", STUDENTS, stop)
    assert len(log_of(tmp_path / "again")) == 3
    steps: list[Step] = []
    again = reproduce_table([source], tmp_path / "again", STUDENTS, steps.append)
    assert replace(again, folder=whole.folder) == whole
    assert log_of(tmp_path / "again") == log_of(tmp_path / "whole")
    assert len(steps) == len(log_of(tmp_path / "whole")) - 3

    more = replace(STUDENTS, n_seeds=3)
    steps.clear()
    reproduce_table([source], tmp_path / "again", more, steps.append)
    assert {step.record["seed"] for step in steps} == {2}


@pytest.mark.usefixtures("small")
def test_processes_come_to_the_bits_of_one(source: Source, tmp_path: Path) -> None:
    for n_processes in (1, 2):
        options = replace(STUDENTS, n_processes=n_processes)
        reproduce_table([source], tmp_path / str(n_processes), options)
    one, two = (log_of(tmp_path / name) for name in "12")
    assert one == two


@pytest.mark.usefixtures("small")
def test_a_process_that_is_killed_ends_the_table_with_what_to_do(
    source: Source, tmp_path: Path
) -> None:
    def kill(step: Step) -> None:
        for child in multiprocessing.active_children():  # the death of an idle one changes nothing
            child.kill()

    options = replace(STUDENTS, n_processes=2)
    with pytest.raises(ResourceError, match="fewer --jobs if memory ran out"):
        reproduce_table([source], tmp_path / "out", options, kill)
    assert multiprocessing.active_children() == []
    assert log_of(tmp_path / "out")


@pytest.mark.slow
def test_a_kill_leaves_no_process_and_only_whole_lines(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "paper"
    words = [sys.executable, "-m", "dllm2rec", "reproduce", "--only", "students", "--jobs", "2"]
    words += ["--dataset", str(home / "data"), "--teacher", str(home / "teacher")]
    words += ["--out", str(out), "--seeds", "2"]
    words += [word for one in OVERRIDES for word in ("--set", one)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: (out / LOG_FILE).is_file() and len(log_of(out)) >= 2)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    assert len(children) >= 2
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    before = log_of(out)
    reproduce_table([Source.of(home / "data", home / "teacher")], out, STUDENTS)
    after = log_of(out)
    assert before.items() <= after.items()
    assert len(after) > len(before)


def until(is_so: object, limit_s: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + limit_s
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.usefixtures("small")
def test_other_data_and_other_settings_are_refused(
    source: Source, home: Path, tmp_path: Path
) -> None:
    reproduce_table([source], tmp_path / "out", STUDENTS)
    other = replace(STUDENTS, overrides=(*OVERRIDES, "train.max_epochs=2"))
    with pytest.raises(ArtifactError, match="begun with another paper recipe"):
        reproduce_table([source], tmp_path / "out", other)
    dataset = load_dataset(home / "data")
    save_teacher(tmp_path / "random", random_teacher(dataset), dataset)
    changed = Source.of(home / "data", tmp_path / "random")
    with pytest.raises(ArtifactError, match="begun with another teacher of data"):
        reproduce_table([changed], tmp_path / "out", STUDENTS)


def test_what_a_table_cannot_have_is_refused(source: Source, home: Path, tmp_path: Path) -> None:
    dataset = load_dataset(home / "data")
    lists = replace(random_teacher(dataset), item_embeddings=None)
    save_teacher(tmp_path / "lists", lists, dataset)
    part = Source.of(home / "data", tmp_path / "lists")
    with pytest.raises(InputError, match="no item vectors"):
        reproduce_table([part], tmp_path / "out", STUDENTS)
    with pytest.raises(ConfigError, match="two datasets called data"):
        reproduce_table([source, source], tmp_path / "out", STUDENTS)
    for setting in ("student.pair_memory=true", "train.refit=true", "student.dropout=[0.1, 0.2]"):
        options = replace(STUDENTS, overrides=(*OVERRIDES, setting))
        with pytest.raises(ConfigError, match="leave it out"):
            reproduce_table([source], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("small")
def test_a_training_that_diverges_is_kept_as_such(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = train_job._paper

    def diverging(config: object, *rest: object) -> dict[str, object]:
        if config.distillation.ranking_weight > 0:  # type: ignore[attr-defined]
            raise train_job.NonFiniteError("loss: inf")
        return real(config, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(train_job, "_paper", diverging)
    table = reproduce_table([source], tmp_path / "out", STUDENTS)
    (row,) = (row for row in table.rows if row.method == "dllm2rec")
    assert row.weights is not None
    assert row.weights.ranking == 0
    assert any("failed" in line for line in log_of(tmp_path / "out").values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither a run nor a dataset"),
        (["runs/games-1", "--seeds", "3"], "--seeds beside runs/games-1"),
        (["runs/games-1", "--only", "default"], "--only beside runs/games-1"),
        (["--dataset", ".", "--tolerance", "0.1"], "--tolerance without a run"),
        (["--dataset", ".", "--teacher", ".", "--teacher", "."], "1 --dataset and 2 --teacher"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err
