"""One update of a student whose items lie in several processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dllm2rec.distill.sharded.objective import ShardedObjective
from dllm2rec.runtime.distributed import average_gradients
from dllm2rec.students.sharded import replicated
from dllm2rec.train.step import Stepper


class ShardedStepper(Stepper):
    """As `Stepper`: every process reads all rows of a batch and updates its own items."""

    def _eager(self, rows: Tensor) -> None:
        objective = self.objective
        assert isinstance(objective, ShardedObjective)  # noqa: S101 - for mypy
        batch = self.rows.batch(rows, self.negatives)
        gradients, terms = objective.gradients(self.student, self.parameters, batch)
        self.optimizer.update(self._summed(gradients), terms, self.guard, self.loss_sum)

    def _summed(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Add up the gradients of the weights that all processes hold."""
        shared = {id(weight) for weight in replicated(self.student)}
        numbers = [n for n, weight in enumerate(self.parameters) if id(weight) in shared]
        whole, _ = average_gradients(
            [self.parameters[n] for n in numbers],
            [gradients[n] for n in numbers],
            self.loss_sum.new_zeros(0, 0),
        )
        result = list(gradients)
        for number, gradient in zip(numbers, whole, strict=True):
            result[number] = gradient
        return result

    def prepare(self, batch_size: int, seed: int) -> None:
        """Nothing is recorded: a step's collectives are called one by one."""
        del batch_size
        torch.manual_seed(seed)
