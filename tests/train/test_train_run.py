"""A whole run on disk: train, evaluate again, recommend."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_folder import student_folders
from dllm2rec.runs.run_manifest import read_run
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runs.source import Source
from dllm2rec.runs.training_state import TrainingState
from dllm2rec.runs.trial import Trial, trial_of
from dllm2rec.serve.recommend import recommend
from dllm2rec.storage.pointers import pointers_of_weights, read_pointer
from dllm2rec.students.memory.pair_memory import PairMemory
from dllm2rec.teacher.folder import save_teacher
from dllm2rec.tracking.progress import Outlook, Progress, Silent, TrainingName
from dllm2rec.train import train_seed
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.train_run import background_thread, train_run
from dllm2rec.train.train_seed import SeedRun, _trials_left
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16, "dropout": 0.1, "pair_memory": False},
    distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
    train={"batch_size": 64, "learning_rate": 0.01, "max_epochs": 3, "device": "cpu"},
)


def train(
    folder: Path,
    config: Config = CONFIG,
    *,
    baseline: bool = True,
    progress: Progress | bool = False,
) -> RunResult:
    dataset = cycle_dataset()
    return train_run(
        config,
        dataset,
        oracle_teacher(dataset),
        folder,
        students=["sasrec"],
        options=RunOptions(baseline=baseline, source=Source("nowhere", None)),
        progress=progress,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("runs") / "cycle-1"
    return folder, train(folder)


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> SequenceDataset:
    """The run's dataset where its folder should be."""
    dataset = cycle_dataset()
    monkeypatch.setattr(Source, "open_dataset", lambda _: dataset)
    return dataset


def test_the_table_holds_baselines_and_both_arms(run: tuple[Path, RunResult]) -> None:
    _, result = run
    assert [row.name for row in result.rows] == [
        "popularity",
        "window counts",
        "sasrec",
        "sasrec + dllm2rec",
    ]
    for row in result.rows:
        assert 0 <= row.test["ndcg@20"] <= row.test["hr@20"] <= 1


def test_the_folder_holds_what_the_run_was_made_from(run: tuple[Path, RunResult]) -> None:
    folder, result = run
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert facts["fingerprint"] == cycle_dataset().fingerprint()
    assert load_config(path=folder / "config.toml") == CONFIG
    table = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert [row["test"] for row in table["rows"]] == [row.test for row in result.rows]


