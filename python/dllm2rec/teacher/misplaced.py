"""Lists of train rows that are for other rows: permuted, the same for everybody, or shifted."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset

# So many hits say something; so many standard errors of a difference, something else. Lists of the
# known teachers of Games, Toys and MovieLens-1M hit their own rows 6 to 40 times as often as others
# do; permuted or shifted, each of them is named.
MIN_HITS = 30
FEW_ERRORS = 2.0
MANY_ERRORS = 5.0
MOST_ROWS = 200_000  # that are looked at

Lists = npt.NDArray[np.uint32]


def misplaced_notes(ranking: Lists, dataset: SequenceDataset) -> list[str]:
    """Name lists that fit their own rows no better than others, in one note or none.

    Args:
        ranking: the lists of all train rows, n_items where a place or a row has none, (R, K).
        dataset: whose rows they are.
    """
    targets = dataset.targets(dataset.train)
    answered = np.flatnonzero((ranking < dataset.n_items).any(axis=1))
    answered = answered[:: -(-len(answered) // MOST_ROWS)]
    hits = _hits(ranking, answered, targets[answered])
    own = f"W-LISTS-PERMUTED the lists of train rows hold their own target {hits:,} times"
    for shift, where in ((-1, "before"), (1, "after")):
        rows = _apart(dataset, answered, shift)
        here, there = (_hits(ranking, rows, targets[rows + n]) for n in (0, shift))
        # Lists for the row on the other side may leave out what this one wants, but not by chance.
        chance = _hits_of_others(ranking[rows], targets[rows + shift], dataset.n_items)
        least = max(here, chance)
        if there >= MIN_HITS and there > least + MANY_ERRORS * math.sqrt(least + there):
            told = f"beside rows of another history {here:,} times, but that of the row {where}"
            return [f"{own}, {told} {there:,} times: check that they are not shifted by one row"]
    expected = _hits_of_others(ranking[answered], targets[answered], dataset.n_items)
    if hits >= MIN_HITS and hits < expected + FEW_ERRORS * math.sqrt(expected):
        others = f"{own}, those of other rows would {expected:,.0f} times"
        return [f"{others}: check that they are not in another order, or the same for everybody"]
    return []


def _apart(
    dataset: SequenceDataset, rows: npt.NDArray[np.int64], shift: int
) -> npt.NDArray[np.int64]:
    """The rows whose neighbour is of another history: neither window holds the other's target.

    Of one history the target of a row is in the window of the next one, and lists hold such items.
    """
    rows = rows[(rows + shift >= 0) & (rows + shift < len(dataset.train))]
    own, other = (dataset.windows(dataset.train.take(rows + n)) for n in (0, shift))
    near = np.zeros(len(rows), np.bool_)
    for mine, theirs in zip(own.sequences.T, other.sequences.T, strict=True):
        near |= (mine == other.targets) | (theirs == own.targets)
    return rows[~near]


def _hits(ranking: Lists, rows: npt.NDArray[np.int64], targets: Lists) -> int:
    """How many rows list some targets."""
    hits = np.zeros(len(rows), np.bool_)
    for column in ranking.T:
        hits |= column[rows] == targets
    return int(hits.sum())


def _hits_of_others(lists: Lists, targets: Lists, n_items: int) -> float:
    """How many rows would list their target if the lists were dealt out to the rows at random."""
    listed = np.bincount(lists.ravel(), minlength=n_items + 1)
    wanted = np.bincount(targets, minlength=n_items + 1)
    return float(listed[:-1] @ wanted[:-1]) / max(len(lists), 1)
