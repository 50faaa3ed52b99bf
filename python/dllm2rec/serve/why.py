"""Why an item stands in a list: what gave its score, and which items of the history are near it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.serve.known_items import HistoryCounts, KnownItems
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.students.memory.pair_memory import MOST_AGES, PairMemory

_NEAREST = 3
_LOOKED_AT = 200  # of a long history the newest


@dataclass(frozen=True)
class Reason:
    """What gave an item its score; the four numbers add up to it.

    Attributes:
        student: the product of the user's and the item's vectors.
        memory: what the pair memory added.
        window: the offset of items of the window.
        bias: of the item.
        nearest: items of the history and their cosines with it, highest first.
        remembered: items of the history and what the memory added for each, highest first.
    """

    student: float
    memory: float
    window: float
    bias: float
    nearest: list[tuple[int, float]]
    remembered: list[tuple[int, float]]


def reasons(
    scorer: ItemScorer, history: Sequence[int], items: Sequence[int], scores: Sequence[float]
) -> list[Reason]:
    """Say of each item of a list what gave its score.

    Args:
        scorer: what made the list.
        history: item indices, oldest first; not empty.
        items: of the list.
        scores: of the list.
    """
    window = [*history][-scorer.encoder.max_length :]
    asked = np.array(items, dtype=np.int64)
    memory = np.zeros(len(items), np.float64)
    known = KnownItems.of([history], HistoryCounts(1))
    bonuses = scorer.bonuses(scorer.windows(known))
    if bonuses is not None and len(bonuses.items):
        place = np.searchsorted(bonuses.items, asked).clip(max=len(bonuses.items) - 1)
        memory = np.where(bonuses.items[place] == asked, bonuses.values[place], 0.0)
    offset = np.where(np.isin(asked, window), scorer.window_offset, 0.0)
    bias = np.zeros(len(items)) if scorer.items.bias is None else scorer.items.bias[asked]
    recent = [*dict.fromkeys(reversed(history))][:_LOOKED_AT]  # each item once
    directions = scorer.items.directions
    near = directions[asked] @ directions[recent].T
    return [
        Reason(
            score - float(memory[row]) - float(offset[row]) - float(bias[row]),
            float(memory[row]),
            float(offset[row]),
            float(bias[row]),
            _highest(recent, near[row]),
            _remembered(scorer.memory, window, item),
        )
        for row, (item, score) in enumerate(zip(items, scores, strict=True))
    ]


def _highest(items: Sequence[int], values: npt.NDArray[np.floating]) -> list[tuple[int, float]]:
    order = np.argsort(-values, kind="stable")[:_NEAREST]
    return [(items[place], float(values[place])) for place in order]


def _remembered(
    memory: PairMemory | None, window: Sequence[int], item: int
) -> list[tuple[int, float]]:
    """The items of the window after which the memory expects an item, and how strongly."""
    if memory is None:
        return []
    given: dict[int, float] = {}
    for age, before in enumerate(reversed(window[-MOST_AGES:])):
        begin, end = memory.offsets[before : before + 2]
        followers = memory.items[begin:end]
        place = int(np.searchsorted(followers, item))
        if place < len(followers) and followers[place] == item:
            weight = memory.form.weight * memory.form.age_decay**age
            given[before] = given.get(before, 0.0) + weight * float(memory.values[begin + place])
    return sorted(given.items(), key=lambda pair: -pair[1])[:_NEAREST]
