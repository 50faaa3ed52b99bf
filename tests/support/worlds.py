"""Small worlds for the tests of training: a noisy cycle over the items, and teachers of it."""

from __future__ import annotations

import numpy as np

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.knowledge import TeacherKnowledge

N_ITEMS, LENGTH = 40, 5


def cycle_dataset(
    n_users: int = 120,
    *,
    n_train_users: int | None = None,
    noise: float = 0.1,
    shuffled: bool = False,
    seed: int = 0,
) -> SequenceDataset:
    """Users who walk up the items one by one: item i is followed by i + 1, but for some noise.

    Every user has ten events; the last is a test target, the one before a validation target. Where
    `n_train_users` is given, only the first so many users' events are learnt from.
    """
    rng = np.random.default_rng(seed)
    start = rng.integers(0, N_ITEMS, n_users)
    events = (start[:, None] + np.arange(10)) % N_ITEMS
    noisy = rng.random(events.shape) < (1.0 if shuffled else noise)
    events = np.where(noisy, rng.integers(0, N_ITEMS, events.shape), events)
    first = np.arange(n_users) * 10

    def rows(positions: list[int], users: int | None = None) -> Rows:
        end = (first[:users, None] + np.asarray(positions)).ravel()
        return Rows(np.repeat(first[:users], len(positions)), end)

    return SequenceDataset(
        name="cycle",
        catalogue=Catalogue(
            [f"item-{i}" for i in range(N_ITEMS)], [f"Title {i}" for i in range(N_ITEMS)]
        ),
        events=events.ravel().astype(np.uint32),
        max_length=LENGTH,
        train=rows(list(range(1, 8)), n_train_users),
        validation=rows([8]),
        test=rows([9]),
        has_users=True,
    )


def oracle_teacher(dataset: SequenceDataset, *, top_n: int = 8, seed: int = 0) -> TeacherKnowledge:
    """A teacher that knows the cycle: the next item first, then the ones after it."""
    last = dataset.events[dataset.train.end - 1].astype(np.int64)
    ranking = (last[:, None] + 1 + np.arange(top_n)) % N_ITEMS
    angle = 2 * np.pi * np.arange(N_ITEMS) / N_ITEMS
    circle = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)
    return _teacher(dataset, ranking, circle, seed)


def asked_histories(*, distances: bool = True, seed: int = 3) -> AskedHistories:
    """Histories along the cycle, of 1 to 9 items and no rows of any dataset, and what follows."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 10, 60)
    starts = rng.integers(0, N_ITEMS, 60)
    items = [(start + np.arange(n)) % N_ITEMS for start, n in zip(starts, lengths, strict=True)]
    following = (starts + lengths)[:, None] + np.arange(7)
    ranking = np.where(np.arange(7) < rng.integers(1, 8, 60)[:, None], following % N_ITEMS, -1)
    distance = np.sort(rng.uniform(0.4, 1.2, ranking.shape), axis=1).astype(np.float32)
    return AskedHistories(
        offsets=np.append(0, lengths.cumsum()),
        items=np.concatenate(items).astype(np.int32),
        rankings=ranking.astype(np.int32),
        distances=distance if distances else None,
    )


def random_teacher(dataset: SequenceDataset, *, top_n: int = 8, seed: int = 0) -> TeacherKnowledge:
    """A teacher that knows nothing."""
    rng = np.random.default_rng(seed)
    ranking = rng.permuted(np.tile(np.arange(N_ITEMS), (len(dataset.train), 1)), axis=1)[:, :top_n]
    return _teacher(dataset, ranking, rng.normal(size=(N_ITEMS, 4)), seed)


def _teacher(
    dataset: SequenceDataset, ranking: np.ndarray, embeddings: np.ndarray, seed: int
) -> TeacherKnowledge:
    rng = np.random.default_rng(seed)
    return TeacherKnowledge(
        ranking=ranking.astype(np.uint32),
        distance=np.sort(rng.uniform(0.4, 1.2, ranking.shape), axis=1).astype(np.float32),
        target_distance=rng.uniform(0.4, 1.2, len(ranking)).astype(np.float32),
        item_embeddings=embeddings.astype(np.float32),
        ranking_validation=None,
        ranking_test=None,
    )
