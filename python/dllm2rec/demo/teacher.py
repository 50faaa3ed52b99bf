"""The teacher of the demo dataset, which sees tastes and items through noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.demo.exact_vectors import UNIT, Float64Matrix, unit, whole
from dllm2rec.demo.settings import DemoSettings
from dllm2rec.teacher.knowledge import TeacherKnowledge


def demo_teacher(
    rng: np.random.Generator,
    settings: DemoSettings,
    items: Float64Matrix,
    row_tastes: dict[str, Float64Matrix],
    dataset: SequenceDataset,
) -> TeacherKnowledge:
    """Let the teacher see tastes and items through noise, both in its own wider space."""
    rotation = unit(rng.standard_normal((settings.taste_dims, settings.teacher_width)))
    vectors = whole(_seen(rng, items, rotation, settings.teacher_item_noise))
    lists, distances, similarities = {}, {}, {}
    for which, tastes in row_tastes.items():
        seen = whole(_seen(rng, tastes, rotation, settings.teacher_taste_noise))
        similarity = seen @ vectors.T  # exact
        lists[which] = _best(similarity, settings.top_n)
        distances[which] = _distance(np.take_along_axis(similarity, lists[which], axis=1))
        similarities[which] = similarity
    targets = dataset.targets(dataset.train).astype(np.int64)
    of_target = similarities["train"][np.arange(targets.size), targets]
    return TeacherKnowledge(
        ranking=lists["train"].astype(np.uint32),
        distance=distances["train"],
        target_distance=_distance(of_target),
        item_embeddings=(vectors / UNIT).astype(np.float32),
        ranking_validation=lists["validation"].astype(np.uint32),
        ranking_test=lists["test"].astype(np.uint32),
        notes=["a generated teacher: it sees tastes and items through noise"],
    )


def _best(similarity: Float64Matrix, n: int) -> npt.NDArray[np.int64]:
    """Return the n best items of each row, best first, the smaller item first among equals."""
    n_items = similarity.shape[1]
    keys = np.arange(n_items) - n_items * similarity  # whole numbers below 2**53: exact, no ties
    few = np.argpartition(keys, n - 1, axis=1)[:, :n]
    order = np.argsort(np.take_along_axis(keys, few, axis=1), axis=1)
    best: npt.NDArray[np.int64] = np.take_along_axis(few, order, axis=1)
    return best


def _seen(
    rng: np.random.Generator, vectors: Float64Matrix, rotation: Float64Matrix, noise: float
) -> Float64Matrix:
    """Return unit vectors in the teacher's space, off by noise of the given relative length."""
    placed = unit(vectors @ rotation)
    return unit(placed + noise * unit(rng.standard_normal(placed.shape)))


def _distance(similarity: Float64Matrix) -> npt.NDArray[np.float32]:
    """Return the Euclidean distance of unit vectors from their exact product."""
    return np.sqrt(np.maximum(2 - 2 * similarity / UNIT**2, 0)).astype(np.float32)
