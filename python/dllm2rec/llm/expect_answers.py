"""What may be expected of answers that are not there yet, and on what grounds.

How many rows get a list is known beforehand: those asked about, and those that `spread` reaches.
How good the lists are is only known of answers: those of a pilot, a few questions asked before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.llm.next_item import newest_first
from dllm2rec.llm.plan_questions import AGES, Plan, spread_answers
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True)
class HitRate:
    """How often a list of K items holds its row's target.

    Attributes:
        rows: how many rows it was counted on.
        rate: share of them whose list holds the target.
    """

    rows: int
    rate: float

    @property
    def error(self) -> float:
        """The standard error of the rate, sqrt(p (1 - p) / n)."""
        return math.sqrt(self.rate * (1 - self.rate) / max(self.rows, 1))


@dataclass(frozen=True)
class Expected:
    """What may be expected of the answers to a plan.

    Attributes:
        n_rows: train rows.
        asked: rows with an answer of their own.
        spread: further rows that `spread` gives a list to.
        top: items of the pilot's lists that count, or 0 without a pilot.
        pilot: hit rate of the pilot's own lists, on the rows that it was asked about.
        pilot_spread: hit rate of the lists that it spreads to, on those rows; None without any.
        popular: hit rate of the most popular items as everybody's list, on all train rows.
        expected: hit rate to expect over all train rows after `spread`, rows without a list counted
            as misses.
    """

    n_rows: int
    asked: int
    spread: int
    top: int = 0
    pilot: HitRate | None = None
    pilot_spread: HitRate | None = None
    popular: float | None = None
    expected: float | None = None

    def lines(self) -> list[str]:
        """What to tell a person, with its grounds."""
        share = f"{(self.asked + self.spread) / self.n_rows:.1%} in all"
        own = f"{self.asked:,} of {self.n_rows:,} train rows get an answer of their own"
        lines = [f"{own}, {self.spread:,} more the lists of like rows by spread: {share}"]
        if self.pilot is None:
            ask = "ask about some hundred rows of this plan, import the answers"
            unknown = f"how good the lists will be is not known: {ask}, and plan again with them"
            return [*lines, f"{unknown} as the pilot"]
        pilot, spread = self.pilot, self.pilot_spread
        rate = f"{pilot.rate:.4f} ± {pilot.error:.4f} of its {pilot.rows:,} rows"
        lines.append(f"the pilot's lists hold the target in {rate} (hr@{self.top})")
        if spread is not None:
            rate = f"{spread.rate:.4f} ± {spread.error:.4f} of {spread.rows:,} other rows"
            lines.append(f"spread from the pilot's answers alone, they hold it in {rate}")
        said = f"{self.expected:.4f}, where the most popular items have {self.popular:.4f}"
        lines.append(f"expected over all train rows, by these rates: hr@{self.top} {said}")
        return [*lines, "what a student gains from such lists is found by training alone"]


def expect_answers(
    dataset: SequenceDataset, plan: Plan, pilot: TeacherKnowledge | None = None
) -> Expected:
    """Say what may be expected of a plan's answers.

    Args:
        dataset: that the plan is for.
        plan: the rows to ask about.
        pilot: a teacher with answers for some train rows, by the model that will be asked.

    Raises:
        InputError: the pilot has no list for a train row.
    """
    n_rows, n_items = len(dataset.train), dataset.n_items
    newest = newest_first(dataset.windows(dataset.train), n_items)[:, :AGES]
    known = np.zeros(n_items + 1, np.bool_)
    known[newest[plan.rows]] = True
    known[n_items] = False  # what pads a window
    is_asked = np.zeros(n_rows, np.bool_)
    is_asked[plan.rows] = True
    n_spread = int((known[newest].any(axis=1) & ~is_asked).sum())
    counted = Expected(n_rows, len(plan.rows), n_spread)
    if pilot is None:
        return counted
    ranking = pilot.ranking
    if ranking is None or not (ranking < n_items).any():
        raise InputError("pilot: no list for a train row, expected answers for some of them")
    targets, top = dataset.targets(dataset.train), ranking.shape[1]
    answered = (ranking < n_items).any(axis=1)
    own = _rate(ranking[answered], targets[answered])
    lists, _ = spread_answers(dataset, ranking, pilot.distance)
    reached = (lists < n_items).any(axis=1) & ~answered
    spread = _rate(lists[reached], targets[reached]) if reached.any() else None
    rate = (counted.asked * own.rate + (n_spread * spread.rate if spread else 0.0)) / n_rows
    best = np.argsort(-dataset.target_counts(), kind="stable")[:top]
    popular = float(np.isin(targets, best).mean())
    return Expected(
        n_rows, counted.asked, n_spread, top, own, spread, popular=popular, expected=rate
    )


def _rate(lists: npt.NDArray[np.uint32], targets: npt.NDArray[np.uint32]) -> HitRate:
    return HitRate(len(targets), float((lists == targets[:, None]).any(axis=1).mean()))
