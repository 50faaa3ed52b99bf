"""`dllm2rec compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dllm2rec.cli import main
from tests.cli.test_evaluate_rows import run as run


@pytest.mark.slow
def test_a_run_is_compared_with_what_needs_no_training_and_timed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(run), "--device", "cpu", "--teacher-ms", "1500"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["against"] == "window counts"
    names = ["popularity", "window counts", "teacher", "gru4rec+dllm2rec"]
    assert [row["name"] for row in told["rows"]] == names
    student = told["rows"][-1]
    assert student["seeds"] == [0, 1]
    assert student["difference"]["test"] == "t"
    costs = told["costs"]
    assert costs["teacher"]["answer_ms"] == 1500
    assert set(costs) == {"teacher", "gru4rec+dllm2rec"}
    timed = costs["gru4rec+dllm2rec"]
    assert 0 < timed["answer_ms"] < 1000
    assert timed["users_per_s"] > 1
    assert timed["n_bytes"] > 10_000
    assert timed["train_s"] > 0
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "against window counts, the best by ndcg@20 of what needs no training" in shown
    blocks = shown.split("\n\n")
    lines = blocks[1].splitlines()
    assert len({len(line) for line in lines}) == 1  # columns line up
    assert len(lines) == 5
    assert "ms per answer" in blocks[2]
    file = tmp_path / "rows.parquet"
    assert main(["evaluate", str(run), "--device", "cpu", "--per-row", str(file), "--json"]) == 0
    capsys.readouterr()
    page = tmp_path / "comparison.html"
    assert main(["compare", str(file), "--json", "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    of_file = json.loads(capsys.readouterr().out)
    assert of_file["rows"] == told["rows"]
    assert of_file["costs"] == {}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 3, "no such file or folder"),
        (["."], 4, "no trained student"),
        (["x.parquet", "--metric", "auc"], 3, "no such file"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_not_there_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher-ms", "0"], "expected milliseconds above 0"),
        (["--html", "page.txt"], "expected an ending of .html"),
        (["--dataset", "."], "--dataset beside files alone"),
        (["--exclude-seen"], "--exclude-seen beside files alone"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"")
    assert main(["compare", str(file), *words]) == 2
    assert message in capsys.readouterr().err
