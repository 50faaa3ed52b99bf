"""What a comparison found: every scorer against one of them, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dllm2rec.comparisons.cost import Cost
from dllm2rec.comparisons.paired import LEVEL, N_DRAWS, PairedDifference
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity


@dataclass(frozen=True)
class ComparedScorer:
    """One scorer by one metric.

    Attributes:
        metric: such as `ndcg@20`.
        name: of the scorer.
        seeds: of its trainings, empty for what is not trained.
        value: the mean over rows and seeds.
        deviation: of the seeds' means, that of a sample; None for fewer than two.
        difference: against the reference; None for the reference itself.
        p_holm: p, adjusted for the number of comparisons; None for the reference itself.
    """

    metric: str
    name: str
    seeds: tuple[int, ...]
    value: float
    deviation: float | None
    difference: PairedDifference | None
    p_holm: float | None


@dataclass(frozen=True)
class Comparison:
    """Every scorer against a reference, by each metric.

    Attributes:
        identity: the rows that all of them ranked.
        against: the name of the reference.
        reason: why it is this one.
        metrics: in the order to show.
        rows: metric after metric, the scorers in the order to show; a scorer without a value, as
            a list that is too short has none, is left out.
        notes: what a reader should know, a sentence each.
        costs: by the names of scorers, where they were measured.
        by: what is drawn: "row", or "user" with all of a user's rows.
    """

    identity: RowsIdentity
    against: str
    reason: str
    metrics: tuple[str, ...]
    rows: tuple[ComparedScorer, ...]
    notes: tuple[str, ...] = ()
    costs: Mapping[str, Cost] = field(default_factory=dict)
    by: str = "row"

    def of_metric(self, metric: str) -> list[ComparedScorer]:
        """The rows of one metric."""
        return [row for row in self.rows if row.metric == metric]

    @property
    def n_comparisons(self) -> int:
        """How many p values are adjusted together: the family."""
        return sum(row.difference is not None for row in self.rows)

    def protocol(self) -> str:
        """How it was compared, in one line."""
        one = self.identity
        seen = "seen items masked" if one.exclude_seen else "seen items not masked"
        ranked = f"{one.n_rows:,} rows, full ranking over {one.n_items:,} items, {seen}"
        drawn = ", rows of one user drawn together" if self.by == "user" else ""
        return f"{one.dataset}, {one.split}: {ranked}{drawn}"

    def __repr__(self) -> str:
        """The comparison as plain text."""
        lines = [self.protocol(), f"against {self.against}, {self.reason}"]
        for row in self.rows:
            head = f"{row.metric} {row.name} {row.value:.4f}"
            if row.difference is not None:
                one = row.difference
                head += f" {one.difference:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
                head += f" p {one.p:.2g}, Holm {row.p_holm:.2g}"
            lines.append(head)
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "identity": asdict(self.identity),
            "against": self.against,
            "reason": self.reason,
            "level": LEVEL,
            "n_draws": N_DRAWS,
            "by": self.by,
            "n_comparisons": self.n_comparisons,
            "rows": [asdict(row) for row in self.rows],
            "costs": {name: asdict(cost) for name, cost in self.costs.items()},
            "notes": list(self.notes),
        }
