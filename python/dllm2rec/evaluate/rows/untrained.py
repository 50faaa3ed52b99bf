"""The scorers that need no training, row by row: popularity, window counts, the teacher's lists."""

from __future__ import annotations

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.baselines import popularity_counts
from dllm2rec.evaluate.metrics import list_counts
from dllm2rec.evaluate.rows.among_drawn import Drawn, counts_by_item
from dllm2rec.evaluate.rows.scored_rows import Scorer
from dllm2rec.evaluate.seen_items import lists_without_seen
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.teacher.knowledge import TeacherKnowledge


def untrained_scorers(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    split: str,
    *,
    exclude_seen: bool,
    drawn: Drawn | None = None,
) -> list[Scorer]:
    """Rank the targets of a split by popularity, window counts and the teacher's own lists.

    The teacher is left out where it has no lists for the split.

    Args:
        dataset: whose rows are ranked.
        teacher: or None.
        split: "test" or "validation".
        exclude_seen: leave the items of each row's history out of the candidates; a teacher's list
            then moves up, and what would have been listed in their stead counts as missed.
        drawn: items of each row, (R, n), among which alone its target is ranked; a teacher's lists
            stay as they are, as how many of these items stand above a target that no list holds is
            not known.
    """
    rows = dataset.splits()[split]
    if drawn is None:
        popular = popularity_counts(dataset, rows, exclude_seen=exclude_seen)
    else:
        popular = counts_by_item(dataset.target_counts(), dataset.targets(rows), drawn)
    fitted = fit_window_counts(dataset, exclude_seen=exclude_seen)
    counted = fitted.rank_counts(rows, drawn=drawn)
    found = [Scorer("popularity", popular), Scorer("window counts", counted)]
    lists = None
    if teacher is not None:
        lists = teacher.ranking_test if split == "test" else teacher.ranking_validation
    if lists is not None:
        depth = lists.shape[1]
        lists = lists_without_seen(lists, dataset, rows) if exclude_seen else lists
        found.append(Scorer("teacher", list_counts(lists, dataset.targets(rows)), depth=depth))
    return found
