"""What a long task tells whoever watches: the command line draws it, a library call is silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Told how a named task goes. A task is one training: `start`, then batches and epochs."""

    def start(self, name: str, n_epochs: int) -> None:
        """Begin the task `name`, of at most `n_epochs` epochs."""

    def batch(self, done: int, total: int, loss: float) -> None:
        """Report that `done` of this epoch's `total` batches are done, `loss` the newest known."""

    def epoch(self, record: Mapping[str, float]) -> None:
        """Report an epoch: its number (`epoch`, from 1), losses and validation metrics."""

    def finish(self, summary: str) -> None:
        """End the task with one line."""


class Silent:
    """A `Progress` that says nothing."""

    def start(self, name: str, n_epochs: int) -> None:
        """Say nothing."""

    def batch(self, done: int, total: int, loss: float) -> None:
        """Say nothing."""

    def epoch(self, record: Mapping[str, float]) -> None:
        """Say nothing."""

    def finish(self, summary: str) -> None:
        """Say nothing."""
