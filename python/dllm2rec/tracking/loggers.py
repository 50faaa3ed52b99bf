"""Trackers by name: checked and opened before any work, closed whatever happens."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from dllm2rec.caller import one_or_more
from dllm2rec.errors import ConfigError, ResourceError
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Progress, ProgressGroup, Record, Silent, TrainingName

# Also the names of the packages, and of the extras that bring them.
LOGGERS = ("tensorboard", "wandb", "mlflow")

_log = logging.getLogger(__name__)


class Logger(Progress, Protocol):
    """A `Progress` that holds something open."""

    def close(self) -> None:
        """End what is open, as failed unless the run's results came."""


@contextmanager
def logging_to(names: str | Sequence[str], folder: str | Path) -> Iterator[Progress]:
    """Keep a run with trackers as long as the block runs.

    A tracker that fails when the run begins ends it before any work. One that fails later is named
    in a warning and left out from then on: a training is worth more than its copy, and
    `metrics.jsonl` has every epoch.

    Args:
        names: of `LOGGERS`, one or several; each counts once.
        folder: the run's; TensorBoard and W&B write below it.

    Raises:
        ConfigError: there is no such tracker, or its package is not installed.
    """
    names = one_or_more(names, str)
    folder = Path(folder)
    for name in names:
        check_logger(name)
    try:
        loggers = [_GuardedLogger(name, _open(name, folder)) for name in dict.fromkeys(names)]
    except ImportError as err:
        raise ConfigError(f"--log: {_reason(err)}, expected packages that can be imported") from err
    try:
        yield ProgressGroup(loggers)
    finally:
        for one in loggers:
            one.close()


def check_logger(name: str) -> None:
    """Refuse a tracker that cannot be used; nothing is imported.

    Raises:
        ConfigError: there is no such tracker, or its package is not installed.
    """
    if name not in LOGGERS:
        raise ConfigError(f"--log {name}: expected one of {', '.join(LOGGERS)}")
    if importlib.util.find_spec(name) is None:
        raise ConfigError(
            f"--log {name}: the package {name} is not installed, expected it; pip install {name}"
        )


def _open(name: str, folder: Path) -> Logger:
    # Each is imported when it is asked for: they bring seconds and hundreds of modules.
    if name == "tensorboard":
        from dllm2rec.tracking.tensorboard import TensorBoard

        return TensorBoard(folder / "tensorboard")
    if name == "wandb":
        from dllm2rec.tracking.wandb import WeightsAndBiases

        return WeightsAndBiases(folder)
    from dllm2rec.tracking.mlflow import MLflow

    return MLflow(folder.name)


class _GuardedLogger(Silent):
    """A logger whose failure ends the run at its beginning, and only itself later."""

    def __init__(self, name: str, logger: Logger) -> None:
        self._name = name
        self._logger: Logger | None = logger

    def run(self, settings: Mapping[str, Any]) -> None:
        if self._logger is None:
            return
        try:
            self._logger.run(settings)
        except Exception as err:
            raise ResourceError(
                f"--log {self._name}: {_reason(err)}, expected it to accept a run; fix that, or "
                "leave the option out"
            ) from err

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        self._tell(lambda logger: logger.start(training, n_epochs, records))

    def batch(self, done: int, total: int, loss: float) -> None:
        self._tell(lambda logger: logger.batch(done, total, loss))

    def epoch(self, record: Record) -> None:
        self._tell(lambda logger: logger.epoch(record))

    def finish(self, summary: str) -> None:
        self._tell(lambda logger: logger.finish(summary))

    def remark(self, training: TrainingName, text: str) -> None:
        self._tell(lambda logger: logger.remark(training, text))

    def results(self, table: MetricTable) -> None:
        self._tell(lambda logger: logger.results(table))

    def close(self) -> None:
        self._tell(lambda logger: logger.close())

    def _tell(self, what: Callable[[Logger], None]) -> None:
        if self._logger is None:
            return
        try:
            what(self._logger)
        except Exception as err:  # noqa: BLE001 - whatever a tracker raises, the training goes on
            self._logger = None
            _log.warning(
                "--log %s stopped: %s; the run goes on, and metrics.jsonl holds every epoch",
                self._name,
                _reason(err),
            )


def _reason(err: Exception) -> str:
    lines = str(err).strip().splitlines() or [""]
    return f"{type(err).__name__} {lines[0][:200]}".strip()
