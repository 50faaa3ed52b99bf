"""What training, evaluation and recommendation hand to whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MetricRow:
    """A scorer and its metrics, such as `{"hr@20": .1}`."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class MetricTable:
    """Scorers side by side on the same rows.

    Attributes:
        title: what was scored, such as "games, test".
        rows: the scorers, in the order to show.
        n_rows: how many rows each metric is a mean over.
        n_items: how many items each target was ranked among.
        exclude_seen: whether the items of a row's history were no candidates.
    """

    title: str
    rows: tuple[MetricRow, ...]
    n_rows: int
    n_items: int
    exclude_seen: bool = False

    def protocol(self) -> str:
        """How the metrics were taken, in one line."""
        seen = "seen items masked" if self.exclude_seen else "seen items not masked"
        return f"{self.n_rows:,} rows, full ranking over {self.n_items:,} items, {seen}"

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "title": self.title,
            "n_rows": self.n_rows,
            "n_items": self.n_items,
            "exclude_seen": self.exclude_seen,
            "rows": [{"name": row.name, "metrics": dict(row.metrics)} for row in self.rows],
        }


@dataclass(frozen=True)
class Recommendation:
    """One place of a list: `rank` from 1, the item's own id, its title where there is one."""

    rank: int
    item_id: str
    title: str | None
    score: float
