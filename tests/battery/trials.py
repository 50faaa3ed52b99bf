"""Trials of the battery: each has a generator of its own, so that any of them can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pytest


@dataclass
class Trials:
    """How many trials a test makes, and with what chance.

    Attributes:
        node: the test.
        share: the share of the full counts.
        seed: the seed of all trials.
        only: the one trial to make, if it is to be repeated.
        now: the trial under way.
    """

    node: str
    share: float
    seed: int
    only: int | None
    now: int | None = field(default=None, init=False)

    def count(self, full: int) -> int:
        """How many of `full` trials are made."""
        return max(1, round(full * self.share))

    def of(self, full: int) -> Iterator[random.Random]:
        """A generator of random numbers for each trial."""
        numbers = range(self.count(full)) if self.only is None else [self.only]
        for number in numbers:
            self.now = number
            yield random.Random(f"{self.node} {self.seed} {number}")

    def repeat(self) -> str:
        """The command that makes the failed trial again."""
        words = f"python -m pytest '{self.node}' --battery {self.share:g}"
        words += f" --battery-seed {self.seed}"
        return words if self.now is None else f"{words} --battery-trial {self.now}"


class Tell(Protocol):
    """Keep what a test counted as a figure of the page."""

    def __call__(self, counts: Mapping[str, float], kind: str = "", name: str = "") -> None:
        """Tell it.

        Args:
            counts: how many, by what was counted. Whole numbers are added up over tests; of floats
                the page shows the greatest.
            kind: what the test was made of each of, in the plural.
            name: which of these it was.
        """


def trials_of(request: pytest.FixtureRequest) -> Trials:
    """The trials that the command line asks of a test."""
    option = request.config.getoption
    node = request.node.nodeid
    return Trials(node, option("battery"), option("battery_seed"), option("battery_trial"))
