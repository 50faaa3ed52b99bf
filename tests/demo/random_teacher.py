"""A teacher that knows nothing: what the demo teacher is compared with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.demo.exact_vectors import unit
from dllm2rec.teacher.knowledge import TeacherKnowledge


def random_teacher(
    dataset: SequenceDataset, seed: int = 0, *, top_n: int = 20, width: int = 48
) -> TeacherKnowledge:
    """Make a teacher that knows nothing, with the shapes of one that does.

    Lists are uniform draws of distinct items, distances and vectors independent of everything.
    """
    rng = np.random.default_rng([20240818, seed])
    n_train, n_items = len(dataset.train), dataset.n_items
    distance = np.sort(rng.uniform(0.6, 1.4, (n_train, top_n)), axis=1).astype(np.float32)
    return TeacherKnowledge(
        ranking=_random_lists(rng, n_train, n_items, top_n),
        distance=distance,
        target_distance=rng.uniform(0.6, 1.4, n_train).astype(np.float32),
        item_embeddings=unit(rng.standard_normal((n_items, width))).astype(np.float32),
        ranking_validation=_random_lists(rng, len(dataset.validation), n_items, top_n),
        ranking_test=_random_lists(rng, len(dataset.test), n_items, top_n),
        notes=["a random teacher: it knows nothing"],
    )


def _random_lists(
    rng: np.random.Generator, n_rows: int, n_items: int, top_n: int
) -> npt.NDArray[np.uint32]:
    """Draw `top_n` distinct items per row uniformly (Floyd's method), in random order."""
    lists = np.empty((n_rows, top_n), dtype=np.int64)
    for place, highest in enumerate(range(n_items - top_n, n_items)):
        drawn = rng.integers(0, highest + 1, n_rows)
        is_there = (lists[:, :place] == drawn[:, None]).any(axis=1)
        lists[:, place] = np.where(is_there, highest, drawn)
    return rng.permuted(lists, axis=1).astype(np.uint32)
