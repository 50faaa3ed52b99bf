"""How good lists are: by cut-off, by place and distance, and by how popular the target is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.evaluate.rows.item_groups import popularity_groups

KS = (1, 5, 10, 20)
N_BINS = 10
Lists = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Bin:
    """Places of lists, and how often the target stands there.

    Attributes:
        label: which places.
        places: how many.
        hits: how many of them hold their row's target.
    """

    label: str
    places: int
    hits: int

    @property
    def rate(self) -> float:
        """The share of the places that hold the target."""
        return self.hits / self.places


@dataclass(frozen=True)
class Slice:
    """Rows with targets of one kind.

    Attributes:
        label: which targets.
        rows: how many rows.
        metrics: HR and NDCG at the largest cut-off, by the name of who lists.
    """

    label: str
    rows: int
    metrics: dict[str, dict[str, float]]


def cutoffs(width: int) -> tuple[int, ...]:
    """The usual cut-offs up to the length of lists; that length itself if it is another."""
    usual = tuple(k for k in KS if k <= width)
    return usual if width >= KS[-1] or width in KS else (*usual, width)


def quality(lists: Lists, targets: Lists, ks: tuple[int, ...]) -> dict[str, float]:
    """HR and NDCG at each cut-off."""
    found = list_metrics(lists, targets, ks)
    kinds = [(k, kind) for k in ks for kind in ("hr", "ndcg") if (k, kind) != (1, "ndcg")]
    return {f"{kind}@{k}": found[f"{kind}@{k}"] for k, kind in kinds}  # ndcg@1 is hr@1


def by_place(lists: Lists, targets: Lists, n_items: int) -> list[Bin]:
    """How often the target stands at each place of a list."""
    hits = lists == targets[:, None]
    listed = (lists < n_items).sum(axis=0)
    columns = [n for n in range(lists.shape[1]) if listed[n]]
    return [Bin(str(n + 1), int(listed[n]), int(hits[:, n].sum())) for n in columns]


def by_distance(
    lists: Lists, distances: npt.NDArray[np.float32], targets: Lists, n_items: int
) -> list[Bin]:
    """How often a place holds the target, by its distance: up to ten bins of like size.

    Equal distances are in one bin. Where a small distance is sure, the rates fall.
    """
    listed = lists < n_items
    values, hits = distances[listed], (lists == targets[:, None])[listed]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, N_BINS + 1)))
    which = np.searchsorted(edges[1:-1], values, side="left")
    bins = []
    for n in np.unique(which).tolist():
        inside = which == n
        label = f"{values[inside].min():.4g} to {values[inside].max():.4g}"
        bins.append(Bin(label, int(inside.sum()), int(hits[inside].sum())))
    return bins


def slices(
    listed: dict[str, Lists], targets: Lists, counts: npt.NDArray[np.int64], k: int
) -> list[Slice]:
    """HR and NDCG at k by the popularity of the target.

    Args:
        listed: the lists of each who lists, for the same rows.
        targets: of these rows.
        counts: how often each item is the target of a train row, (N,).
        k: at most the length of the shortest lists.
    """
    names, group = popularity_groups(counts)
    found = []
    for number, name in enumerate(names):
        inside = group[targets] == number
        n_rows = int(inside.sum())
        metrics = (
            {who: quality(lists[inside], targets[inside], (k,)) for who, lists in listed.items()}
            if n_rows
            else {}
        )
        found.append(Slice(name, n_rows, metrics))
    return found


def shares_by_group(items: Lists, counts: npt.NDArray[np.int64]) -> dict[str, float]:
    """Of some items, such as all that lists hold, the share of each group of popularity."""
    names, group = popularity_groups(counts)
    found = np.bincount(group[items], minlength=len(names)) / max(len(items), 1)
    return dict(zip(names, found.tolist(), strict=True))
