"""What changes from update to update: the learning rate, and how slowly an average follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dllm2rec.config.model import TrainConfig


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each update: a linear warm-up, then constant or half a cosine to 0."""

    learning_rate: float
    warmup_steps: int
    cosine_steps: int  # all updates of the training; 0 for a constant rate

    @classmethod
    def of(cls, config: TrainConfig, n_rows: int) -> Schedule:
        """The schedule of a training on `n_rows` rows."""
        n_steps = config.max_epochs * -(-n_rows // config.batch_size)
        steps = n_steps if config.schedule == "cosine" else 0
        return cls(config.learning_rate, config.warmup_steps, steps)

    def at(self, step: int) -> float:
        """The rate of update `step`, counted from 0."""
        rate = self.learning_rate
        if self.warmup_steps:
            rate *= min(1.0, (step + 1) / self.warmup_steps)
        if self.cosine_steps:
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.cosine_steps)))
        return rate


def average_decay(decay: float, step: int) -> float:
    """The decay of the average at update `step`: lower at first, when it has seen few updates."""
    return min(decay, (1 + step) / (10 + step))
