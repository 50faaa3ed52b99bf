"""`compare-metrics` and `--dialect`: one scorer as every library counts it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from dllm2rec import compare_metrics
from dllm2rec.cli import main
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.dialects.formulas import DIALECTS, DIFFERENCES
from dllm2rec.evaluate.score_file import evaluate_scores
from tests.evaluate.test_score_file import written
from tests.support.worlds import N_ITEMS, cycle_dataset

N_ROWS = 60


@pytest.fixture(scope="module")
def dataset():
    return cycle_dataset(N_ROWS)


@pytest.fixture
def scores(tmp_path, dataset):
    matrix = np.random.default_rng(0).standard_normal((N_ROWS, N_ITEMS)).astype(np.float32)
    np.save(tmp_path / "other.npy", matrix)
    return tmp_path / "other.npy"


def test_a_file_of_scores_in_all_dialects(dataset, scores):
    table = compare_metrics(scores, dataset, ks=(5, 10))
    assert [row.name for row in table.rows] == list(DIALECTS)
    by_name = {row.name: row.metrics for row in table.rows}
    standard = evaluate_scores(scores, dataset, ks=(5, 10)).rows[-1].metrics
    assert by_name["standard"] == standard
    assert by_name["rectools"]["ndcg@10"] == pytest.approx(standard["ndcg@10"] / 4.5436, rel=1e-4)
    assert by_name["hstu"]["mrr@10"] > standard["mrr@10"]
    assert table.title.endswith("other")
    assert compare_metrics(scores, dataset, scorer="popularity").title.endswith("popularity")
    with pytest.raises(ConfigError, match="scorer 'sasrec', expected one of popularity"):
        compare_metrics(scores, dataset, scorer="sasrec")
    with pytest.raises(ConfigError, match="scores without their dataset, expected dataset="):
        compare_metrics(scores)
    with pytest.raises(ConfigError, match=r"k = \[0\]"):
        compare_metrics(scores, dataset, ks=0)
    with pytest.raises(ConfigError, match="targets of a run"):
        compare_metrics(scores.parent, dataset, targets={"u": ["a"]})


def test_the_commands_print_dialects(tmp_path, capsys, dataset, scores):
    data = str(written(tmp_path / "data", dataset))
    assert main(["compare-metrics", str(scores), "--dataset", data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:11]] == list(DIALECTS)
    assert all(any(text in line for line in lines) for text in DIFFERENCES.values())
    assert len({len(line.rstrip()) for line in lines[1:11]}) == 1  # columns line up
    assert main(["compare-metrics", str(scores), "--dataset", data, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["differences"] == DIFFERENCES
    words = ["evaluate", "--scores", str(scores), "--dataset", data, "--k", "10", "--json"]
    assert main([*words, "--dialect", "rectools"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["rows"][-1]["metrics"] == shown["rows"][2]["metrics"]
    assert table["notes"] == [f"rectools dialect: {DIFFERENCES['rectools']}"]
    assert main([*words, "--dialect", "elliot"]) == 2
    assert "expected one of standard, recbole" in capsys.readouterr().err
    lists = pd.DataFrame({"row": np.arange(N_ROWS), "item": "1", "rank": 1})
    lists.to_csv(tmp_path / "run.csv", index=False)
    assert main(["compare-metrics", str(tmp_path / "run.csv"), "--dataset", data, "--k", "3"]) == 0
    assert "60 lists are shorter than 3" in capsys.readouterr().out