def test_every_epoch_of_every_weight_is_logged(run: tuple[Path, RunResult]) -> None:
    folder, result = run
    lines = (folder / "sasrec+dllm2rec" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [(r["ranking_weight"], r["epoch"]) for r in records] == [
        (weight, epoch) for weight in (0.0, 0.3) for epoch in (1.0, 2.0, 3.0)
    ]
    best = max(records, key=lambda r: r["ndcg@20"])
    taught = result.rows[-1]
    assert taught.detail["ranking_weight"] == best["ranking_weight"]
    assert taught.detail["epoch"] == best["epoch"]
    assert taught.validation["ndcg@20"] == best["ndcg@20"]


@pytest.mark.slow
def test_a_grid_of_dropouts_is_tried_and_its_best_is_kept(tmp_path: Path) -> None:
    grid = changed(CONFIG, student={"dropout": [0.1, 0.9]}, train={"max_epochs": 2})
    taught = train(tmp_path / "run", grid).rows[-1]
    lines = (tmp_path / "run" / "sasrec+dllm2rec" / "metrics.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in lines.splitlines()]
    tried = list(dict.fromkeys((r["dropout"], r["ranking_weight"]) for r in records))
    best = max(records, key=lambda r: r["ndcg@20"])
    by_dropout = max(records[:4], key=lambda r: r["ndcg@20"])["dropout"]
    assert tried == [(0.9, 0.3), (0.1, 0.3), (by_dropout, 0.0)]
    assert len(records) == 6
    assert (taught.detail["dropout"], taught.detail["ranking_weight"]) == (
        best["dropout"],
        best["ranking_weight"],
    )


def test_no_other_checkpoint_than_best_and_last_is_kept(run: tuple[Path, RunResult]) -> None:
    folder, _ = run
    student = folder / "sasrec+dllm2rec"
    kept = {child.name for child in student.iterdir() if child.is_dir()}
    assert kept == {read_pointer(student, name).name for name in ("best", "last")}


def test_evaluating_again_gives_the_same_figures(
    run: tuple[Path, RunResult], at_hand: SequenceDataset
) -> None:
    folder, result = run
    table = evaluate_run(folder, device="cpu")
    names = ["popularity", "window counts", "sasrec", "sasrec+dllm2rec"]
    assert [row.name for row in table.rows] == names
    for row, trained in zip(table.rows, result.rows, strict=True):
        assert row.metrics["ndcg@20"] == trained.test["ndcg@20"]
    one = evaluate_run(folder / "sasrec", split="validation", ks=(3,), device="cpu")
    assert next(iter(one.rows[0].metrics)) == "hr@3"
    assert len(at_hand.validation) == one.n_rows


def test_the_teacher_stands_beside_the_students_wherever_it_is_now(
    at_hand: SequenceDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oracle = oracle_teacher(at_hand)
    last = at_hand.events[at_hand.test.end - 1].astype(np.int64)
    lists = ((last[:, None] + 1 + np.arange(20)) % N_ITEMS).astype(np.uint32)
    teacher = replace(oracle, ranking_test=lists)
    save_teacher(tmp_path / "teacher", teacher, at_hand)
    config = changed(CONFIG, train={"max_epochs": 1}, evaluation={"exclude_seen": True})
    options = RunOptions(baseline=False, source=Source("nowhere", str(tmp_path / "teacher")))
    folder = tmp_path / "run"
    trained = train_run(config, at_hand, teacher, folder, students=["sasrec"], options=options)
    table = evaluate_run(folder, exclude_seen=True, device="cpu")
    assert [row.metrics["hr@20"] for row in table.rows] == [
        row.test["hr@20"] for row in trained.rows
    ]
    assert [row.name for row in table.rows][2] == "teacher"
    plain = evaluate_run(folder, device="cpu")
    for row, masked in zip(plain.rows, table.rows, strict=True):
        assert row.metrics["mrr@20"] != masked.metrics["mrr@20"]
    moved = (tmp_path / "teacher").rename(tmp_path / "moved")
    assert not caplog.records
    assert "teacher" not in {row.name for row in evaluate_run(folder, device="cpu").rows}
    assert "left out of the table" in caplog.text
    assert "give --teacher" in caplog.text
    found = evaluate_run(folder, teacher=moved, device="cpu")
    assert found.rows[2].metrics == plain.rows[2].metrics
    save_teacher(tmp_path / "other", oracle, at_hand)
    with pytest.raises(ArtifactError, match="the teacher of"):
        evaluate_run(folder, teacher=tmp_path / "other", device="cpu")


def test_seen_items_leave_the_candidates(
    run: tuple[Path, RunResult], at_hand: SequenceDataset
) -> None:
    folder, _ = run
    masked = evaluate_run(folder, exclude_seen=True, device="cpu")
    plain = evaluate_run(folder, device="cpu")
    assert masked.exclude_seen
    assert masked.rows[0].metrics["mrr@20"] != plain.rows[0].metrics["mrr@20"]


def test_another_dataset_is_refused(
    run: tuple[Path, RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "open_dataset", lambda _: cycle_dataset(seed=1))
    with pytest.raises(ArtifactError, match="fingerprint"):
        evaluate_run(run[0], device="cpu")


def test_recommendations_follow_the_cycle_under_the_users_own_ids(
    run: tuple[Path, RunResult],
) -> None:
    folder, _ = run
    history = [f"item-{i}" for i in (3, 4, 5, 6)]
    (listed,) = recommend(folder, [history], k=5, device="cpu")
    assert [place.rank for place in listed] == [1, 2, 3, 4, 5]
    assert listed[0].item_id == "item-7"
    assert listed[0].title == "Title 7"
    assert not {place.item_id for place in listed} & set(history)
    assert [p.score for p in listed] == sorted((p.score for p in listed), reverse=True)


def test_recommendations_are_the_students_own_scores(run: tuple[Path, RunResult]) -> None:
    import torch

    from dllm2rec.runs.checkpoint import load_checkpoint

    folder, _ = run
    student = load_checkpoint(folder / "sasrec").student
    scores = student(torch.tensor([[8, 9, 10, N_ITEMS, N_ITEMS]]), torch.tensor([3]))[0]
    (listed,) = recommend(
        folder / "sasrec",
        [["item-8", "item-9", "item-10"]],
        k=N_ITEMS,
        exclude_seen=False,
        device="cpu",
    )
    for place in listed:
        item = int(place.item_id.removeprefix("item-"))
        assert place.score == pytest.approx(scores[item].item(), abs=1e-5)


def test_a_history_of_everything_gives_an_empty_list(run: tuple[Path, RunResult]) -> None:
    (listed,) = recommend(run[0], [[f"item-{i}" for i in range(N_ITEMS)]], device="cpu")
    assert listed == []


@pytest.mark.parametrize(
    ("histories", "n", "error", "message"),
    [
        ([["item-1", "item-99"]], 5, InputError, "item-99"),
        ([["item-1"], []], 5, InputError, r"histories\[1\]: no items"),
        ([["item-1"]], 0, ConfigError, "expected 1..40"),
        ([["item-1"]], 41, ConfigError, "expected 1..40"),
    ],
)
def test_what_cannot_be_recommended_for_is_named(
    run: tuple[Path, RunResult],
    histories: list[list[str]],
    n: int,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        recommend(run[0], histories, k=n, device="cpu")


def test_a_student_that_is_not_there_is_named(run: tuple[Path, RunResult]) -> None:
    with pytest.raises(ArtifactError, match="no student caser, expected one of sasrec"):
        recommend(run[0], [["item-1"]], student="caser", device="cpu")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no trained student"):
        student_folders(tmp_path)
    with pytest.raises(ArtifactError, match=r"no run\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluation": {"ks": [41]}}, "evaluation.ks: 41"),
        ({"distillation": {"top_k": 41}}, "distillation.top_k: 41"),
    ],
)
def test_a_k_beyond_the_catalogue_is_refused_before_any_work(
    tmp_path: Path, change: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / "run", changed(CONFIG, **change))
    assert not (tmp_path / "run").exists()


def test_without_baseline_only_the_taught_student_is_trained(tmp_path: Path) -> None:
    result = train(tmp_path / "run", changed(CONFIG, train={"max_epochs": 1}), baseline=False)
    assert [row.name for row in result.rows][2:] == ["sasrec + dllm2rec"]


def test_what_runs_beside_a_training_is_stopped_when_that_fails() -> None:
    futures = []

    def fail() -> None:
        with background_thread() as (pool, stop):
            futures.append(pool.submit(stop.wait, 60))
            futures.append(pool.submit(pytest.fail, "begun though the training had failed"))
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert time.monotonic() - began < 5
    assert futures[0].result() is True
    assert futures[1].cancelled()


def test_a_state_of_a_training_that_the_grid_lacks_is_refused(tmp_path: Path) -> None:
    state = TrainingState({}, {}, N_ITEMS, 0, 0.0, [], Trial(0.1, 0.7), "cpu")
    seed_run = SeedRun("sasrec", tmp_path, CONFIG)
    with pytest.raises(ArtifactError, match=r"dropout-0\.1-weight-0\.7, expected one of this"):
        list(_trials_left(seed_run, state, []))
    of_grid = replace(state, trial=Trial(0.1, 0.3))
    assert list(_trials_left(seed_run, of_grid, [])) == [Trial(0.1, 0.3)]


def test_a_run_tells_its_outlook_and_its_notes_before_the_first_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Heard(Silent):
        def __init__(self) -> None:
            self.calls: list[object] = []

        def outlook(self, outlook: Outlook) -> None:
            self.calls.append(outlook)

        def start(self, training: TrainingName, n_epochs: int, records: object = ()) -> None:
            self.calls.append(str(training))

    caplog.set_level("INFO", logger="dllm2rec")
    dataset = dataclasses.replace(cycle_dataset(), notes=["a note of the data"])
    config = changed(
        load_config(recipe="light"),
        student={"hidden_size": 8},
        distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
        train={"batch_size": 64, "max_epochs": 1, "device": "cpu"},
    )
    heard = Heard()
    result = train_run(
        config,
        dataset,
        oracle_teacher(dataset),
        tmp_path / "run",
        students=["sasrec", "gru4rec"],
        progress=heard,
    )
    starts = [call for call in heard.calls if isinstance(call, str)]
    assert len(starts) == 6
    told = heard.calls[: heard.calls.index(starts[0])]
    best = max(result.rows[:2], key=lambda row: row.validation["ndcg@20"])
    assert told[-1] == Outlook(6, (best.name, best.validation["ndcg@20"]))
    assert "a note of the data" in caplog.messages


def test_the_ranking_weight_is_chosen_by_what_students_reach_with_their_memories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weight that is best alone is left for the other, which alone has a memory here."""
    folder = tmp_path / "run" / "sasrec+dllm2rec"
    choose, seen = train_seed.choose_memory, []

    def of_the_other(*args: Any, **kwargs: Any) -> PairMemory | None:
        weight = pointers_of_weights(folder)[len(seen)].removeprefix("best-")
        is_best = f"-weight-{weight}-epoch" in read_pointer(folder, "best").name
        seen.append((weight, is_best))
        return None if is_best else choose(*args, **kwargs)

    monkeypatch.setattr(train_seed, "choose_memory", of_the_other)
    config = changed(CONFIG, student={"pair_memory": True}, train={"max_epochs": 1})
    row = train(tmp_path / "run", config, baseline=False).rows[-1]
    assert [weight for weight, _ in seen] == ["0", "0.3"]
    other = next(float(weight) for weight, is_best in seen if not is_best)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.memory is not None
    assert trial_of(checkpoint.config).ranking_weight == row.detail["ranking_weight"] == other
    assert row.validation["ndcg@20"] == checkpoint.record["ndcg@20"]
    assert pointers_of_weights(folder) == []
    assert len([child for child in folder.iterdir() if child.is_dir()]) == 2  # it and the state
