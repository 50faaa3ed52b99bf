"""Figures of a run beside those of the run that its card is of, and what else is not the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dllm2rec.config.model import Config
from dllm2rec.runs.run_card import RunCard
from dllm2rec.runs.run_manifest import environment
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runtime.device import choose_device
from dllm2rec.runtime.hardware import this_hardware

# Another processor sums in another order, and a training carries that far: 3 to 7 % were seen.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Figure:
    """One metric of one row of the table, before and now; None where one run lacks it."""

    row: str
    split: str
    metric: str
    before: float | None
    now: float | None

    def difference(self) -> float:
        """Relative to the figure before; infinite where one is missing or only one is 0."""
        if self.before == self.now:
            return 0.0
        if not self.before or self.now is None:
            return float("inf")
        return abs(self.now / self.before - 1)


@dataclass(frozen=True)
class Reproduction:
    """What became of training a run again.

    Attributes:
        folder: of the new run.
        figures: every metric of validation and test, in the order of the table.
        differences: what is not as it was: versions, device, machine; empty where all of it is.
        tolerance: how far a figure may be off, relative: 0 where nothing differs, unless given.
    """

    folder: str
    figures: tuple[Figure, ...]
    differences: tuple[str, ...]
    tolerance: float

    @property
    def off(self) -> tuple[Figure, ...]:
        """The figures that are further off than allowed."""
        return tuple(one for one in self.figures if one.difference() > self.tolerance)

    @property
    def matches(self) -> bool:
        """Whether every figure is within the tolerance."""
        return not self.off

    def sentence(self) -> str:
        """The verdict."""
        n = len(self.figures)
        same = sum(one.difference() == 0 for one in self.figures)
        if same == n:
            return f"all {n} figures are the same to the last digit"
        worst = max(self.figures, key=Figure.difference)
        text = (
            f"{same} of {n} figures are the same to the last digit; the furthest, {worst.metric} "
            f"of {worst.row} on {worst.split}, is off by {100 * worst.difference():.2g} %"
        )
        if self.tolerance == 0:
            return f"{text}: expected the same on the same machine and versions"
        return f"{text}: {len(self.off)} beyond the {100 * self.tolerance:g} % allowed"

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            **asdict(self),
            "figures": [asdict(one) for one in self.figures],
            "matches": self.matches,
            "sentence": self.sentence(),
        }


def differences(card: RunCard, config: Config) -> Iterator[str]:
    """What is not as it was, a phrase each."""
    now = environment(choose_device(config.train.device))
    for name, value in now.items():
        before = getattr(card.run, name)
        if name == "versions":
            for package in sorted({*before, *value}):
                if before.get(package) != value.get(package):
                    yield f"{package} {before.get(package)} -> {value.get(package)}"
        elif before != value:
            yield f"{name} {before} -> {value}"
    hardware = this_hardware()
    if card.run.hardware is not None:
        for name in ("cpu", "cuda"):
            was, is_now = getattr(card.run.hardware, name), getattr(hardware, name)
            if was != is_now:
                yield f"{name} {was} -> {is_now}"


def figures(before: RunResult, now: RunResult) -> Iterator[Figure]:
    """Every metric that either run has, in the order of the table before."""
    olds, news = ({row.name: row for row in result.rows} for result in (before, now))
    for name in [*olds, *(name for name in news if name not in olds)]:
        for split in ("validation", "test"):
            old = _metrics(olds, name, split)
            new = _metrics(news, name, split)
            for key in dict.fromkeys([*old, *new]):
                yield Figure(name, split, key, old.get(key), new.get(key))


def _metrics(rows: Mapping[str, Any], name: str, split: str) -> Mapping[str, float]:
    found: Mapping[str, float] = getattr(rows[name], split) if name in rows else {}
    return found
