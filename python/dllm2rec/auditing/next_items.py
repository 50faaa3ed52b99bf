"""Which item follows which: a first-order Markov chain, its ranks, and how far it branches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.evaluate.metrics import RankCounts

Int64Vector = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NextItems:
    """How often item b was the target right after item a, in train rows and their prefixes.

    Attributes:
        offsets: where each item's followers begin, int64 (n_items + 1,).
        followers: b of each pair that was seen, ascending within an item, int64 (n_pairs,).
        counts: how often, int64 (n_pairs,).
        popularity: how often each item was a target, int64 (n_items,).
    """

    offsets: Int64Vector
    followers: Int64Vector
    counts: Int64Vector
    popularity: Int64Vector

    def rank_counts(self, dataset: SequenceDataset, rows: Rows) -> RankCounts:
        """Rank targets by how often they followed the newest item, then by popularity.

        Items of equal count and popularity tie.
        """
        last = dataset.events[rows.end - 1].astype(np.int64)
        target = dataset.targets(rows).astype(np.int64)
        lengths = np.diff(self.offsets)[last]
        row = np.repeat(np.arange(len(rows)), lengths)
        place = np.arange(len(row)) + np.repeat(
            self.offsets[last] - lengths.cumsum() + lengths, lengths
        )
        followers, counts = self.followers[place], self.counts[place]
        own = np.bincount(
            row, weights=np.where(followers == target[row], counts, 0), minlength=len(rows)
        ).astype(np.int64)
        liked = self.popularity[target]
        among, beside = self.popularity[followers], liked[row]
        more, same = counts > own[row], counts == own[row]

        def per_row(is_counted: npt.NDArray[np.bool_]) -> Int64Vector:
            return np.bincount(row[is_counted], minlength=len(rows)).astype(np.int64)

        greater = per_row(more | (same & (among > beside)))
        equal = per_row(same & (among == beside) & (followers != target[row]))
        # A target that never followed is among the others, all of count 0: popularity decides.
        ordered = np.sort(self.popularity)
        above = len(ordered) - np.searchsorted(ordered, liked, side="right")
        level = np.searchsorted(ordered, liked, side="right") - np.searchsorted(ordered, liked)
        never = own == 0
        greater[never] += (above - per_row(among > beside))[never]
        equal[never] += (level - 1 - per_row(among == beside))[never]
        return RankCounts(greater=greater, equal=equal)

    def branching(self) -> dict[str, float]:
        """How many items may come next.

        `followers` is the mean number of distinct next items of an item that was followed by any;
        `next_perplexity` is exp of the entropy of the next item given this one, `perplexity` that
        of the targets alone: plug-in estimates, which sparse counts make too small.
        """
        lengths = np.diff(self.offsets)
        sums = np.add.reduceat(self.counts, self.offsets[:-1][lengths > 0])
        total = self.counts.sum()
        joint = -(self.counts * np.log(self.counts / np.repeat(sums, lengths[lengths > 0]))).sum()
        shares = self.popularity[self.popularity > 0] / max(self.popularity.sum(), 1)
        return {
            "followers": float(lengths[lengths > 0].mean()),
            "next_perplexity": float(np.exp(joint / total)),
            "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        }


def count_next_items(dataset: SequenceDataset) -> NextItems:
    """Count on the train rows, and on the early positions that windows of files hide."""
    rows = dataset.train.followed_by(prefix_rows(dataset))
    n_items = dataset.n_items
    targets = dataset.targets(rows).astype(np.int64)
    pairs = dataset.events[rows.end - 1].astype(np.int64) * n_items + targets
    cells, counts = np.unique(pairs, return_counts=True)
    sources, followers = np.divmod(cells, n_items)
    return NextItems(
        offsets=np.searchsorted(sources, np.arange(n_items + 1)).astype(np.int64),
        followers=followers,
        counts=counts.astype(np.int64),
        popularity=np.bincount(targets, minlength=n_items).astype(np.int64),
    )
