"""`dllm2rec evaluate --per-row --slices`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.evaluate.rows.per_row_file import read_per_row
from dllm2rec.runs.source import Source
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.train_run import train_run

pytestmark = pytest.mark.slow  # a demo world, two trainings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo-1"
    config = changed(
        load_config(recipe="demo"),
        student={"hidden_size": 8, "dropout": 0.1, "pair_memory": False},
        distillation={"ranking_weight": 0.3},
        train={"max_epochs": 1, "device": "cpu"},
    )
    source = Source()
    options = RunOptions(n_seeds=2, baseline=False, source=source)
    dataset, teacher = source.open()
    train_run(config, dataset, teacher, folder, students=["gru4rec"], options=options)
    return folder


def test_ranks_of_rows_and_slices_beside_the_table(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.parquet"
    words = ["evaluate", str(run), "--device", "cpu", "--slices", "--beyond-accuracy"]
    words += ["--per-row", str(file)]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    scored = read_per_row(file)
    table = scored.table((1, 5, 10, 20))
    assert [row["metrics"] for row in told["rows"]] == [dict(row.metrics) for row in table.rows]
    assert [(one.name, one.seed) for one in scored.scorers] == [
        ("popularity", None),
        ("window counts", None),
        ("teacher", None),
        ("gru4rec+dllm2rec", 0),
        ("gru4rec+dllm2rec", 1),
    ]
    for one in told["slices"]:
        assert sum(group["n_rows"] for group in one["groups"]) == told["n_rows"]
    beyond = {row["name"]: row["metrics"] for row in told["beyond_accuracy"]}
    assert list(beyond) == scored.labels()
    assert all(0 < beyond[name]["coverage@20"] <= 1 for name in beyond)
    assert beyond["popularity"]["coverage@20"] == 20 / told["n_items"]
    assert beyond["popularity"]["popularity_lift@20"] > beyond["teacher"]["popularity_lift@20"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    shown, _, figures = shown.partition("\ndemo-0, test: what is listed")
    assert "popularity lift" in figures
    for one in told["slices"]:
        assert f"\n{one['name']} ({one['how']}), ndcg@20\n" in shown
    blocks = [block.splitlines() for block in shown.split("\n\n")[1:]]
    for block in blocks:
        assert len({len(line) for line in block[-6:]}) == 1  # columns line up


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--per-row", "rows.csv"], "expected an ending of .parquet"),
        (["--per-row", "nowhere/rows.parquet"], "no such folder above it"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(
    run: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["evaluate", str(run), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_more_negatives_than_candidates_are_refused_before_test_rows_are_scored(
    run: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    before = (run / "test-rows.jsonl").read_bytes()
    words = ["evaluate", str(run), "--device", "cpu", "--sampled-negatives", "90000"]
    assert main([*words, "--sampled-by", by]) == 2
    assert "90,000 sampled negatives" in capsys.readouterr().err
    assert (run / "test-rows.jsonl").read_bytes() == before


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_sampled_metrics_of_a_run_leave_its_lists_out(
    run: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    words = ["evaluate", str(run), "--device", "cpu", "--sampled-negatives", "5", "--json"]
    assert main([*words, "--sampled-by", by]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "SAMPLED METRICS" in told["title"]
    names = ["popularity", "window counts", "gru4rec+dllm2rec-seed-0", "gru4rec+dllm2rec-seed-1"]
    assert [row["name"] for row in told["rows"]] == names
    assert any("no sampled metrics of teacher" in note for note in told["notes"])
