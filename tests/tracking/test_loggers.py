"""Trackers: what they are told is what they hold, and none is imported before it is asked for."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.errors import ConfigError, ResourceError
from dllm2rec.tracking import loggers as loggers
from dllm2rec.tracking.loggers import LOGGERS, check_logger, logging_to
from dllm2rec.tracking.metric_names import cells, markdown, named, path_of
from dllm2rec.tracking.metric_table import MetricRow, MetricTable
from dllm2rec.tracking.progress import Progress, Silent, TrainingName
from dllm2rec.train.train_run import train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16},
    distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "device": "cpu"},
)
TABLE = MetricTable(
    "cycle, test", (MetricRow("a|b", {"hr@20": 0.5}), MetricRow("c", {"ndcg@20": 0.25})), 10, 20
)


def needs(package: str) -> Any:
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"needs {package}, an extra"
    )


def trained(folder: Path, names: list[str]) -> dict[str, list[dict[str, float]]]:
    """Train with trackers; return what `metrics.jsonl` of each student holds."""
    dataset = cycle_dataset()
    with logging_to(names, folder) as kept:
        train_run(
            CONFIG, dataset, oracle_teacher(dataset), folder, students=["sasrec"], progress=kept
        )
    return {
        file.parent.name: [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for file in folder.glob("*/metrics.jsonl")
    }


# --- names ---------------------------------------------------------------------------------------


def test_figures_are_grouped_by_what_they_are() -> None:
    record = {"epoch": 3, "loss": 1.0, "loss_base": 0.5, "ndcg@20": 0.1, "train_s": 2.0}
    assert dict(named(record)) == {
        "loss/total": 1.0,
        "loss/base": 0.5,
        "validation/ndcg@20": 0.1,
        "speed/train_s": 2.0,
    }


def test_a_training_is_a_path() -> None:
    assert path_of(TrainingName("sasrec + dllm2rec", 0.3, 1)) == "sasrec+dllm2rec/weight-0.3/seed-1"
    assert path_of(TrainingName("sasrec")) == "sasrec"


def test_a_table_has_every_metric_and_its_bars_do_not_cut_it() -> None:
    assert cells(TABLE) == (["name", "hr@20", "ndcg@20"], [["a|b", 0.5, None], ["c", None, 0.25]])
    assert markdown(TABLE).splitlines()[-2:] == [
        "| a\\|b | 0.5000 | - |",
        "| c | - | 0.2500 |",
    ]


# --- asked for, or not ---------------------------------------------------------------------------


def test_the_trackers_of_the_command_line_are_those_there_are() -> None:
    from dllm2rec.cli.options import Tracker

    assert tuple(Tracker) == LOGGERS


@pytest.mark.parametrize("name", LOGGERS)
def test_a_missing_package_is_told_with_what_to_install_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda _: None)
    assert main(["train", "--log", name]) == 2
    assert f"pip install {name}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of tensorboard, wandb, mlflow"):
        check_logger("neptune")


@pytest.mark.slow
def test_nothing_is_imported_before_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys; from dllm2rec.tracking.loggers import logging_to; from pathlib import Path\n"
        f"with logging_to([], Path({str(tmp_path)!r})): pass\n"
        "import dllm2rec.cli.commands.train, dllm2rec.train.train_run\n"
        "print({'tensorboard', 'wandb', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- a tracker that fails ------------------------------------------------------------------------


class Failing(Silent):
    """Raises when it is told of `what`."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.n_told = 0
        self.closed = False

    def run(self, settings: Mapping[str, Any]) -> None:
        self._told("run")

    def epoch(self, record: Mapping[str, float]) -> None:
        self._told("epoch")

    def close(self) -> None:
        self.closed = True

    def _told(self, what: str) -> None:
        self.n_told += 1
        if what == self.what:
            raise RuntimeError(f"{what} is\ntoo much")


def opened(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "_open", lambda name, folder: failing)
    monkeypatch.setattr(loggers, "check_logger", lambda name: None)


def test_a_tracker_that_cannot_begin_ends_the_run_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing("run")
    opened(failing, monkeypatch)
    with pytest.raises(ResourceError, match="--log wandb: RuntimeError run is, expected"):
        trained(tmp_path / "run", ["wandb"])
    assert not list((tmp_path / "run").glob("*/metrics.jsonl"))
    assert failing.closed


@pytest.mark.slow
def test_a_tracker_that_fails_later_is_named_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing("epoch")
    opened(failing, monkeypatch)
    with caplog.at_level(logging.WARNING):
        records = trained(tmp_path / "run", ["wandb"])
    assert sorted(map(len, records.values())) == [2, 4]
    (warning,) = [r.getMessage() for r in caplog.records if "--log" in r.getMessage()]
    assert warning.startswith("--log wandb stopped: RuntimeError epoch is; the run goes on")
    assert failing.n_told == 2  # the run, and the epoch that failed


# --- the trackers themselves ---------------------------------------------------------------------


