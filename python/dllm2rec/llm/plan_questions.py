"""Which rows to ask a language model about, and what its answers say of the rows not asked.

Answers are close where the newest items are the same. Asked are the rows whose newest item stands
for most others: row after row, the gain of asking about item a again is n_a / (asked_a + 1)^2, n_a
the train rows whose newest item it is. What an answer lists, weighted by its place or distance, is
then evidence for every row whose window holds one of the items that the asked window ended with;
rows that were not asked get the list of their evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.teacher.knowledge import TeacherKnowledge

AGES = 3  # newest items of a window that evidence goes by
AGE_DECAY = 0.4
SHRINKAGE = 0.3  # answers' worth of doubt in every item
TEMPERATURE = 0.05
RANK_SLOPE = 0.035  # the distance of place r is this times ln r where there are none
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows to ask about.

    Attributes:
        rows: numbers of train rows, the most useful first, int64 (n,).
        reached: share of train rows whose newest item is that of an asked row.
        items: distinct newest items of the asked rows.
    """

    rows: npt.NDArray[np.int64]
    reached: float
    items: int


def plan_questions(dataset: SequenceDataset, budget: int, *, seed: int = 0) -> Plan:
    """Choose the train rows whose answers say most of all others.

    Args:
        dataset: with train rows.
        budget: how many questions may be asked; more than there are rows asks about all.
        seed: of which of several like rows is asked.

    Raises:
        ConfigError: a budget below 1.
        InputError: no train rows.
    """
    if budget < 1:
        raise ConfigError(f"budget = {budget}, expected at least 1 question")
    if not len(dataset.train):
        raise InputError(f"{dataset.name}: no train rows, expected some to ask about")
    newest = dataset.events[dataset.train.end - 1]
    n_rows = len(newest)
    order = np.lexsort((np.random.default_rng(seed).random(n_rows), newest))
    counts = np.bincount(newest, minlength=dataset.n_items)
    begins = np.concatenate([[0], np.cumsum(counts)])[newest[order]]
    turn = np.empty(n_rows, np.int64)
    turn[order] = np.arange(n_rows) - begins
    gain = counts[newest] / (turn + 1.0) ** 2
    rows = np.lexsort((turn, -gain))[:budget]
    asked = np.zeros(dataset.n_items, np.bool_)
    asked[newest[rows]] = True
    return Plan(rows, float(asked[newest].mean()), int(asked.sum()))


def spread_answers(
    dataset: SequenceDataset,
    ranking: npt.NDArray[np.uint32],
    distance: npt.NDArray[np.float32] | None,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Give rows without an answer the list of what the answers of like rows say.

    Args:
        dataset: whose train rows were asked about.
        ranking: the lists, (R, K); n_items where a list has fewer, and all along a row not asked.
        distance: of each place; None for weights by rank.

    Returns:
        Lists and distances, (R, K): those that were given as they are; for other rows the items
        with most evidence, none of their own window, and .05 times how much less they have than
        the first. A row that shares no item with an answer stays without a list.

    Raises:
        InputError: not one list for each train row.
    """
    n_items, (n_rows, k) = dataset.n_items, ranking.shape
    if n_rows != len(dataset.train):
        raise InputError(f"answers: {n_rows} rows, expected {len(dataset.train)}")
    if distance is None:
        by_rank = RANK_SLOPE * np.log(np.arange(1, k + 1))
        distance = np.broadcast_to(by_rank, ranking.shape).astype(np.float32)
    windows = dataset.windows(dataset.train)
    asked = (ranking < n_items).any(axis=1)
    table = _evidence(windows.sequences[asked], windows.lengths[asked], ranking[asked],
                      distance[asked], n_items)  # fmt: skip
    items, distances = ranking.copy(), distance.copy()
    weights = (AGE_DECAY ** np.arange(AGES)).astype(np.float32)
    others = np.flatnonzero(~asked)
    for begin in range(0, len(others), _BLOCK):
        rows = others[begin : begin + _BLOCK]
        sequences, lengths = windows.sequences[rows], windows.lengths[rows]
        found = _core.pair_bonuses(sequences, lengths, weights, table)
        items[rows], distances[rows] = _best(sequences, found, k, n_items)
    return items, distances


def _evidence(
    sequences: npt.NDArray[np.uint32],
    lengths: npt.NDArray[np.uint32],
    ranking: npt.NDArray[np.uint32],
    distance: npt.NDArray[np.float32],
    n_items: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """What answers say of each item of their windows: offsets, items and shares."""
    there = ranking < n_items
    shares = np.where(there, np.exp(-(distance - distance[:, :1]) / TEMPERATURE), 0.0)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    keys, weights = [], []
    for age in range(min(AGES, sequences.shape[1])):
        rows = np.flatnonzero(lengths > age)
        item = sequences[rows, lengths[rows].astype(np.int64) - 1 - age].astype(np.int64)
        keys.append((item[:, None] * n_items + ranking[rows])[there[rows]])
        weights.append(AGE_DECAY**age * shares[rows][there[rows]])
    distinct, place = np.unique(np.concatenate(keys), return_inverse=True)
    summed = np.bincount(place, np.concatenate(weights), minlength=len(distinct))
    item, listed = distinct // n_items, distinct % n_items
    total = np.bincount(item, summed, minlength=n_items)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=n_items))])
    values = (summed / (total[item] + SHRINKAGE)).astype(np.float32)
    return offsets.astype(np.int64), listed.astype(np.uint32), values


def _best(
    sequences: npt.NDArray[np.uint32],
    found: tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]],
    k: int,
    n_items: int,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """The k items of each row with most evidence, and how far each is behind the first."""
    offsets, items, values = found
    n_rows = len(offsets) - 1
    row = np.repeat(np.arange(n_rows), np.diff(offsets))
    outside = ~(sequences[row] == items[:, None]).any(axis=1)
    row, items, values = row[outside], items[outside], values[outside]
    order = np.lexsort((items, -values, row))
    row, items, values = row[order], items[order], values[order]
    begins = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))])
    place = np.arange(len(row)) - begins[row]
    ranking = np.full((n_rows, k), n_items, np.uint32)
    distance = np.zeros((n_rows, k), np.float32)
    kept = place < k
    behind = TEMPERATURE * np.log(values[begins[row]] / values)
    ranking[row[kept], place[kept]] = items[kept]
    distance[row[kept], place[kept]] = behind[kept]
    last = np.minimum(np.diff(begins), k) - 1
    farthest = distance[np.arange(n_rows), np.maximum(last, 0)]
    return ranking, np.where(ranking < n_items, distance, farthest[:, None])


def spread_teacher(teacher: TeacherKnowledge, dataset: SequenceDataset) -> TeacherKnowledge:
    """Spread a teacher's answers for some train rows to the others.

    Raises:
        InputError: it has no lists.
    """
    if teacher.ranking is None:
        raise InputError("teacher: no lists, expected answers for some train rows")
    ranking, distance = spread_answers(dataset, teacher.ranking, teacher.distance)
    before = int((teacher.ranking < dataset.n_items).any(axis=1).sum())
    after = int((ranking < dataset.n_items).any(axis=1).sum())
    note = (
        f"{before:,} rows were answered; the answers were spread to {after - before:,} more of "
        f"{len(ranking):,}, by the newest items of their windows"
    )
    return replace(
        teacher, ranking=ranking, distance=distance, target_distance=None,
        notes=[*teacher.notes, note], folder=None,
    )  # fmt: skip
