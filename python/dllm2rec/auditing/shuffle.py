"""The shuffle test: what the order of histories is worth.

After Klenitskiy et al., "Does It Look Sequential? An Analysis of Datasets for Evaluation of
Sequential Recommendations" (RecSys 2024): if shuffling histories costs a sequential model nothing,
the data cannot tell such models apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dllm2rec.auditing.next_items import NextItems, count_next_items
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.metrics import rank_metrics

KEY = "ndcg@20"


@dataclass(frozen=True)
class OrderLoss:
    """What one way of ranking loses without order.

    Attributes:
        method: `first-order Markov` or `window counts`.
        ordered: NDCG@20 on validation rows.
        shuffled: the same where each history is shuffled, in train rows and in those scored.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    method: str
    ordered: float
    shuffled: float

    @property
    def loss(self) -> float:
        """The share of `ordered` that goes; 0 where there was nothing."""
        return 1 - self.shuffled / self.ordered if self.ordered > 0 else 0.0


def order_losses(
    dataset: SequenceDataset, next_items: NextItems, seed: int, *, window_counts: bool
) -> list[OrderLoss]:
    """Rank the validation rows by counts, as they are and with shuffled histories.

    Args:
        dataset: with validation rows; the test rows are not looked at.
        next_items: `count_next_items` of it.
        seed: of the shuffle.
        window_counts: also rank by window counts, which loads torch.
    """
    other = shuffled_histories(dataset, seed)
    ordered, shuffled = _markov(dataset, next_items), _markov(other, count_next_items(other))
    found = [OrderLoss("first-order Markov", ordered, shuffled)]
    if window_counts:
        found.append(OrderLoss("window counts", *(_window_counts(one) for one in (dataset, other))))
    return found


def shuffled_histories(dataset: SequenceDataset, seed: int) -> SequenceDataset:
    """The dataset with each history in random order; held-out targets stay where they are.

    A history is what lies between a user's first event and the last train target; of a user (or a
    row of a file) without train rows, what lies before the first held-out target.
    """
    events = dataset.events
    is_history = history_mask(dataset)
    places = np.flatnonzero(is_history)
    starts = np.unique(np.concatenate([rows.start for rows in dataset.splits().values()]))
    owner = np.searchsorted(starts, places, side="right")
    keys = np.random.default_rng(seed).random(len(places))
    shuffled = events.copy()
    shuffled[places] = events[places[np.lexsort((keys, owner))]]
    return replace(dataset, events=shuffled)


def history_mask(dataset: SequenceDataset) -> npt.NDArray[np.bool_]:
    """Which events belong to histories, (n_events,)."""
    rows = dataset.splits()
    starts = np.unique(np.concatenate([part.start for part in rows.values()]))
    ends = np.full(len(starts), dataset.events.size, np.int64)
    held_out = rows["validation"].followed_by(rows["test"])
    np.minimum.at(ends, np.searchsorted(starts, held_out.start), held_out.end)
    last = np.zeros(len(starts), np.int64)
    np.maximum.at(last, np.searchsorted(starts, dataset.train.start), dataset.train.end + 1)
    ends = np.where(last > 0, last, ends)
    edges = np.zeros(dataset.events.size + 1, np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, ends, -1)
    return edges[:-1].cumsum() > 0


def _markov(dataset: SequenceDataset, next_items: NextItems) -> float:
    counts = next_items.rank_counts(dataset, dataset.validation)
    return rank_metrics(counts, [20])[KEY]


def _window_counts(dataset: SequenceDataset) -> float:
    from dllm2rec.evaluate.window_counts import fit_window_counts

    return rank_metrics(fit_window_counts(dataset).rank_counts(dataset.validation), [20])[KEY]
