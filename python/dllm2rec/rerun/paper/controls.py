"""Teachers that know nothing: what is learnt from them must change nothing beyond noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dllm2rec.teacher.knowledge import TeacherKnowledge


def random_teacher(
    teacher: TeacherKnowledge, n_items: int, rng: np.random.Generator
) -> TeacherKnowledge:
    """A teacher of the same shape whose lists and vectors are drawn at random.

    Every item is as likely at every place of a list, none twice in it; places without an item stay
    so. Vectors are normal, with the mean and deviation of each column. Distances are those of other
    rows. Nothing else is kept.

    Args:
        teacher: with lists for train rows and vectors.
        n_items: N.
        rng: what to draw from.
    """
    control = shuffled_teacher(teacher, rng)
    assert control.ranking is not None  # noqa: S101 - for mypy
    assert control.item_embeddings is not None  # noqa: S101 - for mypy
    is_item = control.ranking < n_items
    lists = _distinct_items(control.ranking.shape, n_items, rng)
    vectors = control.item_embeddings
    drawn = rng.normal(vectors.mean(axis=0), vectors.std(axis=0), vectors.shape)
    return replace(
        control,
        ranking=np.where(is_item, lists, np.uint32(n_items)).astype(np.uint32),
        item_embeddings=drawn.astype(np.float32),
    )


def shuffled_teacher(teacher: TeacherKnowledge, rng: np.random.Generator) -> TeacherKnowledge:
    """A teacher with the lists of other train rows and the vectors of other items.

    A list keeps its distances. Lists for validation rows, test rows and other histories are left
    out: a training reads none of those.

    Args:
        teacher: with lists for train rows and vectors.
        rng: what to draw from.
    """
    assert teacher.ranking is not None  # noqa: S101 - for mypy
    assert teacher.item_embeddings is not None  # noqa: S101 - for mypy
    row = rng.permutation(len(teacher.ranking))
    distance, of_target = teacher.distance, teacher.target_distance
    return TeacherKnowledge(
        ranking=teacher.ranking[row],
        distance=None if distance is None else distance[row],
        target_distance=None if of_target is None else of_target[row],
        item_embeddings=rng.permutation(teacher.item_embeddings, axis=0),
        short_lists=teacher.short_lists,
    )


def _distinct_items(
    shape: tuple[int, ...], n_items: int, rng: np.random.Generator
) -> npt.NDArray[np.uint32]:
    """Draw items without replacement in each row, of the shape (n_rows, n_places).

    Floyd's method, for all rows at once: the place after j takes an item up to the j-th of the
    last `n_places`, or that one itself where the item was taken before.
    """
    n_rows, n_places = shape
    taken = np.empty(shape, dtype=np.uint32)
    for place, last in enumerate(range(n_items - n_places, n_items)):
        item = rng.integers(0, last + 1, n_rows, dtype=np.uint32)
        is_taken = (taken[:, :place] == item[:, None]).any(axis=1)
        taken[:, place] = np.where(is_taken, np.uint32(last), item)
    return rng.permuted(taken, axis=1)
