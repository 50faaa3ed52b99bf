"""Searches on a tiny cycle: what they find, keep, go on with and never read."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.device_rows import DeviceEvents
from dllm2rec.errors import ArtifactError, ConfigError, NonFiniteError
from dllm2rec.search import study as studies
from dllm2rec.search import tune as tuning
from dllm2rec.search.duration import parse_duration
from dllm2rec.search.result import TunedTrial, TuneResult
from dllm2rec.search.space import Between, OneOf, checked_space, read_space
from dllm2rec.search.tune import tune
from dllm2rec.tracking.progress import Record, Silent
from dllm2rec.train.train_run import train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16, "dropout": 0.1},
    distillation={"top_k": 6},
    train={"learning_rate": 1e-5, "batch_size": 128, "max_epochs": 4, "device": "cpu"},
)
RATES = "[train]\nlearning_rate = { low = 1e-5, high = 1e-2, log = true }\n"


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    path = tmp_path / "search.toml"
    path.write_text(RATES)
    return path


def search(folder: Path, space: Path, n_trials: int = 6, **options: object) -> TuneResult:
    options = {"dataset": cycle_dataset(60), "config": CONFIG, "progress": False} | options
    config, dataset = options.pop("config"), options.pop("dataset")
    return tune(config, dataset, None, folder, n_trials=n_trials, space=space, **options)  # type: ignore[arg-type]


def without_times(result: TuneResult) -> list[TunedTrial]:
    return [replace(trial, seconds=0.0) for trial in result.trials]


def test_it_finds_the_planted_rate_and_compares_it_with_the_recipe(
    tmp_path: Path, rates: Path
) -> None:
    result = search(tmp_path / "tuned", rates)
    assert result.first.values == {"train.learning_rate": 1e-5}
    assert result.first is result.trials[0]
    assert result.best.values["train.learning_rate"] > 1e-3
    assert result.best.reached == max(trial.reached for trial in result.trials)
    assert result.gain == result.best.reached / result.first.reached - 1 > 1
    assert "trial 0" not in repr(result)
    rows = list(csv.DictReader((tmp_path / "tuned" / "trials.csv").read_text().splitlines()))
    assert [int(row["trial"]) for row in rows] == list(range(6))
    assert [float(row["ndcg@20"]) for row in rows] == [trial.reached for trial in result.trials]


@pytest.mark.slow
def test_a_pruned_trial_is_counted_and_stopped_early(tmp_path: Path, rates: Path) -> None:
    result = search(tmp_path / "tuned", rates, n_trials=9)
    pruned = [trial for trial in result.trials if trial.ended == "pruned"]
    assert len(pruned) == result.n_pruned > 0
    assert all(2 <= trial.epochs < 4 for trial in pruned)
    assert all(trial.number >= studies.N_BEFORE_PRUNING for trial in pruned)


class Interrupting(Silent):
    """Ctrl-C in the second epoch of the third training."""

    def __init__(self) -> None:
        self._n = 0

    def epoch(self, record: Record) -> None:
        self._n += 1
        if self._n == 2 * 4 + 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_search_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, rates: Path
) -> None:
    whole = search(tmp_path / "whole", rates, n_trials=10)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", rates, n_trials=10, progress=Interrupting())
    assert len((tmp_path / "cut" / "trials.csv").read_text().splitlines()) == 1 + 2
    search(tmp_path / "cut", rates, n_trials=9)
    assert without_times(search(tmp_path / "cut", rates, n_trials=10)) == without_times(whole)


@pytest.mark.slow
def test_a_trial_that_was_killed_while_it_was_kept_is_trained_again(
    tmp_path: Path, rates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(tmp_path / "whole", rates, n_trials=4)
    tell, calls = optuna.Study.tell, []

    def dying(self: optuna.Study, *given: object, **named: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tell(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(optuna.Study, "tell", dying)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", rates, n_trials=4)
    assert without_times(search(tmp_path / "cut", rates, n_trials=4)) == without_times(whole)


@pytest.mark.slow
def test_the_budget_ends_it_and_a_longer_one_goes_on(tmp_path: Path, rates: Path) -> None:
    began = time.perf_counter()
    cut = search(tmp_path / "tuned", rates, n_trials=3, budget=0.001)
    assert time.perf_counter() - began < 20
    assert [(trial.ended, trial.epochs) for trial in cut.trials] == [("budget", 1)]
    assert cut.best == cut.first
    again = search(tmp_path / "tuned", rates, n_trials=3, budget="0.001s")
    assert again.trials == cut.trials  # it is spent
    longer = search(tmp_path / "tuned", rates, n_trials=3, budget="10m")
    assert without_times(longer) == without_times(search(tmp_path / "other", rates, n_trials=3))


@pytest.mark.slow
def test_no_test_row_is_read(tmp_path: Path, rates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = cycle_dataset(60)
    events = dataset.events.copy()
    events[dataset.test.end] = (events[dataset.test.end] + 17) % dataset.n_items
    other = replace(dataset, events=events.astype(np.uint32))
    whole = DeviceEvents.rows

    def rows(self: DeviceEvents, asked: object) -> object:
        assert asked is not dataset.test, "test rows were read"
        assert asked is not other.test, "test rows were read"
        return whole(self, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(DeviceEvents, "rows", rows)
    results = [
        search(tmp_path / f"{n}", rates, n_trials=3, dataset=one)
        for n, one in enumerate((dataset, other))
    ]
    assert without_times(results[0]) == without_times(results[1])


def test_the_default_space_takes_the_teachers_lists(tmp_path: Path) -> None:
    dataset = cycle_dataset(60)
    result = tune(
        changed(CONFIG, student={"dropout": [0.1, 0.2, 0.3]}),
        dataset,
        oracle_teacher(dataset),
        tmp_path / "tuned",
        n_trials=1,
        progress=False,
    )
    assert result.student == "sasrec + dllm2rec"
    assert result.first.values == {
        "train.learning_rate": 1e-5,
        "student.dropout": 0.2,  # the middle one of the grid
        "student.hidden_size": 16,
        "train.batch_size": 128,
        "student.n_blocks": 1,
        "distillation.ranking_weight": 0.3,
    }


@pytest.mark.slow
def test_the_best_settings_train_to_what_the_search_reached(tmp_path: Path, rates: Path) -> None:
    dataset, folder = cycle_dataset(60), tmp_path / "tuned"
    config = changed(CONFIG, student={"pair_memory": False})
    result = search(folder, rates, n_trials=4, config=config)
    best = load_config(path=result.best_config)
    assert best.distillation == CONFIG.distillation  # for a run with a teacher
    run = train_run(best, dataset, None, tmp_path / "run", students="sasrec", progress=False)
    assert run.rows[-1].validation["ndcg@20"] == result.best.reached


def test_a_trial_that_diverges_is_counted_and_the_recipe_must_not(
    tmp_path: Path, rates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, diverging = tuning.fit, [1]

    def fit(training: object, progress: object) -> object:
        number = len(started)
        started.append(training)
        if number in diverging:
            raise NonFiniteError("the loss is NaN")
        return whole(training, progress)  # type: ignore[arg-type]

    started: list[object] = []
    monkeypatch.setattr(tuning, "fit", fit)
    result = search(tmp_path / "tuned", rates, n_trials=3)
    assert [trial.ended for trial in result.trials] == ["trained", "diverged", "trained"]
    assert (result.n_diverged, result.trials[1].metrics) == (1, {})
    assert result.trials[1].values != result.trials[2].values
    started, diverging = [], [0]
    with pytest.raises(NonFiniteError, match="NaN"):
        search(tmp_path / "other", rates, n_trials=3)


def test_another_search_in_the_folder_is_refused(tmp_path: Path, rates: Path) -> None:
    search(tmp_path / "tuned", rates, n_trials=1)
    with pytest.raises(ArtifactError, match="its search has other settings"):
        search(tmp_path / "tuned", rates, config=changed(CONFIG, train={"seed": 1}))
    with pytest.raises(ArtifactError, match="its search has other dataset or teacher"):
        search(tmp_path / "tuned", rates, dataset=cycle_dataset(61))
    rates.write_text(RATES.replace("1e-2", "1e-3"))
    with pytest.raises(ArtifactError, match="its search has other space"):
        search(tmp_path / "tuned", rates)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, rates: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not empty"):
        search(other, rates)
    (other / "trials.db").write_text("not a database, but long enough to be read as one" * 50)
    with pytest.raises(ArtifactError, match=r"trials\.db: not the trials of a search"):
        search(other, rates)


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2h ", 7200), (7.5, 7.5)]
)
def test_durations(given: str | float, seconds: float) -> None:
    assert parse_duration(given) == seconds


@pytest.mark.parametrize(
    "given", ["", "30", "m", "30 min", "-5m", "0s", "1e3s", "1h30m", "nan", 0, -1.0, float("inf")]
)
def test_wrong_durations(given: str | float) -> None:
    with pytest.raises(ConfigError, match="expected a time above 0 with its unit"):
        parse_duration(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing to search"),
        ("dropout = [0.1]", "expected a table"),
        ("[student]\ndropout = 0.1", "expected values to choose from"),
        ("[student]\ndropout = []", "expected values to choose from"),
        ("[student]\nfilter_heights = [[2, 3]]", "expected values to choose from"),
        ("[student]\ndropout = { low = 0.3, high = 0.1 }", "low below high"),
        ("[student]\ndropout = { low = 0.0, high = 0.1, log = true }", "above 0 with log"),
        ("[student]\ndropout = { low = 0.0, high = 1.5 }", "1.5"),
        ("[student]\ndropuot = [0.1]", "dropuot"),
        ("[train]\nseed = [1, 2]", "cannot be searched"),
        ("[evaluation]\nexclude_seen = [true, false]", "cannot be searched"),
        (
            "[train]\nweight_decay = { low = 1e-6, high = 1e-2, log = true }",
            "--set train.weight_decay=1e-06",
        ),
    ],
)
def test_wrong_spaces(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "search.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        search(tmp_path / "tuned", path)
    assert message in str(caught.value)
    assert not (tmp_path / "tuned").exists()


def test_a_space_of_values(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("[student]\nhidden_size = [32, 64, 32]\n")
    assert read_space(path) == {"student.hidden_size": OneOf((32, 64))}


def test_the_recipes_own_values_are_always_searched() -> None:
    asked = {
        "train.learning_rate": Between(1e-4, 1e-2, log=True),
        "student.dropout": Between(0.0, 0.05),
        "student.hidden_size": OneOf((32, 64)),
        "train.batch_size": OneOf((128, 256)),
    }
    assert checked_space(asked, CONFIG) == {
        "train.learning_rate": Between(1e-5, 1e-2, log=True),
        "student.dropout": Between(0.0, 0.1),
        "student.hidden_size": OneOf((32, 64, 16)),
        "train.batch_size": OneOf((128, 256)),
    }


def test_values_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("[student]\nhidden_size = [6]\nn_heads = [2, 8]\n")
    with pytest.raises(
        ConfigError, match=r"trial \d+, student.hidden_size = 6, student.n_heads = 8"
    ):
        search(
            tmp_path / "tuned", path, n_trials=12, config=changed(CONFIG, train={"max_epochs": 1})
        )


def test_without_optuna_a_hint_says_what_to_install(
    tmp_path: Path, rates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"optuna is not installed.*pip install '\.\[tune\]'"):
        search(tmp_path / "tuned", rates)


@pytest.mark.slow
def test_the_command_prints_a_line_a_trial_and_its_result(
    tmp_path: Path, rates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", "--out", str(tmp_path / "tuned")]
    command += ["--search", str(rates), "--device", "cpu", "--set", "train.max_epochs=1"]
    command += ["--set", "student.hidden_size=16"]
    assert main([*command, "--trials", "2"]) == 0
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if ", trial " in line]
    assert [line.partition(":")[0] for line in lines] == [
        "sasrec + dllm2rec, trial 0",
        "sasrec + dllm2rec, trial 1",
    ]
    assert "2 trials, 0 pruned" in shown.out
    assert "trial 0, the recipe" in shown.out
    assert main([*command, "--trials", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["trials"]) == 2
    assert load_config(path=result["best_config"]).train.max_epochs == 1
    assert main([*command, "--budget", "30"]) == 2
    assert "--budget 30: expected a time above 0" in capsys.readouterr().err
