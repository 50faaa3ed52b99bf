"""From counts to metrics: each is one line, expected over ties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.arrays import item_indices
from dllm2rec.caller import one_or_more
from dllm2rec.errors import ConfigError, InputError

# Of one target a row.
KINDS = ("hr", "recall", "precision", "ndcg", "mrr", "map")


@dataclass(frozen=True, eq=False)
class RankCounts:
    """Where each row's target stands among the candidates: all that rank metrics need.

    Attributes:
        greater: candidates that score strictly above the target, int64 (B,).
        equal: other candidates with exactly the target's score, int64 (B,).
    """

    greater: npt.NDArray[np.int64]
    equal: npt.NDArray[np.int64]


def rank_metrics(counts: RankCounts, ks: int | Iterable[int]) -> dict[str, float]:
    """Average the rank metrics over rows, one target per row.

    A target that ties with e others takes each of the ranks g+1 .. g+e+1 with the same probability:
    the metrics are their expectation, so neither the order of the items nor luck enters, and a
    constant model scores as chance does. With one target per row recall is HR, precision is HR / K
    and MAP is MRR.

    Args:
        counts: of at least one row.
        ks: list length or lengths, each >= 1.

    Returns:
        `hr@k`, `ndcg@k`, `mrr@k`, `recall@k`, `precision@k` and `map@k` for each k; `tie_rate`, the
        share of rows whose target ties with another candidate; `mean_tie_size`, the mean number of
        candidates at the target's score, itself included (1 where nothing ties).

    Raises:
        InputError: no rows, arrays that do not match, or a k below 1.
    """
    metrics = _metrics_at(counts, one_or_more(ks, int))
    metrics["tie_rate"] = float(np.mean(counts.equal > 0))
    metrics["mean_tie_size"] = float(np.mean(counts.equal + 1))
    return metrics


def list_metrics(
    ranking: npt.ArrayLike, targets: npt.ArrayLike, ks: int | Iterable[int]
) -> dict[str, float]:
    """Average the rank metrics of explicit lists, such as a teacher's, over rows.

    A target that is not in its list is a miss; one that is listed twice counts where it is first.

    Args:
        ranking: items, best first, (B, n); places without an item may hold `n_items`.
        targets: (B,).
        ks: list length or lengths, each in 1..n.

    Returns:
        `hr@k`, `ndcg@k`, `mrr@k`, `recall@k`, `precision@k` and `map@k` for each k.

    Raises:
        InputError: no rows, shapes that do not match, or a k outside 1..n.
    """
    lists = item_indices(ranking, "ranking")
    counts = list_counts(lists, targets)
    length = lists.shape[1]
    ks = one_or_more(ks, int)
    too_long = [k for k in ks if k > length]
    if too_long:
        raise InputError(f"k = {too_long[0]}, expected at most the {length} items of a list")
    return _metrics_at(counts, ks)


def list_counts(ranking: npt.ArrayLike, targets: npt.ArrayLike) -> RankCounts:
    """Count what each row's list of n items holds before the target; n where it is not listed.

    Args:
        ranking: items, best first, (B, n).
        targets: (B,).

    Raises:
        InputError: shapes that do not match.
    """
    lists, wanted = item_indices(ranking, "ranking"), item_indices(targets, "targets")
    if lists.ndim != 2 or wanted.shape != lists.shape[:1]:
        raise InputError(f"ranking {lists.shape}, targets {wanted.shape}: expected (B, n) and (B,)")
    hits = lists == wanted[:, None]
    place = np.where(hits.any(axis=1), hits.argmax(axis=1), lists.shape[1]).astype(np.int64)
    return RankCounts(place, np.zeros_like(place))


def row_values(counts: RankCounts, metric: str) -> npt.NDArray[np.float64]:
    """The value of a metric on each row, expected over ties; `rank_metrics` has their mean.

    Args:
        counts: of R rows.
        metric: such as `ndcg@20`: `hr`, `recall`, `precision`, `ndcg`, `mrr` or `map` at a k.

    Returns:
        (R,).

    Raises:
        ConfigError: no such metric.
    """
    kind, at, k_text = metric.partition("@")
    k = int(k_text) if at and k_text.isdecimal() else 0
    if kind not in KINDS or k < 1:
        expected = f"one of {', '.join(KINDS)} at a k, such as ndcg@20"
        raise ConfigError(f"metric {metric!r}, expected {expected}")
    g, e = counts.greater, counts.equal
    ranks = np.arange(1, k + 1)
    if kind == "ndcg":
        return _expected_gain(1 / np.log2(ranks + 1), g, e)
    if kind in {"mrr", "map"}:
        return _expected_gain(1 / ranks, g, e)
    hits: npt.NDArray[np.float64] = np.clip((k - g) / (e + 1), 0, 1)
    return hits / k if kind == "precision" else hits


def _metrics_at(counts: RankCounts, ks: Sequence[int]) -> dict[str, float]:
    g, e = counts.greater, counts.equal
    if g.ndim != 1 or g.shape != e.shape or g.size == 0:
        raise InputError(f"counts of {g.shape} and {e.shape} rows, expected the same, at least one")
    metrics: dict[str, float] = {}
    for k in ks:
        if k < 1:
            raise InputError(f"k = {k}, expected at least 1")
        ranks = np.arange(1, k + 1)
        hit = np.mean(np.clip((k - g) / (e + 1), 0, 1))
        ndcg = np.mean(_expected_gain(1 / np.log2(ranks + 1), g, e))
        reciprocal = np.mean(_expected_gain(1 / ranks, g, e))
        metrics |= {f"hr@{k}": float(hit), f"recall@{k}": float(hit)}
        metrics |= {f"precision@{k}": float(hit / k), f"ndcg@{k}": float(ndcg)}
        metrics |= {f"mrr@{k}": float(reciprocal), f"map@{k}": float(reciprocal)}
    return metrics


def _expected_gain(
    gain: npt.NDArray[np.float64], g: npt.NDArray[np.int64], e: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The mean gain over the ranks g+1 .. g+e+1; `gain` holds that of the ranks 1 .. k."""
    total = np.concatenate([[0.0], np.cumsum(gain)])
    k = len(gain)
    gains: npt.NDArray[np.float64] = total[np.minimum(g + e + 1, k)] - total[np.minimum(g, k)]
    return gains / (e + 1)
