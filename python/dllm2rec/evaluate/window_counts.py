"""Window counts: how often an item was the target some places after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.evaluate.pair_scores import (
    Float64Vector,
    Int64Vector,
    PairTable,
    PairValues,
    ages,
    rank_by_pairs,
)
from dllm2rec.evaluate.rows.among_drawn import Drawn

DECAY = 0.7  # how much less each older item of a window counts
POPULARITY_WEIGHT = 0.001
POWERS = (0.5, 1.0)
CONSTANTS = (0.0, 5.0, 20.0)
NDCG_AT = 20  # the validation metric that chooses between them


@dataclass(frozen=True, eq=False)
class WindowCounts:
    """How often item b was the target some places after item a, and scores made of it.

    M[a, b] = sum over rows of 0.7^k, a being the window's item k (0 the newest) and b the target;
    score(b) = sum over k of 0.7^k M[item_k, b] / (rowsum(item_k)^power + constant)
    + 0.001 popularity(b), popularity the share of targets. The items of the window come last, in
    the order of these scores; where seen items are no candidates, they leave with the rest of the
    history, and a target that repeats it is ranked by its score.

    Attributes:
        dataset: whose rows are scored.
        exclude_seen: whether the items of a row's history are no candidates.
        offsets: where each item's counts begin, int64 (n_items + 2,); the padding has none.
        targets: b of each stored count, ascending within an item, int64 (n_stored,).
        counts: M, float64 (n_stored,).
        row_sums: sum of each item's counts, float64 (n_items + 1,).
        popularity: share of each item among the targets, float64 (n_items,).
        power: the power of the row sum, chosen on validation.
        constant: what is added to it, chosen on validation.
    """

    dataset: SequenceDataset
    exclude_seen: bool
    offsets: Int64Vector
    targets: Int64Vector
    counts: Float64Vector
    row_sums: Float64Vector
    popularity: Float64Vector
    power: float = POWERS[0]
    constant: float = CONSTANTS[0]

    def rank_counts(
        self, rows: Rows, stop: Event | None = None, drawn: Drawn | None = None
    ) -> RankCounts:
        """Rank some rows' targets, tile by tile, among all items or those drawn for each, (R, n).

        Raises:
            CancelledError: `stop` was set before the last tile.
        """
        (counts,) = self._rank_counts_of([(self.power, self.constant)], rows, stop, drawn)
        return counts

    def chosen_on_validation(self, stop: Event | None = None) -> WindowCounts:
        """Return the same counts with the power and constant of the best validation ndcg@20."""
        rows = self.dataset.validation
        if not len(rows):
            raise InputError("no validation rows, expected some to choose the window counts by")
        grid = [(power, constant) for power in POWERS for constant in CONSTANTS]
        counts = self._rank_counts_of(grid, rows, stop)
        ndcg = [rank_metrics(c, [NDCG_AT])[f"ndcg@{NDCG_AT}"] for c in counts]
        power, constant = grid[int(np.argmax(np.round(ndcg, 9)))]
        return replace(self, power=power, constant=constant)

    def _rank_counts_of(
        self,
        grid: Sequence[tuple[float, float]],
        rows: Rows,
        stop: Event | None,
        drawn: Drawn | None = None,
    ) -> list[RankCounts]:
        decay = (DECAY ** np.arange(self.dataset.max_length)).astype(np.float64)
        return rank_by_pairs(
            self.dataset,
            rows,
            PairTable(self.offsets, self.targets),
            [PairValues(self.counts, self._row_weights(*form), decay) for form in grid],
            POPULARITY_WEIGHT * self.popularity,
            exclude_seen=self.exclude_seen,
            stop=stop,
            drawn=drawn,
        )

    def _row_weights(self, power: float, constant: float) -> Float64Vector:
        """Return 1 / (rowsum^power + constant) of each item, 0 where it was in no window."""
        weights = np.zeros_like(self.row_sums)
        known = self.row_sums > 0
        weights[known] = 1 / (self.row_sums[known] ** power + constant)
        return weights


def fit_window_counts(
    dataset: SequenceDataset, stop: Event | None = None, *, exclude_seen: bool = False
) -> WindowCounts:
    """Count on the train rows and their prefix rows; choose power and constant on validation.

    Args:
        dataset: whose rows are counted, and will be scored.
        stop: ends the work once it is set.
        exclude_seen: leave the items of each row's history out of the candidates, in the choice
            too, but for a target that repeats it.

    Raises:
        InputError: there are no train or no validation rows.
        CancelledError: `stop` was set meanwhile.
    """
    rows = dataset.train.followed_by(prefix_rows(dataset))
    if not len(rows):
        raise InputError("no train rows, expected some to count")
    windows, n_items = dataset.windows(rows), dataset.n_items
    age = ages(windows)
    is_real, weights = age >= 0, DECAY ** np.maximum(age, 0)
    pairs = windows.sequences.astype(np.int64) * n_items + windows.targets[:, None]
    cells, place = np.unique(pairs[is_real], return_inverse=True)
    counts = np.bincount(place, weights=weights[is_real]).astype(np.float64)
    sources, targets = np.divmod(cells, n_items)
    popularity = np.bincount(windows.targets, minlength=n_items) / len(rows)
    return WindowCounts(
        dataset=dataset,
        exclude_seen=exclude_seen,
        offsets=np.searchsorted(sources, np.arange(n_items + 2)).astype(np.int64),
        targets=targets,
        counts=counts,
        row_sums=np.bincount(sources, weights=counts, minlength=n_items + 1).astype(np.float64),
        popularity=popularity,
    ).chosen_on_validation(stop)
