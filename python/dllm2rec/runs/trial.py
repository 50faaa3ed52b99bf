"""Which of a student's trainings a record or a state belongs to: the values that a grid varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.tracking.metric_names import SELECTION


class Trial(NamedTuple):
    """The values of one training; its epochs' records hold both."""

    dropout: float
    ranking_weight: float

    def __str__(self) -> str:
        """As folders are named: `dropout-0.3-weight-0.5`."""
        return f"dropout-{self.dropout:g}-weight-{self.ranking_weight:g}"

    def config(self, grid: Config) -> Config:
        """The configuration of this training alone."""
        return changed(
            grid,
            student={"dropout": self.dropout},
            distillation={"ranking_weight": self.ranking_weight},
        )

    def is_of(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is one of this training's epochs."""
        return self == tuple(record[field] for field in self._fields)


def trial_of(config: Config) -> Trial:
    """The trial of a configuration that has one value of each."""
    (dropout,) = config.student.dropouts
    (weight,) = config.distillation.ranking_weights
    return Trial(dropout, weight)


def trials(config: Config, records: Sequence[Mapping[str, float]]) -> Iterator[Trial]:
    """Give the trainings of a grid, each once, in the order in which they run.

    With the middle ranking weight the middle dropout is tried, then the next higher ones while
    validation gains, or else the next lower ones; then each other weight with the best dropout. So
    a dropout at the edge of the grid is chosen only where all the way there was a gain.

    Args:
        config: with one value of each, or several.
        records: of all epochs so far, each with the fields of its trial; they grow meanwhile.
    """
    dropouts, weights = config.student.dropouts, config.distillation.ranking_weights
    best = dropouts[0]
    tried: list[Trial] = []
    if len(dropouts) > 1:
        for trial in _climb([Trial(one, weights[len(weights) // 2]) for one in dropouts], records):
            tried.append(trial)
            yield trial
        best = max(tried, key=lambda trial: _reached(trial, records)).dropout
    for weight in weights:
        trial = Trial(best, weight)
        if trial not in tried:
            yield trial


def most_trials(config: Config) -> int:
    """How many trainings `trials` gives at most."""
    n_dropouts = len(config.student.dropouts)
    n_weights = len(config.distillation.ranking_weights)
    return n_weights if n_dropouts == 1 else n_dropouts + n_weights - 1


def _climb(line: Sequence[Trial], records: Sequence[Mapping[str, float]]) -> Iterator[Trial]:
    """Walk from the middle of a line, up or else down, while each step is better."""
    best = middle = len(line) // 2
    yield line[middle]
    for step in (1, -1):
        while best == middle or (best > middle) == (step > 0):
            at = best + step
            if not 0 <= at < len(line):
                break
            yield line[at]
            if _reached(line[at], records) <= _reached(line[best], records):
                break
            best = at


def _reached(trial: Trial, records: Sequence[Mapping[str, float]]) -> float:
    """The best validation of a training that is done."""
    return max(record[SELECTION] for record in records if trial.is_of(record))
