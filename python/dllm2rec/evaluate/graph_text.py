"""Graph times text: what followed the newest items within two steps, ordered by likeness of text.

The transition-graph heuristic of Han et al. (2026, arXiv:2605.07125), which needs no training. An
edge leads from an item to each that followed it directly in a train row. Where the authors fill a
list of ten with a quota of each ring of the graph, every item has a score here, so that targets
are ranked among the whole catalogue, and two numbers chosen on validation stand for the quotas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from threading import Event
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.evaluate.pair_scores import (
    Float64Vector,
    Int64Vector,
    PairTable,
    PairValues,
    rank_by_pairs,
)
from dllm2rec.students.memory.pair_memory import PairCounts, count_pairs
from dllm2rec.students.memory.similar_titles import SimilarTitles, similar_titles
from dllm2rec.tracking.metric_names import SELECTION, SELECTION_K

# How alike the texts of some pairs are, 0..1: items and other items, int64 (n,) each.
Likeness: TypeAlias = Callable[[Int64Vector, Int64Vector], Float64Vector]

N_SOURCES = 2  # the newest items of a window that lead anywhere
MOST_ON = 16  # an item's second step goes on from this many of its followers, the most frequent
REACHED = 0.001  # what an item within reach scores besides: above every one that is not
POPULARITY_WEIGHT = 0.001
EDGE_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
OLDER_WEIGHTS = (0.0, 0.5, 1.0)

_BLOCK_PAIRS = 1 << 24  # looked at together: half a gigabyte
_BLOCK_VECTORS = 1 << 16  # pairs whose vectors are multiplied together


class Form(NamedTuple):
    """The numbers of the score, chosen on validation.

    Attributes:
        edge_weight: of how often an item followed, beside the likeness of its text.
        older_weight: of the item before the newest, beside the newest.
    """

    edge_weight: float = EDGE_WEIGHTS[0]
    older_weight: float = OLDER_WEIGHTS[0]


FIRST_FORM = Form()


@dataclass(frozen=True, eq=False)
class GraphText:
    """A graph of which item followed which, how alike texts are, and scores made of both.

    score(b) = g(newest, b) + older_weight g(one before, b) + 0.001 popularity(b), and

        g(a, b) = 0.001 + cos(a, b) + edge_weight log(1 + n[a, b]) / max over c of log(1 + n[a, c])

    where b followed a directly, n[a, b] times, or another item b followed one of the 16 items that
    followed a most often; 0 elsewhere. A likeness below 0 counts as 0, and popularity is the share
    of targets: what is out of reach of the newest item (and, with an older_weight, of the one
    before) comes after all that is not, in the order of popularity. The items of the window come
    last, or leave with the rest of the history, as with window counts.

    Attributes:
        dataset: whose rows are scored.
        exclude_seen: whether the items of a row's history are no candidates.
        followers: of each item, at most the 256 most frequent.
        onward: those of them that a second step goes on from, as offsets, int64 (n_items + 1,), and
            items, int64.
        likeness: of pairs of items.
        popularity: share of each item among the targets, float64 (n_items,).
        form: the numbers of the score.
    """

    dataset: SequenceDataset
    exclude_seen: bool
    followers: PairCounts
    onward: tuple[Int64Vector, Int64Vector]
    likeness: Likeness
    popularity: Float64Vector
    form: Form = FIRST_FORM

    def rank_counts(self, rows: Rows, stop: Event | None = None) -> RankCounts:
        """Rank some rows' targets among all items.

        Raises:
            CancelledError: `stop` was set before the end.
        """
        (counts,) = self._rank_counts_of([self.form], rows, stop)
        return counts

    def chosen_on_validation(self, stop: Event | None = None) -> GraphText:
        """Return the same graph with the numbers of the best validation ndcg@20."""
        rows = self.dataset.validation
        if not len(rows):
            raise InputError("no validation rows, expected some to choose graph times text by")
        grid = [Form(*one) for one in product(EDGE_WEIGHTS, OLDER_WEIGHTS)]
        counts = self._rank_counts_of(grid, rows, stop)
        ndcg = [rank_metrics(c, [SELECTION_K])[SELECTION] for c in counts]
        return replace(self, form=grid[int(np.argmax(np.round(ndcg, 9)))])

    def _rank_counts_of(
        self, grid: Sequence[Form], rows: Rows, stop: Event | None
    ) -> list[RankCounts]:
        found: list[list[RankCounts]] = []
        for block in self._blocks(rows):
            part = rows.take(block)
            table, alike, edges = self._reach(self._sources(part))
            ranked = rank_by_pairs(
                self.dataset,
                part,
                table,
                [
                    PairValues(
                        REACHED + alike + form.edge_weight * edges,
                        None,
                        np.array([1.0, form.older_weight]),
                    )
                    for form in grid
                ],
                POPULARITY_WEIGHT * self.popularity,
                exclude_seen=self.exclude_seen,
                stop=stop,
            )
            found.append(ranked)
        return [
            RankCounts(
                greater=np.concatenate([one.greater for one in of_form]),
                equal=np.concatenate([one.equal for one in of_form]),
            )
            for of_form in zip(*found, strict=True)
        ]

    def _sources(self, rows: Rows) -> Int64Vector:
        """The items that some rows start from, ascending."""
        newest = [
            self.dataset.events[(rows.end - age)[rows.end - age >= rows.start]]
            for age in range(1, N_SOURCES + 1)
        ]
        return np.unique(np.concatenate(newest)).astype(np.int64)

    def _blocks(self, rows: Rows) -> Iterator[slice]:
        """Cut the rows so that what their sources lead to stays within bounds."""
        steps = np.diff(self.followers.offsets)
        ends = np.concatenate([[0], np.cumsum(steps[self.onward[1]])])[self.onward[0]]
        reach = np.append(steps + np.diff(ends), 0)
        windows = self.dataset.windows(rows)
        place = windows.lengths.astype(np.int64)[:, None] - 1 - np.arange(N_SOURCES)
        items = np.take_along_axis(windows.sequences, np.maximum(place, 0), axis=1)
        total = np.where(place >= 0, reach[items], 0).sum(axis=1).cumsum()
        cuts = np.flatnonzero(np.diff(total // _BLOCK_PAIRS)) + 1
        return (slice(*edges) for edges in pairwise([0, *cuts.tolist(), len(rows)]))

    def _reach(self, sources: Int64Vector) -> tuple[PairTable, Float64Vector, Float64Vector]:
        """What some items lead to, how alike it is to them, and its edge or 0, (n,) each."""
        n_items, offsets = self.dataset.n_items, self.followers.offsets
        place, entry = _expanded(offsets, sources)
        near = sources[place] * n_items + self.followers.items[entry]
        edge = np.log1p(self.followers.counts[entry])
        highest = np.zeros(len(sources))
        np.maximum.at(highest, place, edge)
        begin, on = _expanded(self.onward[0], sources)
        middle, entry = _expanded(offsets, self.onward[1][on])
        begins = sources[begin][middle]
        far = begins * n_items + self.followers.items[entry]
        keys = np.concatenate([near, far[begins != self.followers.items[entry]]])
        keys.sort()  # and not np.unique, which hashes them: eight times as long
        keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
        edges = np.zeros(len(keys))
        edges[np.searchsorted(keys, near)] = edge / highest[place]
        items, others = np.divmod(keys, n_items)
        table = PairTable(np.searchsorted(items, np.arange(n_items + 2)), others, N_SOURCES)
        return table, self.likeness(items, others), edges


def fit_graph_text(
    dataset: SequenceDataset,
    vectors: npt.NDArray[np.floating] | None = None,
    stop: Event | None = None,
    *,
    exclude_seen: bool = False,
) -> GraphText | None:
    """Make the graph of the train rows and their prefix rows; choose its numbers on validation.

    Args:
        dataset: whose rows make the graph, and will be scored.
        vectors: of the items, (n_items, E), compared where there are no titles; or None.
        stop: ends the work once it is set.
        exclude_seen: leave the items of each row's history out of the candidates, in the choice
            too, but for a target that repeats it.

    Returns:
        None where there is nothing to compare: neither titles nor vectors.

    Raises:
        InputError: there are no train or no validation rows.
        CancelledError: `stop` was set meanwhile.
    """
    likeness = _likeness(dataset.catalogue.titles, vectors)
    if likeness is None:
        return None
    rows = dataset.train.followed_by(prefix_rows(dataset))
    if not len(rows):
        raise InputError("no train rows, expected some to make a graph of")
    targets = dataset.targets(rows)
    newest = np.ascontiguousarray(dataset.events[rows.end - 1])[:, None]
    ones = np.ones(len(rows), dtype=np.uint32)
    followers = count_pairs((newest, ones, targets), dataset.n_items, 1.0)
    return GraphText(
        dataset=dataset,
        exclude_seen=exclude_seen,
        followers=followers,
        onward=_most_frequent(followers, MOST_ON),
        likeness=likeness,
        popularity=np.bincount(targets, minlength=dataset.n_items) / len(rows),
    ).chosen_on_validation(stop)


def _most_frequent(followers: PairCounts, most: int) -> tuple[Int64Vector, Int64Vector]:
    """Keep the most frequent followers of each item, the smaller index first."""
    lengths = np.diff(followers.offsets)
    item = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((followers.items, -followers.counts, item))
    place = np.arange(len(order)) - followers.offsets[item]  # `order` keeps items together
    kept = order[place < most]
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, most))]).astype(np.int64)
    return offsets, followers.items[kept].astype(np.int64)


def _expanded(offsets: Int64Vector, of: Int64Vector) -> tuple[Int64Vector, Int64Vector]:
    """List the entries of some rows of a sparse table: whose they are, by place, and which."""
    lengths = offsets[of + 1] - offsets[of]
    ends = np.cumsum(lengths)
    entries = np.arange(lengths.sum()) + np.repeat(offsets[of] - ends + lengths, lengths)
    return np.repeat(np.arange(len(of)), lengths), entries


def _likeness(
    titles: Sequence[str] | None, vectors: npt.NDArray[np.floating] | None
) -> Likeness | None:
    """Compare titles; where there are none, vectors; None where there are neither."""
    if titles is not None and any(titles):
        return _of_titles(similar_titles(titles))
    return None if vectors is None else _of_vectors(vectors)


def _of_titles(similar: SimilarTitles) -> Likeness:
    """Cosines of the words of titles, 0 beyond the 256 items most similar to one."""
    n_items = len(similar.offsets) - 1
    row = np.repeat(np.arange(n_items), np.diff(similar.offsets))
    keys = np.append(row * n_items + similar.items, n_items**2)
    cosines = np.append(similar.cosines, 0).astype(np.float64)

    def likeness(items: Int64Vector, others: Int64Vector) -> Float64Vector:
        wanted = items * n_items + others
        place = np.searchsorted(keys, wanted)
        found: Float64Vector = np.where(keys[place] == wanted, cosines[place], 0)
        return found

    return likeness


def _of_vectors(vectors: npt.NDArray[np.floating]) -> Likeness:
    """Cosines of vectors, those below 0 as 0; a vector of zeros is like none."""
    plain = vectors.astype(np.float32)
    length = np.linalg.norm(plain, axis=1, keepdims=True)
    unit = plain / np.where(length > 0, length, 1)

    def likeness(items: Int64Vector, others: Int64Vector) -> Float64Vector:
        found = np.empty(len(items))
        for begin in range(0, len(items), _BLOCK_VECTORS):
            block = slice(begin, begin + _BLOCK_VECTORS)
            found[block] = np.einsum("ij,ij->i", unit[items[block]], unit[others[block]])
        return np.maximum(found, 0)

    return likeness
