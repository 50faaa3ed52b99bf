"""Lists that know the train targets: they hit those far more often than targets never shown."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.teacher.knowledge import TeacherKnowledge

# Honest teachers hit train and held-out targets about alike (0.9 to 1.5 times on Games, Toys and
# MovieLens-1M), and a chance difference of five standard errors comes once in millions.
MIN_RATIO = 2.0
MIN_ERRORS = 5.0


def leak_notes(knowledge: TeacherKnowledge, dataset: SequenceDataset) -> list[str]:
    """Name a teacher that leaks, in one note or none.

    Compared are the shares of answered rows whose target is listed, over lists of one length:
    train rows with validation rows, or with test rows where there are no validation lists. It leaks
    where the train share is over `MIN_RATIO` times the other and the difference is over
    `MIN_ERRORS` standard errors, sqrt(p (1 - p) (1/n + 1/m)) with p the share of all n + m rows.
    """
    held_out = {
        "validation": (knowledge.ranking_validation, dataset.validation),
        "test": (knowledge.ranking_test, dataset.test),
    }
    split = next((name for name, (lists, _) in held_out.items() if lists is not None), None)
    if knowledge.ranking is None or split is None:
        return []
    ranking, rows = held_out[split]
    assert ranking is not None  # noqa: S101 - for mypy
    k = min(knowledge.top_n, ranking.shape[1])
    hits, n = _hits(knowledge.ranking[:, :k], dataset, dataset.train)
    held_hits, m = _hits(ranking[:, :k], dataset, rows)
    if not (n and m):
        return []
    share, held_share, p = hits / n, held_hits / m, (hits + held_hits) / (n + m)
    error = math.sqrt(p * (1 - p) * (1 / n + 1 / m))
    if share <= MIN_RATIO * held_share or share - held_share <= MIN_ERRORS * error:
        return []
    note = (
        f"W-TEACHER-LEAK hr@{k} is {share:.4f} on train rows and {held_share:.4f} on {split} rows "
        f"({n:,} and {m:,} with an answer): the teacher seems to have seen the train targets, and "
        "a student learns little from lists of what it is shown anyway"
    )
    return [note]


def _hits(ranking: npt.NDArray[np.uint32], dataset: SequenceDataset, rows: Rows) -> tuple[int, int]:
    """How many rows list their target, and how many list anything."""
    hits = (ranking == dataset.targets(rows)[:, None]).any(axis=1)
    return int(hits.sum()), int((ranking < dataset.n_items).any(axis=1).sum())
