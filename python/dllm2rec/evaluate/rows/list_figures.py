"""What lists are like beside being right: how much of the catalogue, how popular, how new."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from dllm2rec.arrays import item_indices
from dllm2rec.caller import one_or_more
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.seen_items import blocks_of_histories

Counts = npt.NDArray[np.int64]


def beyond_accuracy(
    lists: npt.ArrayLike,
    dataset: SequenceDataset,
    *,
    split: str = "test",
    ks: int | Iterable[int] = 20,
) -> dict[str, float]:
    """Measure the first k places of lists: coverage, Gini, novelty and popularity lift.

    With c(i) how often item i is the target of a train row, and n(i) how often lists hold it:

    - `coverage@k`: the share of the catalogue's N items with n > 0 (Ge, Delgado-Battenfeld and
      Jannach 2010).
    - `gini@k`: sum over j of (2j - N - 1) n_(j) / (N sum n), n_(1) <= ... <= n_(N), items that no
      list holds included: 0 where all are listed equally often, 1 - 1/N where one item alone is
      (Fleder and Hosanagar 2009).
    - `novelty@k`: the mean over places of -log2(max(c(i), 1) / sum c), the self-information in bits
      (Zhou and others 2010). An item without a train target counts as if it had one: its
      self-information would be infinite.
    - `popularity_lift@k`: the mean c of a row's listed items, averaged over rows, over that of the
      items of the rows' histories, minus 1: above 0, lists are more popular than what the users
      had (Abdollahpouri and others 2020).

    Args:
        lists: items of each row of the split, best first, (R, n); N marks a place without an item,
            which counts nowhere. A row without any is left out of the popularity lift.
        dataset: whose rows they are of.
        split: "validation" or "test".
        ks: cut-off or cut-offs, each in 1..n.

    Raises:
        InputError: a list for other rows, an item outside the catalogue, no item at all, a k
            outside 1..n, or no train rows.
    """
    rows, n_items = dataset.splits()[split], dataset.n_items
    listed = item_indices(lists, "lists")
    if listed.ndim != 2 or len(listed) != len(rows):
        raise InputError(
            f"lists {listed.shape}, expected ({len(rows)}, n), a row for each {split} row"
        )
    if listed.size and int(listed.max()) > n_items:
        raise InputError(f"lists: item {listed.max()}, expected 0..{n_items}; {n_items} is no item")
    counts = dataset.target_counts()
    if not counts.sum():
        raise InputError(f"{dataset.name}: no train rows, expected some to say what is popular")
    of_histories = _history_popularity(dataset, split, counts)
    found: dict[str, float] = {}
    for k in one_or_more(ks, int):
        if not 1 <= k <= listed.shape[1]:
            raise InputError(f"k = {k}, expected 1..{listed.shape[1]}, the places of a list")
        found |= {
            f"{name}@{k}": value
            for name, value in _figures(listed[:, :k], counts, of_histories).items()
        }
    return found


def _figures(
    listed: npt.NDArray[np.uint32], counts: Counts, of_histories: float
) -> dict[str, float]:
    n_items = len(counts)
    times = np.bincount(listed.ravel(), minlength=n_items + 1)[:n_items].astype(np.float64)
    total = times.sum()
    if not total:
        raise InputError("lists without an item, expected one at least")
    place = np.arange(1, n_items + 1)
    gini = ((2 * place - n_items - 1) * np.sort(times)).sum() / (n_items * total)
    bits = -np.log2(np.maximum(counts, 1) / counts.sum())
    is_item = listed < n_items
    popular = np.append(counts, 0)[listed].sum(axis=1)
    n_listed = is_item.sum(axis=1)
    of_rows = popular[n_listed > 0] / n_listed[n_listed > 0]
    return {
        "coverage": float((times > 0).mean()),
        "gini": float(gini),
        "novelty": float((times * bits).sum() / total),
        "popularity_lift": float(of_rows.mean() / of_histories - 1) if of_histories else 0.0,
    }


def _history_popularity(dataset: SequenceDataset, split: str, counts: Counts) -> float:
    """The mean count of a row's history, averaged over the rows of a split."""
    rows = dataset.splits()[split]
    total = 0.0
    for block in blocks_of_histories(rows):
        part = rows.take(block)
        lengths = part.end - part.start
        row = np.repeat(np.arange(len(part)), lengths)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = dataset.events[np.repeat(part.start, lengths) + np.arange(row.size) - first]
        total += float((np.bincount(row, weights=counts[items]) / lengths).sum())
    return total / len(rows)
