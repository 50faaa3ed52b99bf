"""What one student of a run will cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StudentPlan:
    """One student, without or with the teacher.

    Attributes:
        name: as the run's table calls it.
        dropouts, ranking_weights: the grid.
        refit: whether the chosen training is done again on validation rows too.
        parameters: how many are trained, by part.
        memory: bytes at the peak, by part, of the ranking weight that needs most: on a GPU those of
            its tensors, on the CPU those of the process. What stays is counted, the rest is
            measured; where it does not fit, it is what could be counted.
        fits: whether the device has as much free; where it has not, nothing was timed.
        checkpoint_bytes: the weights of one checkpoint.
        state_bytes: what it takes to resume a training, 0 where it does not fit.
        steps_per_epoch: batches.
        train_s: seconds for the steps of an epoch, of the slowest ranking weight.
        validation_s: seconds of its validation pass.
        seconds: all trainings to their last epoch, each epoch saved, and the test rows once.
    """

    name: str
    dropouts: tuple[float, ...]
    ranking_weights: tuple[float, ...]
    refit: bool
    parameters: dict[str, int]
    memory: dict[str, int]
    fits: bool
    checkpoint_bytes: int
    state_bytes: int
    steps_per_epoch: int
    train_s: float | None
    validation_s: float | None
    seconds: float | None

    @property
    def n_trainings(self) -> int:
        """The most trainings of one seed."""
        return len(self.dropouts) + len(self.ranking_weights) - 1 + self.refit

    @property
    def n_parameters(self) -> int:
        """All parts."""
        return sum(self.parameters.values())

    @property
    def memory_bytes(self) -> int:
        """All parts."""
        return sum(self.memory.values())
