"""A run in MLflow: a parent run with one child for each training."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from dllm2rec.tracking.metric_names import cells, markdown, named
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Record, Silent, TrainingName

EXPERIMENT = "dllm2rec"


class MLflow(Silent):
    """Logs where `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME` say, else to MLflow's default.

    A client of its own: what the process does with MLflow's active run is left alone.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._client: Any = None
        self._experiment = ""
        self._parent = ""
        self._child = ""

    def run(self, settings: Mapping[str, Any]) -> None:
        """Begin the parent run; the settings are its parameters, and a file."""
        self._client = MlflowClient()
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self._client.get_experiment_by_name(wanted)
        self._experiment = (
            self._client.create_experiment(wanted) if known is None else known.experiment_id
        )
        run = self._client.create_run(self._experiment, run_name=self._name)
        self._parent = run.info.run_id
        parameters = [Param(key, str(value)) for key, value in flat(settings)]
        self._client.log_batch(self._parent, params=parameters)
        self._client.log_text(self._parent, json.dumps(settings, indent=1), "run.json")

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Begin a child run."""
        run = self._client.create_run(
            self._experiment,
            run_name=str(training),
            tags={"mlflow.parentRunId": self._parent},
        )
        self._child = run.info.run_id
        details = {
            "dropout": training.dropout,
            "ranking_weight": training.ranking_weight,
            "seed": training.seed,
        }
        parameters = [Param(key, str(value)) for key, value in details.items() if value is not None]
        parameters.append(Param("student", training.student))
        self._client.log_batch(self._child, params=parameters)

    def batch(self, done: int, total: int, loss: float) -> None:
        """Log nothing: an epoch's means say more."""

    def epoch(self, record: Record) -> None:
        """Log every figure of the epoch."""
        now, epoch = round(time.time() * 1000), round(record["epoch"])
        metrics = [Metric(allowed(tag), value, now, epoch) for tag, value in named(record)]
        self._client.log_batch(self._child, metrics=metrics)

    def finish(self, summary: str) -> None:
        """End the child run."""
        self._client.set_terminated(self._child)
        self._child = ""

    def remark(self, training: TrainingName, text: str) -> None:
        """Log nothing: the row of the results says what came of it."""

    def results(self, table: MetricTable) -> None:
        """Log the table as a file, and each of its figures as a metric of the parent run."""
        columns, rows = cells(table)
        now = round(time.time() * 1000)
        metrics = [
            Metric(allowed(f"{row[0]}/{key}"), value, now, 0)
            for row in rows
            for key, value in zip(columns[1:], row[1:], strict=True)
            if isinstance(value, float)
        ]
        self._client.log_batch(self._parent, metrics=metrics)
        self._client.log_text(self._parent, markdown(table), "test.md")
        self._client.set_terminated(self._parent)
        self._parent = ""

    def close(self) -> None:
        """End what is open as failed."""
        for run_id in (self._child, self._parent):
            if run_id:
                self._client.set_terminated(run_id, status="FAILED")
        self._child = self._parent = ""


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as `config.train.seed`, value."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def allowed(tag: str) -> str:
    """A tag as MLflow takes it: `validation/ndcg_20`."""
    return tag.replace("@", "_").replace("+", "with").replace(",", "")
