"""Every scorer's rank counts on every row of a split, and which rows these are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

_OF_TIES = ("tie_rate", "mean_tie_size")


@dataclass(frozen=True, eq=False)
class Scorer:
    """What one scorer makes of R rows.

    Attributes:
        name: `popularity`, `teacher`, `sasrec+dllm2rec`, ...; seeds of a student share it.
        counts: of each row, (R,).
        seed: of its training; None where there was none.
        depth: how many places are known, for explicit lists: a target that is not among them has
            `greater` = depth and no rank. None where every target has its rank.
        settings: sha256 of what it was trained with, but for the seed; empty where not trained.
    """

    name: str
    counts: RankCounts
    seed: int | None = None
    depth: int | None = None
    settings: str = ""

    def metrics(self, ks: Sequence[int]) -> dict[str, float]:
        """The means over the rows, as `rank_metrics`; of lists up to the places they have."""
        if self.depth is None:
            return rank_metrics(self.counts, ks)
        known = [k for k in ks if k <= self.depth]
        found = rank_metrics(self.counts, known) if known else {}
        return {key: value for key, value in found.items() if key not in _OF_TIES}


@dataclass(frozen=True)
class RowsIdentity:
    """Which rows were ranked, and among what: figures of two identities are not compared.

    Attributes:
        dataset: its name, for people.
        split: "test" or "validation".
        n_rows: R.
        n_items: N, the candidates of a row but for those that are masked.
        exclude_seen: whether the items of a row's history were no candidates.
        rows: sha256 of the rows' histories and targets.
        catalogue: sha256 of the items' ids.
    """

    dataset: str
    split: str
    n_rows: int
    n_items: int
    exclude_seen: bool
    rows: str
    catalogue: str

    @classmethod
    def of(cls, dataset: SequenceDataset, split: str, *, exclude_seen: bool) -> RowsIdentity:
        """The identity of a split of a dataset."""
        rows = dataset.splits()[split]
        digest = hashlib.sha256(f"rows-1 {dataset.n_items} ".encode())
        for part in (rows.start, rows.end, dataset.events):
            digest.update(f"{part.size}:".encode())
            digest.update(np.ascontiguousarray(part, part.dtype.newbyteorder("<")).data)
        ids = [item_id.encode() for item_id in dataset.catalogue.item_ids]
        lengths = f"catalogue-1 {[len(one) for one in ids]}:".encode()
        catalogue = hashlib.sha256(lengths + b"".join(ids))
        return cls(
            dataset.name,
            split,
            len(rows),
            dataset.n_items,
            exclude_seen,
            digest.hexdigest(),
            catalogue.hexdigest(),
        )


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Scorers side by side on the same rows.

    Attributes:
        identity: which rows.
        scorers: in the order of the table.
        users: a number for the user of each row, int64 (R,); None where the data does not say.
    """

    identity: RowsIdentity
    scorers: tuple[Scorer, ...]
    users: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        dataset: SequenceDataset,
        split: str,
        scorers: Sequence[Scorer],
        *,
        exclude_seen: bool,
    ) -> ScoredRows:
        """The scorers of a split of a dataset."""
        users = None
        if dataset.users is not None and dataset.has_users:
            ends = dataset.splits()[split].end
            users = np.searchsorted(dataset.users.starts, ends, side="right") - 1
            users = users.astype(np.int64)
        identity = RowsIdentity.of(dataset, split, exclude_seen=exclude_seen)
        return cls(identity, tuple(scorers), users)

    def __repr__(self) -> str:
        """Which rows, and who scored them."""
        names = ", ".join(self.labels())
        one = self.identity
        return f"ScoredRows: {one.dataset}, {one.split}, {one.n_rows:,} rows, by {names}"

    def labels(self) -> list[str]:
        """What tables call each scorer: its name, with the seed where several share the name."""
        names = [one.name for one in self.scorers]
        return [
            one.name if names.count(one.name) == 1 else f"{one.name}-seed-{one.seed}"
            for one in self.scorers
        ]

    def table(self, ks: Sequence[int]) -> MetricTable:
        """The means over all rows.

        Raises:
            ConfigError: a k beyond the catalogue.
        """
        one = self.identity
        if not ks or not 1 <= min(ks) <= max(ks) <= one.n_items:
            raise ConfigError(
                f"k = {list(ks)}, expected 1..{one.n_items}, the size of the catalogue"
            )
        rows = zip(self.labels(), self.scorers, strict=True)
        return MetricTable(
            f"{one.dataset}, {one.split}",
            tuple(MetricRow(label, scorer.metrics(ks)) for label, scorer in rows),
            one.n_rows,
            one.n_items,
            one.exclude_seen,
        )
