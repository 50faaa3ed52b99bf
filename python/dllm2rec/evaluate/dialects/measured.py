"""Scorers whose targets are placed: a table of their metrics in any dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.dialects.formulas import DIALECTS, DIFFERENCES, dialect_metrics
from dllm2rec.evaluate.many_targets import RelevantCounts, relevance_metrics
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import ScoredRows
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

NO_BASELINES = "no baselines: they have one target a row and all items as candidates"

_BEYOND = 1 << 40  # the place of what is not listed: beyond every K


@dataclass(frozen=True, eq=False)
class MeasuredScorer:
    """A scorer and where the targets stand by it.

    Attributes:
        name: as tables call it.
        counts: of each case's targets.
        lengths: places of each list, int64 (n_cases,); None where all items are ranked.
        depth: how many places are known of every list; a larger K has no metrics. None: all.
        has_ties: whether scores order the items.
    """

    name: str
    counts: RelevantCounts
    lengths: npt.NDArray[np.int64] | None = None
    depth: int | None = None
    has_ties: bool = True

    @classmethod
    def of_rows(cls, name: str, counts: RankCounts, depth: int | None = None) -> MeasuredScorer:
        """One of single targets, whose misses stand at `depth`, where there is one."""
        greater = counts.greater
        if depth is not None:
            greater = np.where(greater >= depth, _BEYOND, greater)
        found = RelevantCounts(np.arange(len(greater)), greater, counts.equal)
        return cls(name, found, None, depth, has_ties=depth is None)

    def metrics(self, ks: Sequence[int], dialect: str) -> dict[str, float]:
        """The metrics at those cut-offs that are known; standard ones say how many tie."""
        known = [k for k in ks if self.depth is None or k <= self.depth]
        if not known:
            return {}
        if dialect != "standard":
            return dialect_metrics(self.counts, known, dialect, lengths=self.lengths)
        found = relevance_metrics(self.counts, known)
        # An order has no ties.
        return found if self.has_ties else {key: v for key, v in found.items() if "@" in key}


@dataclass(frozen=True, eq=False)
class Measured:
    """Scorers side by side on the same cases; all but these two is as in `MetricTable`.

    Attributes:
        scorers: in the order of the table.
        rows: the same by row, where each row of the split has its own target and all items are
            candidates; else None.
    """

    title: str
    scorers: tuple[MeasuredScorer, ...]
    n_rows: int
    n_items: int
    exclude_seen: bool
    unit: str = "rows"
    ranking: str = ""
    notes: tuple[str, ...] = ()
    rows: ScoredRows | None = None

    def table(self, ks: Sequence[int], dialect: str = "standard") -> MetricTable:
        """The metrics of every scorer.

        Raises:
            ConfigError: an unknown dialect.
        """
        check_dialect(dialect)
        notes = (*self.notes, *(note for one in self.scorers for note in self._short(one, ks)))
        if dialect != "standard":
            notes = (*notes, f"{dialect} dialect: {DIFFERENCES[dialect]}")
        return MetricTable(
            title=self.title,
            rows=tuple(MetricRow(one.name, one.metrics(ks, dialect)) for one in self.scorers),
            n_rows=self.n_rows,
            n_items=self.n_items,
            exclude_seen=self.exclude_seen,
            unit=self.unit,
            ranking=self.ranking,
            notes=notes,
        )

    def in_all_dialects(self, ks: Sequence[int], name: str | None = None) -> MetricTable:
        """One scorer, a row a dialect; by default the last.

        Raises:
            ConfigError: no scorer has this name.
        """
        names = [one.name for one in self.scorers]
        if name is not None and name not in names:
            raise ConfigError(f"scorer {name!r}, expected one of {', '.join(names)}")
        one = self.scorers[-1 if name is None else names.index(name)]
        found = {dialect: one.metrics(ks, dialect) for dialect in DIALECTS}
        return MetricTable(
            title=f"{self.title}, {one.name}",
            rows=tuple(MetricRow(dialect, metrics) for dialect, metrics in found.items()),
            n_rows=self.n_rows,
            n_items=self.n_items,
            exclude_seen=self.exclude_seen,
            unit=self.unit,
            ranking=self.ranking,
            notes=(*self.notes, *self._short(one, ks)),
        )

    def _short(self, one: MeasuredScorer, ks: Sequence[int]) -> list[str]:
        """Tell of lists that are missing or shorter than the longest cut-off."""
        if one.lengths is None:
            return []
        n, lengths = self.n_rows, one.lengths
        n_missing = int((lengths == 0).sum())
        n_short = int(((lengths > 0) & (lengths < max(ks))).sum())
        notes = []
        if n_missing:
            notes.append(f"{n_missing:,} of {n:,} {self.unit} have no list and count as missed")
        if n_short:
            notes.append(f"{n_short:,} lists are shorter than {max(ks)}; the rest counts as missed")
        return notes


def check_dialect(dialect: str) -> None:
    """Refuse a dialect that there is none of.

    Raises:
        ConfigError: with those that there are.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"dialect {dialect!r}, expected one of {', '.join(DIALECTS)}")


def measured_rows(scored: ScoredRows) -> Measured:
    """The scorers of a run, whose rows have one target each."""
    pairs = zip(scored.labels(), scored.scorers, strict=True)
    one = scored.identity
    return Measured(
        title=f"{one.dataset}, {one.split}",
        scorers=tuple(MeasuredScorer.of_rows(name, s.counts, s.depth) for name, s in pairs),
        n_rows=one.n_rows,
        n_items=one.n_items,
        exclude_seen=one.exclude_seen,
        rows=scored,
    )
