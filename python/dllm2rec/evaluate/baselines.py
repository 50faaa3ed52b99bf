"""What needs no training: popularity, window counts, graph times text, the teacher's own lists."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import numpy as np

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.evaluate.evaluate_split import SPLITS
from dllm2rec.evaluate.graph_text import fit_graph_text
from dllm2rec.evaluate.metrics import RankCounts, list_metrics, rank_metrics
from dllm2rec.evaluate.seen_items import blocks_of_histories, lists_without_seen, seen_pairs
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import ResultRow


def baseline_rows(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    ks: Sequence[int],
    stop: Event | None = None,
    *,
    exclude_seen: bool,
    splits: Sequence[str] = SPLITS,
    graph_text: bool = False,
) -> list[ResultRow]:
    """Popularity, window counts and, where its lists are known, the teacher itself.

    Args:
        dataset: whose rows are scored.
        teacher: or None.
        ks: cut-offs of the metrics.
        stop: ends the work once it is set.
        exclude_seen: leave the items of each row's history out of the candidates.
        splits: those of "validation" and "test" that are scored; the others have no metrics.
        graph_text: also score graph times text, which takes several times as long as the others;
            it has no row where there are neither titles nor vectors of a teacher.

    Raises:
        CancelledError: `stop` was set before the end.
    """
    rows = {split: dataset.splits()[split] for split in splits}
    fitted = fit_window_counts(dataset, stop, exclude_seen=exclude_seen)
    popular = {
        split: rank_metrics(popularity_counts(dataset, part, exclude_seen=exclude_seen), ks)
        for split, part in rows.items()
    }
    counted = {
        split: rank_metrics(fitted.rank_counts(part, stop), ks) for split, part in rows.items()
    }
    detail = {"power": fitted.power, "constant": fitted.constant}
    results = [_row("popularity", popular, {}), _row("window counts", counted, detail)]
    if graph_text:
        vectors = None if teacher is None else teacher.item_embeddings
        graph = fit_graph_text(dataset, vectors, stop, exclude_seen=exclude_seen)
        if graph is not None:
            metrics = {
                split: rank_metrics(graph.rank_counts(part, stop), ks)
                for split, part in rows.items()
            }
            results.append(_row("graph times text", metrics, graph.form._asdict()))
    if teacher is not None:
        quality = teacher_quality(teacher, dataset, ks, exclude_seen=exclude_seen)
        if splits[-1] in quality:
            wanted = {split: metrics for split, metrics in quality.items() if split in splits}
            results.append(_row("teacher", wanted, {}))
    return results


def _row(name: str, metrics: dict[str, dict[str, float]], detail: dict[str, float]) -> ResultRow:
    return ResultRow(name, metrics.get("validation", {}), metrics.get("test", {}), detail)


def popularity_counts(
    dataset: SequenceDataset, rows: Rows, *, exclude_seen: bool = False
) -> RankCounts:
    """Rank each row's target by how often an item is a train target.

    Args:
        dataset: whose train rows are counted.
        rows: the rows to rank.
        exclude_seen: leave the items of each row's history out of the candidates, but for a target
            that repeats it.
    """
    counts = dataset.target_counts()
    ordered = np.sort(counts)
    of_target = counts[dataset.targets(rows)]
    not_above = np.searchsorted(ordered, of_target, side="right")
    greater = dataset.n_items - not_above
    equal = not_above - np.searchsorted(ordered, of_target, side="left") - 1
    for block in blocks_of_histories(rows) if exclude_seen else ():
        row, item = seen_pairs(dataset, rows.take(block))
        for compare, total in ((np.greater, greater), (np.equal, equal)):
            is_counted = compare(counts[item], of_target[block][row])
            total[block] -= np.bincount(row[is_counted], minlength=len(total[block]))
    return RankCounts(greater=greater, equal=equal)


def teacher_quality(
    knowledge: TeacherKnowledge,
    dataset: SequenceDataset,
    ks: Sequence[int] = (1, 5, 10, 20),
    *,
    exclude_seen: bool = False,
) -> dict[str, dict[str, float]]:
    """Measure the teacher's own lists: metrics by split ("validation", "test").

    A split is left out where the teacher has no lists for it, and a k beyond the lists' length.
    With `exclude_seen` the items of a row's history leave its list and the rest moves up; what the
    teacher would have listed in their stead is not known, and counts as missed.
    """
    rankings = {"validation": knowledge.ranking_validation, "test": knowledge.ranking_test}
    result = {}
    for split, ranking in rankings.items():
        if ranking is None:
            continue
        rows = dataset.splits()[split]
        lists = lists_without_seen(ranking, dataset, rows) if exclude_seen else ranking
        known = [k for k in ks if k <= ranking.shape[1]]
        result[split] = list_metrics(lists, dataset.targets(rows), known)
    return result
