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

    Each dropout is tried with the middle ranking weight, then each other weight with the dropout
    that was best: d + w - 1 trainings for d dropouts and w weights.

    Args:
        config: with one value of each, or several.
        records: of all epochs so far, each with the fields of its trial; they grow meanwhile.
    """
    dropouts, weights = config.student.dropouts, config.distillation.ranking_weights
    tried: list[Trial] = []
    if len(dropouts) > 1:
        middle = weights[len(weights) // 2]
        tried = [Trial(dropout, middle) for dropout in dropouts]
        yield from tried
    best = dropouts[0]
    if tried:
        best = max(records, key=lambda record: record[SELECTION])["dropout"]
    for weight in weights:
        trial = Trial(best, weight)
        if trial not in tried:
            yield trial


def n_trials(config: Config) -> int:
    """How many trainings `trials` gives."""
    return len(config.student.dropouts) + len(config.distillation.ranking_weights) - 1
