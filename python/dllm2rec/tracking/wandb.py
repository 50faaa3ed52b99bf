"""A run in Weights & Biases: a group with one of their runs for each training, and one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from dllm2rec.tracking.metric_names import cells, named
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Record, Silent, TrainingName

PROJECT = "dllm2rec"


class WeightsAndBiases(Silent):
    """Logs as `WANDB_MODE`, `WANDB_PROJECT` and the login say; local files lie in the run's folder.

    Their run that has the run's name holds the settings and the table.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._settings: dict[str, Any] = {}
        self._whole: Any = None
        self._training: Any = None

    def run(self, settings: Mapping[str, Any]) -> None:
        """Begin what holds the settings and the table."""
        self._settings = dict(settings)
        self._whole = self._begin(self._folder.name, "run", self._settings)

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Begin a training."""
        details = {
            "student": training.student,
            "dropout": training.dropout,
            "ranking_weight": training.ranking_weight,
        }
        seed = self._settings.get("seed") if training.seed is None else training.seed
        config = {**self._settings, **details, "seed": seed}
        self._training = self._begin(str(training), "training", config)
        self._training.define_metric("*", step_metric="epoch")

    def batch(self, done: int, total: int, loss: float) -> None:
        """Log nothing: an epoch's means say more."""

    def epoch(self, record: Record) -> None:
        """Log every figure of the epoch."""
        self._training.log({"epoch": round(record["epoch"]), **dict(named(record))})

    def finish(self, summary: str) -> None:
        """End the training."""
        self._training.finish()
        self._training = None

    def remark(self, training: TrainingName, text: str) -> None:
        """Log nothing: the row of the results says what came of it."""

    def results(self, table: MetricTable) -> None:
        """Log the table, and each of its figures as a summary."""
        columns, rows = cells(table)
        self._whole.log({"test": wandb.Table(columns=columns, data=rows)})
        for row in table.rows:
            self._whole.summary.update({f"{row.name}/{k}": v for k, v in row.metrics.items()})
        self._whole.finish()
        self._whole = None

    def close(self) -> None:
        """End what is open as failed."""
        for one in (self._training, self._whole):
            if one is not None:
                one.finish(exit_code=1)
        self._training = self._whole = None

    def _begin(self, name: str, kind: str, config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - untyped
        self._folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=wandb.setup().settings.project or PROJECT,
            group=self._folder.name,
            job_type=kind,
            name=name,
            config=dict(config),
            dir=self._folder,
            reinit="create_new",  # the run's own stays open beside those of its trainings
            settings=wandb.Settings(silent=True, console="off"),
        )
