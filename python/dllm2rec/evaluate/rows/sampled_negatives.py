"""Sampled metrics, for comparison with older papers: each target among a few drawn items.

Of uniform draws only their outcome is drawn. With g candidates above a target, e others at its
score and m candidates beside it, n of them drawn without replacement hold Hypergeometric(g, m - g,
n) that are above it, and of the others Hypergeometric(e, m - g - e, ...) that tie. So counts of the
full ranking are all that is needed: nothing is scored again, and a million rows take a second.
By popularity the items themselves are drawn (`drawn_items`), before anything is ranked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.dialects.measured import Measured, measured_rows
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import ScoredRows
from dllm2rec.evaluate.seen_items import blocks_of_histories, seen_pairs

Int64Vector = npt.NDArray[np.int64]

_NOTE = (
    "sampled metrics are for comparison with older papers that drew as many: they can order "
    "systems otherwise than the full ranking does"
)


def measure_sampled(
    scored: ScoredRows, dataset: SequenceDataset, n_negatives: int, seed: int
) -> Measured:
    """Rank each target among drawn items alone, uniformly and without replacement.

    Every scorer draws from a generator of its own with this seed, so that its figures do not
    depend on who stands beside it. Explicit lists are left out: how many items stand above a
    target that they do not hold is not known.

    Args:
        scored: full ranks, each row with its own target.
        dataset: the one that they were made from.
        n_negatives: how many items are drawn for each row, beside its target.
        seed: of the draws.

    Raises:
        ConfigError: a row has fewer candidates than are to be drawn.
    """
    one = scored.identity
    others = candidates_beside(dataset, one.split, n_negatives, exclude_seen=one.exclude_seen)
    drawn = tuple(
        replace(
            scorer,
            counts=sampled_counts(scorer.counts, others, n_negatives, np.random.default_rng(seed)),
        )
        for scorer in scored.scorers
        if scorer.depth is None
    )
    lists = tuple(scorer for scorer in scored.scorers if scorer.depth is not None)
    sampled = replace(scored, scorers=(*drawn, *lists))
    return labelled(sampled, f"{n_negatives:,} uniformly drawn items, seed {seed}")


def labelled(scored: ScoredRows, among: str) -> Measured:
    """Leave explicit lists out, and say wherever the others are printed that metrics are sampled.

    Args:
        scored: ranks among drawn items, but for lists.
        among: what was drawn.
    """
    whole = tuple(scorer for scorer in scored.scorers if scorer.depth is None)
    lists = [scorer.name for scorer in scored.scorers if scorer.depth is not None]
    measured = measured_rows(replace(scored, scorers=whole))
    notes = [_NOTE]
    notes += [f"no sampled metrics of {name}, which is lists and no scores" for name in lists]
    return replace(
        measured,
        title=f"{measured.title}, SAMPLED METRICS",
        ranking=f"each target among {among}",
        notes=(*measured.notes, *notes),
    )


def sampled_counts(
    counts: RankCounts, n_others: Int64Vector, n_negatives: int, rng: np.random.Generator
) -> RankCounts:
    """Draw what stands above and level with each target among sampled candidates.

    Args:
        counts: of the full ranking, (R,).
        n_others: candidates of each row beside its target, (R,), each >= `n_negatives`.
        n_negatives: how many are drawn without replacement.
        rng: what draws.
    """
    greater, equal = counts.greater, counts.equal
    above = rng.hypergeometric(greater, n_others - greater, n_negatives)
    level = rng.hypergeometric(equal, n_others - greater - equal, n_negatives - above)
    return RankCounts(above.astype(np.int64), level.astype(np.int64))


def candidates_beside(
    dataset: SequenceDataset, split: str, n_negatives: int, *, exclude_seen: bool
) -> Int64Vector:
    """How many candidates each row has beside its target, (R,).

    Raises:
        ConfigError: a row has fewer than are to be drawn.
    """
    rows = dataset.splits()[split]
    others = np.full(len(rows), dataset.n_items - 1, np.int64)
    if exclude_seen:
        for block in blocks_of_histories(rows):
            part = rows.take(block)
            row, _ = seen_pairs(dataset, part)
            others[block] -= np.bincount(row, minlength=len(part))
    if not 1 <= n_negatives <= int(others.min()):
        raise ConfigError(
            f"{n_negatives:,} sampled negatives, expected 1..{int(others.min()):,}, the fewest "
            "candidates that a row has beside its target"
        )
    return others