@pytest.mark.slow
@needs("tensorboard")
def test_tensorboard_holds_every_figure_of_every_epoch(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = trained(tmp_path / "run", ["tensorboard", "tensorboard"])
    root = tmp_path / "run" / "tensorboard"
    for student, lines in records.items():
        weights = list(dict.fromkeys(line["ranking_weight"] for line in lines))
        for weight in weights:
            place = root / student / f"weight-{weight:g}" if len(weights) > 1 else root / student
            events = EventAccumulator(str(place))
            events.Reload()
            mine = [line for line in lines if line["ranking_weight"] == weight]
            for key in ("ndcg@20", "loss", "rows_per_s"):
                (tag,) = [tag for tag, _ in named({key: 0.0})]
                locked = [(event.step, event.value) for event in events.Scalars(tag)]
                assert locked == [(m["epoch"], pytest.approx(m[key], rel=1e-6)) for m in mine]
    whole = EventAccumulator(str(root))
    whole.Reload()
    texts = {
        tag: whole.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in ("settings/text_summary", "test/text_summary")
    }
    assert '"max_epochs": 2' in texts["settings/text_summary"]
    assert "| sasrec + dllm2rec |" in texts["test/text_summary"]


@needs("tensorboard")
def test_tensorboard_drops_the_epochs_that_a_resumed_training_repeats(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first in (1, 2):
        # TensorBoard orders files by the second that is in their names, as two processes have it.
        time.sleep(1.1 if first == 2 else 0.0)
        with logging_to(["tensorboard"], tmp_path) as kept:
            kept.start(TrainingName("sasrec"), 3)
            for epoch in range(first, 4):
                kept.epoch({"epoch": epoch, "loss": float(10 * first + epoch)})
            kept.finish("")
    events = EventAccumulator(str(tmp_path / "tensorboard" / "sasrec"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/total")] == [(1, 11), (2, 22), (3, 23)]


def in_a_process(name: str, folder: Path, environment: dict[str, str]) -> None:
    """Train there with a tracker: its warnings and threads are its own."""
    code = (
        "from pathlib import Path; from tests.tracking.test_loggers import trained; "
        f"trained(Path({str(folder)!r}), [{name!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder.parent,
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stopped" not in done.stderr


@needs("wandb")
@pytest.mark.slow
def test_wandb_offline_holds_a_run_for_each_training_and_one_for_all(tmp_path: Path) -> None:
    in_a_process("wandb", tmp_path / "run", {"WANDB_MODE": "offline"})
    locked = [file.read_bytes() for file in (tmp_path / "run" / "wandb").rglob("*.wandb")]
    assert len(locked) == 4  # sasrec, sasrec + dllm2rec with two weights, and the whole
    for word in (b"sasrec + dllm2rec (ranking weight 0.3)", b"validation/ndcg@20"):
        assert any(word in one for one in locked)
    (table,) = (tmp_path / "run" / "wandb").rglob("test_*.table.json")
    names = [row[0] for row in json.loads(table.read_text("utf-8"))["data"]]
    assert names[-2:] == ["sasrec", "sasrec + dllm2rec"]


@needs("mlflow")
@pytest.mark.slow
def test_mlflow_holds_a_child_run_for_each_training(tmp_path: Path) -> None:
    # The store of plain files: small to make, and read here without their package.
    store = tmp_path / "mlruns"
    environment = {
        "MLFLOW_TRACKING_URI": store.as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_EXPERIMENT_NAME": "cycle",
    }
    in_a_process("mlflow", tmp_path / "run", environment)
    runs = [file.parent.parent for file in store.glob("*/*/tags/mlflow.runName")]
    assert len(runs) == 4
    assert all("status: 3\n" in (run / "meta.yaml").read_text("utf-8") for run in runs)  # finished
    (parent,) = [run for run in runs if not (run / "tags" / "mlflow.parentRunId").exists()]
    assert (parent / "tags" / "mlflow.runName").read_text("utf-8") == "run"
    assert (parent / "params" / "config.train.max_epochs").read_text("utf-8") == "2"
    assert (parent / "metrics" / "sasrec with dllm2rec" / "ndcg_20").is_file()
    assert "| sasrec + dllm2rec |" in (parent / "artifacts" / "test.md").read_text("utf-8")
    lines = (tmp_path / "run" / "sasrec+dllm2rec" / "metrics.jsonl").read_text("utf-8").splitlines()
    weighted = [r for r in map(json.loads, lines) if r["ranking_weight"] == 0.3]
    (child,) = [run for run in runs if read(run / "params" / "ranking_weight") == "0.3"]
    assert read(child / "tags" / "mlflow.parentRunId") == parent.name
    history = read(child / "metrics" / "validation" / "ndcg_20").splitlines()
    assert [(float(line.split()[2]), float(line.split()[1])) for line in history] == [
        (r["epoch"], pytest.approx(r["ndcg@20"])) for r in weighted
    ]


def read(file: Path) -> str:
    return file.read_text("utf-8") if file.is_file() else ""


def test_every_logger_is_a_progress() -> None:
    silent: Progress = Silent()
    assert silent.results(TABLE) is None  # type: ignore[func-returns-value]
