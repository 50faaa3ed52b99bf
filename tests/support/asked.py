"""A small dataset with users and titles, for what language models answer about it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset, Users

TITLES = [
    "Shawshank Redemption, The (1994)",
    "Amélie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "Toy Story (1995)",
    "Toy Story 2 (1999)",
    "Godfather: Part II, The (1974)",
    "Seven (a.k.a. Se7en) (1995)",
    "Psycho (1960)",
    "Psycho (1998)",
    "Dumb & Dumber (Dumb and Dumber) (1994)",
    "Star Wars: Episode IV - A New Hope (1977)",
    "Braveheart (1995)",
    "Emma (1996)",
    "Emma (1996)",
    "Schindler's List (1993)",
]
IDS = [f"m{10 + n}" for n in range(len(TITLES))]
USERS = ["ann", "bob", "cid"]
LENGTH = 5  # events of a user: the last but one is of validation, the last one of test


def asked_dataset(*, users: bool = True, titles: list[str] | None = TITLES) -> SequenceDataset:
    """Three users who walk over the items; rows of leave-one-out."""
    events = np.array([(3 * u + k) % len(IDS) for u in range(3) for k in range(LENGTH)], np.uint32)
    starts = np.arange(0, len(events) + 1, LENGTH, dtype=np.int64)

    def rows(*places: int) -> Rows:
        pairs = [(start, start + place) for start in starts[:-1] for place in places]
        return Rows(*np.array(pairs, np.int64).T.copy())

    return SequenceDataset(
        name="asked",
        catalogue=Catalogue(IDS, titles),
        events=events,
        max_length=3,
        train=rows(1, 2),
        validation=rows(3),
        test=rows(4),
        has_users=users,
        users=Users(pa.array(USERS), starts) if users else None,
    )
