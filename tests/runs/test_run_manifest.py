"""`run.json` and `results.json`: read back as written, refused by the key that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.cli import main
from dllm2rec.config.load import load_config
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.run_manifest import RunManifest, read_config, read_run, write_manifest
from dllm2rec.runs.run_result import (
    RunResult,
    read_result,
    read_row,
    write_result,
    write_row,
)
from dllm2rec.runs.source import Source
from dllm2rec.tracking.metric_table import ResultRow

CONFIG = load_config(recipe="light")
MANIFEST = RunManifest(
    students=["sasrec"],
    baseline=False,
    n_seeds=3,
    format=1,
    source=Source("data/games"),
    dataset="games",
    fingerprint="ab" * 32,
    teacher_fingerprint=None,
    seed=4,
    config=CONFIG.model_dump(mode="json"),
    device="cpu",
    threads=2,
    python="3.12.0",
    platform="Linux",
    versions={"torch": "2.10.0"},
)
ROW = ResultRow("sasrec", {"ndcg@20": 0.1}, {"ndcg@20": 0.2}, {"epoch": 3.0})
RESULT = RunResult(
    folder="runs/a",
    dataset="games",
    n_items=9,
    n_train=8,
    n_validation=7,
    n_test=6,
    exclude_seen=False,
    device="cpu",
    seconds=1.5,
    rows=[ROW],
    notes=["a note"],
)


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    for manifest in (MANIFEST, replace(MANIFEST, source=None, notes=["changed"])):
        write_manifest(tmp_path, manifest)
        assert read_run(tmp_path) == manifest
        assert read_config(tmp_path, manifest) == CONFIG
    (tmp_path / "sasrec").mkdir()
    assert read_run(tmp_path / "sasrec") == manifest


def test_the_first_manifests_are_still_read(tmp_path: Path) -> None:
    content = MANIFEST.as_json()
    later = ("students", "baseline", "n_seeds", "teacher_fingerprint", "processes")
    for key in later:
        del content[key]
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    read = read_run(tmp_path)
    assert (read.students, read.baseline, read.n_seeds, read.processes) == ([], True, 1, 1)
    assert read.teacher_fingerprint is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_seeds": "3"}, "n_seeds = '3', which should be a valid integer"),
        ({"n_seeds": 1.0}, "n_seeds = 1.0, which should be a valid integer"),
        ({"students": "sasrec"}, "students = 'sasrec', which should be a valid"),
        ({"students": [1]}, r"students\.0 = 1, which should be a valid string"),
        ({"source": {"folder": "x"}}, r"unknown key source\.folder"),
        ({"colour": "red"}, "unknown key colour"),
        ({"fingerprint": None}, "fingerprint = None, which should be a valid string"),
        ({"config": []}, "config = .*, which should be"),
    ],
)
def test_a_key_that_no_run_writes_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(MANIFEST.as_json() | change), encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"run\.json: {message}.*, expected what dllm2rec"):
        read_run(tmp_path)


@pytest.mark.parametrize("key", ["format", "source", "dataset", "fingerprint", "config", "threads"])
def test_a_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    content = MANIFEST.as_json()
    del content[key]
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"run\.json: no {key}, expected"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000])
def test_what_is_no_object_ends_with_exit_code_4(
    tmp_path: Path, text: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_bytes(text)
    (tmp_path / "best").write_text("x", encoding="utf-8")
    for words in (["train", "--resume"], ["evaluate"], ["report"]):
        assert main([*words, str(tmp_path)]) == 4
        assert f"error: {tmp_path / 'run.json'}: " in capsys.readouterr().err


def test_a_configuration_of_another_version_is_refused(tmp_path: Path) -> None:
    other = replace(MANIFEST, config={"student": {"name": "transformer"}})
    with pytest.raises(ArtifactError, match="expected the configuration of a run"):
        read_config(tmp_path, other)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_result(tmp_path, RESULT)
    assert read_result(tmp_path) == RESULT
    write_row(tmp_path, ROW)
    assert read_row(tmp_path) == ROW


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"dataset": "a", "rows": []}', "no folder"),
        ('{"rows": [{"name": 1}]}', "no folder"),
        ("{", "no JSON"),
    ],
)
def test_results_that_no_run_writes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"results\.json: {message}.*the table of a run"):
        read_result(tmp_path)


def test_a_row_that_no_run_writes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"name": "a", "colour": 1}', encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"result\.json: .*the results of a student"):
        read_row(tmp_path)


def test_the_tables_of_a_result() -> None:
    spread = replace(ROW, deviation={"ndcg@20": 0.01})
    teacher = ResultRow("teacher", {}, {"ndcg@20": 0.3})
    result = replace(RESULT, rows=[teacher, spread])
    test, validation = result.table("test"), result.table("validation")
    assert [row.name for row in test.rows] == ["teacher", "sasrec"]
    assert test.rows[1].deviation == {"ndcg@20": 0.01}
    assert (test.n_rows, test.title) == (6, "games, test")
    assert [row.name for row in validation.rows] == ["sasrec"]  # the teacher has no such metrics
    assert not validation.rows[0].deviation
    assert (validation.n_rows, validation.title) == (7, "games, validation")
