"""Scorers of several runs and files brought together, where these are of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer

UNTRAINED = ("popularity", "window counts")


@dataclass(frozen=True, eq=False)
class Contender:
    """A scorer with all its seeds.

    Attributes:
        name: what tables call it; with the source, where two sources have it.
        trainings: one scorer for each seed; one alone for what is not trained.
        source: the first that it was in.
    """

    name: str
    trainings: tuple[Scorer, ...]
    source: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its trainings; empty for what is not trained."""
        return tuple(one.seed for one in self.trainings if one.seed is not None)

    @property
    def depth(self) -> int | None:
        """How many places are known of explicit lists."""
        return self.trainings[0].depth


@dataclass
class _Group:
    """Trainings that are seeds of one scorer, while they are found."""

    name: str
    settings: str
    source: str
    trainings: list[Scorer] = field(default_factory=list)

    def takes(self, scorer: Scorer) -> bool:
        """Put a scorer in, if it is one more seed of these, or one of them again."""
        if (scorer.name, scorer.settings) != (self.name, self.settings):
            return False
        twin = next((one for one in self.trainings if one.seed == scorer.seed), None)
        if twin is not None:
            return _is_same(twin.counts, scorer.counts) and twin.depth == scorer.depth
        if scorer.seed is None or not scorer.settings:
            return False  # whether it is the same scorer is not known
        self.trainings.append(scorer)
        return True


def _is_same(one: RankCounts, other: RankCounts) -> bool:
    return np.array_equal(one.greater, other.greater) and np.array_equal(one.equal, other.equal)


def check_same_rows(sources: Iterable[tuple[str, RowsIdentity]]) -> RowsIdentity:
    """Return what all sources have in common.

    Raises:
        InputError: two of them ranked different rows, or among different candidates; both are
            named, with what differs.
    """
    (first, identity), *others = sources
    for source, other in others:
        differing = _difference(identity, other)
        if differing:
            what, one, two = differing
            raise InputError(
                f"{first}: {one}, {source}: {two}, expected the same {what}: figures of different "
                f"{what} cannot be compared"
            )
    return identity


def _difference(one: RowsIdentity, other: RowsIdentity) -> tuple[str, str, str] | None:
    """What differs, and what it is in both."""
    texts: dict[str, Callable[[RowsIdentity], str]] = {
        "split": lambda x: f"{x.split} rows",
        "catalogue": lambda x: f"{x.n_items:,} items ({x.catalogue[:8]})",
        "rows": lambda x: f"{x.n_rows:,} {x.split} rows of {x.dataset} ({x.rows[:8]})",
        "exclude_seen": lambda x: f"seen items {'' if x.exclude_seen else 'not '}masked",
    }
    for name, text in texts.items():
        if getattr(one, name) != getattr(other, name):
            return "candidates" if name == "exclude_seen" else name, text(one), text(other)
    return None


def contenders(sources: Sequence[tuple[str, ScoredRows]]) -> list[Contender]:
    """Bring the scorers of all sources together.

    Trainings of one name and the same settings are seeds of one scorer, from whichever source;
    what is the same in two sources counts once. Where two scorers have one name, each is called by
    its source as well.

    Args:
        sources: what each is called, and what it holds; of the same rows.
    """
    groups: list[_Group] = []
    for source, scored in sources:
        for scorer in scored.scorers:
            if not any(group.takes(scorer) for group in groups):
                groups.append(_Group(scorer.name, scorer.settings, source, [scorer]))
    names = [group.name for group in groups]
    short = short_names([source for source, _ in sources])
    found = []
    for group in groups:
        is_alone = names.count(group.name) == 1
        name = group.name if is_alone else f"{group.name} ({short[group.source]})"
        found.append(Contender(name, tuple(group.trainings), group.source))
    return found


def short_names(sources: Sequence[str]) -> dict[str, str]:
    """The last part of each path, but the whole path where two end alike."""
    last = [Path(source).stem for source in sources]
    return {
        source: name if last.count(name) == 1 else source
        for source, name in zip(sources, last, strict=True)
    }
