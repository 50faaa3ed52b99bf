"""What training, evaluation and recommendation hand to whoever shows it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

# How tables call a student that was taught: its name alone, then this.
TAUGHT = " + dllm2rec"


@dataclass(frozen=True)
class ResultRow:
    """One line of a run's table.

    Attributes:
        name: `popularity`, `window counts`, `teacher`, `sasrec`, `sasrec + dllm2rec`, ...
        validation: metrics by name, such as `ndcg@20`.
        test: the same on the test rows.
        detail: what else there is to say: the epoch, the ranking weight, seconds.
        deviation: standard deviation of each test metric over seeds, empty for one seed.
        seeds: the test metrics of each seed, empty for one seed.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    detail: dict[str, float] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    seeds: list[dict[str, float]] = field(default_factory=list)


def mean_row(rows: Sequence[ResultRow]) -> ResultRow:
    """One row of several seeds of a student: the means, and how far the test metrics spread.

    The deviation is that of a sample: with n seeds it divides by n - 1.
    """
    if len(rows) == 1:
        return rows[0]

    def mean(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        return {key: statistics.fmean(part[key] for part in parts) for key in parts[0]}

    tests = [row.test for row in rows]
    return ResultRow(
        name=rows[0].name,
        validation=mean([row.validation for row in rows]),
        test=mean(tests),
        detail=mean([row.detail for row in rows]),
        deviation={key: statistics.stdev(test[key] for test in tests) for key in tests[0]},
        seeds=tests,
    )


@dataclass(frozen=True)
class MetricRow:
    """A scorer and its metrics, such as `{"hr@20": 0.1}`; means, where there is a deviation."""

    name: str
    metrics: Mapping[str, float]
    deviation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricTable:
    """Scorers side by side on the same rows.

    Attributes:
        title: what was scored, such as "games, test".
        rows: the scorers, in the order to show.
        n_rows: how many rows each metric is a mean over.
        n_items: how many items each target was ranked among.
        exclude_seen: whether the items of a row's history were no candidates.
        unit: what is counted by `n_rows`: rows, or users.
        ranking: how targets were ranked; by default among all items.
        notes: what a reader of the metrics should know, a sentence each.
    """

    title: str
    rows: tuple[MetricRow, ...]
    n_rows: int
    n_items: int
    exclude_seen: bool = False
    unit: str = "rows"
    ranking: str = ""
    notes: tuple[str, ...] = ()

    def protocol(self) -> str:
        """How the metrics were taken, in one line."""
        seen = "seen items masked" if self.exclude_seen else "seen items not masked"
        ranking = self.ranking or f"full ranking over {self.n_items:,} items"
        return f"{self.n_rows:,} {self.unit}, {ranking}, {seen}"

    def __repr__(self) -> str:
        """The table as plain text: HR and NDCG at the two largest K."""
        keys = shown_metrics(self.rows)
        width = max((len(row.name) for row in self.rows), default=0)
        lines = [f"{self.title}: {self.protocol()}", " ".join([" " * width, *_heads(keys)])]
        for row in self.rows:
            cells = [f"{row.metrics[key]:.4f}" if key in row.metrics else "" for key in keys]
            lines.append(" ".join([f"{row.name:{width}}", *(f"{cell:>8}" for cell in cells)]))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "title": self.title,
            "n_rows": self.n_rows,
            "n_items": self.n_items,
            "exclude_seen": self.exclude_seen,
            **({"unit": self.unit} if self.unit != "rows" else {}),
            **({"ranking": self.ranking} if self.ranking else {}),
            **({"notes": list(self.notes)} if self.notes else {}),
            "rows": [{"name": row.name, "metrics": dict(row.metrics)} for row in self.rows],
        }


def _heads(keys: Iterable[str]) -> list[str]:
    return [f"{key:>8}" for key in keys]


def shown_metrics(rows: Iterable[MetricRow]) -> list[str]:
    """Pick the columns people want: HR and NDCG at the two largest K."""
    keys = dict.fromkeys(key for row in rows for key in row.metrics)
    ks = sorted({int(key.partition("@")[2]) for key in keys if key.startswith("hr@")})[-2:]
    return [key for k in ks for key in (f"hr@{k}", f"ndcg@{k}") if key in keys]


def best_text(rows: Sequence[MetricRow], key: str) -> str:
    """The best value as a table shows it; empty where there is nothing to compare."""
    values = [row.metrics[key] for row in rows if key in row.metrics]
    return f"{max(values):.4f}" if len(rows) > 1 and values else ""


@dataclass(frozen=True)
class Gain:
    """What the teacher added to a student: `percent[key]` is `100 * (taught / alone - 1)`.

    A metric that is 0 alone has no percentage and is left out.
    """

    student: str
    percent: Mapping[str, float]


def teacher_gains(rows: Sequence[MetricRow]) -> list[Gain]:
    """Compare every taught student with the same student alone, where the rows hold both."""
    alone = {row.name: row.metrics for row in rows}
    pairs = [(row, row.name.removesuffix(TAUGHT)) for row in rows if row.name.endswith(TAUGHT)]
    return [
        Gain(
            name,
            {
                key: 100 * (value / alone[name][key] - 1)
                for key, value in row.metrics.items()
                if alone[name].get(key, 0.0) > 0
            },
        )
        for row, name in pairs
        if name in alone
    ]


@dataclass(frozen=True)
class Recommendation:
    """One place of a list: `rank` from 1, the item's own id, its title where there is one."""

    rank: int
    item_id: str
    title: str | None
    score: float
