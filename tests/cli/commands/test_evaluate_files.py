"""`dllm2rec evaluate` of files: ranks by row, slices and sampled metrics, or why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.cli.evaluation import Views, shown
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.lists.evaluate_lists import measure_lists
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.rows.drawn_items import draw_by_popularity
from dllm2rec.evaluate.rows.per_row_file import read_per_row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    for user in rng.permutation(60):  # test rows are not in the order of the users' names
        items = rng.integers(0, 30, 6 + user % 5)
        lines += [f"u{user},i{item},{user * 100 + time}" for time, item in enumerate(items)]
    (home / "log.csv").write_text("\n".join(lines) + "\n")
    assert main(["prepare", str(home / "log.csv"), "--out", str(home / "folder")]) == 0
    dataset = load_dataset(home / "folder")
    rows = dataset.test
    scores = rng.standard_normal((len(rows), dataset.n_items)).astype(np.float32)
    np.save(home / "own.npy", scores)
    np.save(home / "users.npy", scores)
    np.save(home / "items.npy", np.eye(dataset.n_items, dtype=np.float32))
    best = np.argsort(-scores, axis=1)[:, :10]
    ids, users = dataset.catalogue.item_ids, dataset.users
    assert users is not None
    owner = np.searchsorted(users.starts, rows.end, side="right") - 1
    for name, head in (("rows.csv", "row"), ("users.csv", "user_id")):
        lines = [f"{head},item_id,rank"]
        for row, listed in enumerate(best):
            key = row if head == "row" else users.ids[int(owner[row])].as_py()
            lines += [f"{key},{ids[item]},{place}" for place, item in enumerate(listed)]
        (home / name).write_text("\n".join(lines) + "\n")
    return home / "folder"


def sources(folder: Path) -> dict[str, list[str]]:
    data = folder.parent
    return {
        "own": ["--scores", str(data / "own.npy")],
        "users": ["--vectors", str(data / "users.npy"), str(data / "items.npy")],
        "rows": ["--lists", str(data / "rows.csv")],
        "users.csv": ["--lists", str(data / "users.csv")],
    }


@pytest.mark.parametrize("source", ["own", "users", "rows", "users.csv"])
def test_ranks_of_rows_and_slices_of_files_average_to_the_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    file = tmp_path / "ranks.parquet"
    words = ["evaluate", *sources(folder)[source], "--dataset", str(folder), "--slices", "--json"]
    assert main([*words, "--per-row", str(file), "--k", "5", "--k", "10"]) == 0
    told = json.loads(capsys.readouterr().out)
    own = told["rows"][-1]
    scored = read_per_row(file)
    assert scored.labels() == [row["name"] for row in told["rows"]]
    for row, again in zip(told["rows"], scored.table((5, 10)).rows, strict=True):
        assert {k: row["metrics"][k] for k in again.metrics} == pytest.approx(dict(again.metrics))
    assert [one["name"] for one in told["slices"]] == [
        "target popularity",
        "repeats",
        "history length",
        "user activity",
    ]
    for one in told["slices"]:
        sizes = [group["n_rows"] for group in one["groups"]]
        parts = [group["metrics"][own["name"]]["ndcg@10"] for group in one["groups"]]
        assert sum(sizes) == told["n_rows"]
        assert np.average(parts, weights=sizes) == pytest.approx(own["metrics"]["ndcg@10"])


def test_the_ranks_are_of_their_rows_whatever_the_file(folder: Path, tmp_path: Path) -> None:
    found = {}
    for name, words in sources(folder).items():
        file = tmp_path / f"{name}.parquet"
        full = ["evaluate", *words, "--dataset", str(folder), "--per-row", str(file)]
        assert main([*full, "--k", "10"]) == 0
        found[name] = np.minimum(read_per_row(file).scorers[-1].counts.greater, 10)
    for name in ("users", "rows", "users.csv"):
        np.testing.assert_array_equal(found[name], found["own"])


def test_sampled_metrics_of_scores_are_labelled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", *sources(folder)["own"], "--dataset", str(folder)]
    words += ["--sampled-negatives", "4", "--sampling-seed", "7", "--k", "1", "--k", "2"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "SAMPLED METRICS" in shown
    assert "each target among 4 uniformly drawn items, seed 7" in shown
    assert main([*words, "--json"]) == 0
    assert "SAMPLED METRICS" in json.loads(capsys.readouterr().out)["title"]


@pytest.mark.parametrize("source", ["own", "users"])
def test_the_cpu_may_be_named_and_cuda_is_refused_where_there_is_none(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    words = ["evaluate", *sources(folder)[source], "--dataset", str(folder), "--json", "--k", "5"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert main([*words, "--device", "cpu"]) == 0
    assert capsys.readouterr().out == told
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main([*words, "--device", "cuda"]) == 2
    assert "device cuda: none is present" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("words", [[], ["--exclude-seen"], ["--sampled-negatives", "4"]])
@pytest.mark.parametrize("source", ["own", "users"])
def test_a_gpu_ranks_as_the_cpu_does(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, words: list[str]
) -> None:
    by = ["--sampled-by", "popularity"] if "--sampled-negatives" in words else []
    words = ["evaluate", *sources(folder)[source], "--dataset", str(folder), *words, *by]
    told = []
    for device in ("cpu", "cuda"):
        assert main([*words, "--json", "--k", "5", "--device", device]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.parametrize("source", ["own", "users"])
def test_items_drawn_by_popularity_are_what_targets_stand_among(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    words = ["evaluate", *sources(folder)[source], "--dataset", str(folder), "--json", "--k", "1"]
    words += ["--sampled-negatives", "4", "--sampling-seed", "7"]
    assert main([*words, "--sampled-by", "popularity"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "SAMPLED METRICS" in told["title"]
    assert told["ranking"] == "each target among 4 items drawn by popularity, seed 7"
    assert any("older papers" in note for note in told["notes"])
    dataset = load_dataset(folder)
    scores = np.load(folder.parent / "own.npy")
    drawn = draw_by_popularity(dataset, "test", 4, 7, exclude_seen=False)
    own = scores[np.arange(len(scores)), dataset.targets(dataset.test)]
    expected = (np.take_along_axis(scores, drawn, axis=1) < own[:, None]).all(axis=1).mean()
    assert told["rows"][-1]["metrics"]["hr@1"] == pytest.approx(expected, abs=1e-12)
    assert [row["name"] for row in told["rows"][:2]] == ["popularity", "window counts"]
    assert main([*words, "--sampled-by", "uniform"]) == 0
    uniform = capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out == uniform


@pytest.mark.parametrize(
    ("source", "words", "told"),
    [
        ("own", ["--sampling-seed", "1"], "--sampling-seed without --sampled-negatives"),
        ("own", ["--sampled-by", "uniform"], "--sampled-by without --sampled-negatives"),
        ("own", ["--sampled-negatives", "4", "--slices"], "beside one of --per-row, --slices"),
        ("rows", ["--sampled-negatives", "4"], "no list holds is not known"),
        ("own", ["--sampled-negatives", "4", "--targets", "{rows}"], "expected each row's own"),
        ("own", ["--sampled-negatives", "4000"], "4,000 sampled negatives, expected 1.."),
        (
            "own",
            ["--sampled-negatives", "4000", "--sampled-by", "popularity"],
            "4,000 sampled negatives by popularity, expected 1..",
        ),
        ("own", ["--slices", "--targets", "{rows}"], "expected each row's own target"),
        ("own", ["--slices", "--beyond-accuracy"], "expected a RUN"),
    ],
)
def test_what_cannot_be_known_is_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    words: list[str],
    told: str,
) -> None:
    words = [word.format(rows=folder.parent / "rows.csv") for word in words]
    assert main(["evaluate", *sources(folder)[source], "--dataset", str(folder), *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_lists_by_users_of_several_rows_have_no_ranks_by_row(folder: Path) -> None:
    dataset = load_dataset(folder)
    several = replace(dataset, test=dataset.validation.followed_by(dataset.test))
    measured = measure_lists(folder.parent / "users.csv", several, MeasureRequest())
    views = Views("standard", None, slices=True, sampled_negatives=None, sampling_seed=None)
    with pytest.raises(InputError, match="ranks by row are not known"):
        shown(measured, several, [10], views)


def test_lists_by_user_stand_in_the_order_of_the_rows(folder: Path) -> None:
    dataset = load_dataset(folder)
    backwards = replace(dataset, test=dataset.test.take(np.arange(len(dataset.test))[::-1]))
    found = [
        measure_lists(folder.parent / "users.csv", data, MeasureRequest()).rows
        for data in (dataset, backwards)
    ]
    greater = [one.scorers[-1].counts.greater for one in found if one is not None]
    assert len(set(greater[0])) > 1
    np.testing.assert_array_equal(greater[0], greater[1][::-1])


def test_files_are_compared_by_user_as_by_row_where_each_has_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own.parquet"
    words = ["evaluate", *sources(folder)["own"], "--dataset", str(folder)]
    assert main([*words, "--per-row", str(file)]) == 0
    scored = read_per_row(file)
    assert scored.users is not None
    assert sorted(scored.users) == list(range(scored.identity.n_rows))
    capsys.readouterr()
    told = {}
    for by in ("row", "user"):
        assert main(["compare", str(file), "--by", by, "--json"]) == 0
        told[by] = json.loads(capsys.readouterr().out)
    assert (told["row"].pop("by"), told["user"].pop("by")) == ("row", "user")
    assert told["row"] == told["user"]
    assert main(["compare", str(file), "--by", "user"]) == 0
    assert "rows of one user drawn together" in capsys.readouterr().out
