"""Whose a list is: a train row, or the history of a user, or one that the file spells out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import words
from dllm2rec.data.dataset import SequenceDataset, Users
from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.lists import AnsweredList


@dataclass(frozen=True, eq=False)
class UserStates:
    """Each user's train events.

    Attributes:
        index: number of each user, by external id.
        starts: where each user's events begin, (U,).
        ends: behind each user's last train event, (U,).
        is_held_out: which events are targets of validation or test rows, (E,).
    """

    index: dict[str, int]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    is_held_out: npt.NDArray[np.bool_]

    def history(self, dataset: SequenceDataset, user: int) -> npt.NDArray[np.int32]:
        """The items of a user's state after train, oldest first."""
        events = slice(int(self.starts[user]), int(self.ends[user]))
        return dataset.events[events][~self.is_held_out[events]].astype(np.int32)


def user_states(path: Path, dataset: SequenceDataset) -> UserStates:
    """Find each user's state after train: the events up to the last train target.

    A user without a train row has the events before the first held-out target, one without any row
    all of them. Held-out targets that lie between train events, as a given split may have them, are
    left out.

    Raises:
        InputError: the dataset does not say whose events are whose.
    """
    users = known_users(path, dataset)
    starts, ends = users.starts[:-1], users.starts[1:].copy()
    held_out = dataset.validation.followed_by(dataset.test).end
    np.minimum.at(ends, _user_of(users, held_out), held_out)
    last = np.full(len(starts), -1, np.int64)
    np.maximum.at(last, _user_of(users, dataset.train.end), dataset.train.end)
    ends = np.where(last >= 0, last + 1, ends)
    is_held_out = np.zeros(len(dataset.events), np.bool_)
    is_held_out[held_out] = True
    index = {name: number for number, name in enumerate(users.ids.to_pylist())}
    return UserStates(index, starts, ends, is_held_out)


def _user_of(users: Users, events: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.searchsorted(users.starts, events, side="right") - 1


def known_users(path: Path, dataset: SequenceDataset) -> Users:
    """The users of a dataset.

    Raises:
        InputError: it does not know them.
    """
    if dataset.users is None or not dataset.has_users:
        raise InputError(
            f"lists by user, but the dataset {dataset.name!r} does not say whose its events are, "
            "expected lists by row or with their histories",
            code="E-USERS",
            path=path,
            hint="prepare the dataset from a log with user ids, or write the column row or history",
        )
    return dataset.users


def check_row(path: Path, dataset: SequenceDataset, answered: AnsweredList) -> None:
    """Refuse a row that is not there, or is another user's than the list says.

    Raises:
        InputError: it is not that of the list.
    """
    row, n_rows = answered.row, len(dataset.train)
    assert row is not None  # noqa: S101 - for mypy
    if row >= n_rows:
        raise InputError(
            f"row {row}, expected 0..{n_rows - 1}, the train rows",
            code="E-ROWS",
            path=path,
            line=answered.line,
            hint="rows are counted from 0, in the dataset's order",
        )
    if answered.user is None:
        return
    whose = known_users(path, dataset).of_event(int(dataset.train.end[row]))
    if whose != answered.user:
        raise InputError(
            f"row {row} is of user {whose!a}, expected {answered.user!a} as the line says",
            code="E-ROW-OTHER",
            path=path,
            line=answered.line,
            hint="the rows are those of another dataset, or were counted in another order",
        )


def check_window(
    path: Path,
    dataset: SequenceDataset,
    answered: AnsweredList,
    history: npt.NDArray[np.int32],
) -> None:
    """Refuse a list for a train row that has another history than the list says.

    Raises:
        InputError: the last items of one are not those of the other.
    """
    assert answered.row is not None  # noqa: S101 - for mypy
    rows = dataset.train
    begin, end = int(rows.start[answered.row]), int(rows.end[answered.row])
    known = dataset.events[begin:end].astype(np.int32)
    n = min(len(known), len(history), dataset.max_length)
    if n and not np.array_equal(known[-n:], history[-n:]):
        raise InputError(
            f"row {answered.row} has another history than the line says, expected the same items "
            "in one order",
            code="E-ROW-OTHER",
            path=path,
            line=answered.line,
            hint="the rows are those of another dataset, or were counted in another order",
        )


def check_share(
    path: Path,
    what: str,
    n_known: int,
    n_all: int,
    min_known: float,
    *,
    lacks: tuple[str, int | None] = ("", None),
) -> None:
    """Refuse a file of which the dataset knows too little; `lacks` is one of these, and its line.

    Raises:
        InputError: it is another dataset's.
    """
    if n_all and n_known < min_known * n_all:
        cure = words(python="AnswerOptions(min_known=0)", option="--min-known 0")
        raise InputError(
            f"the dataset knows {n_known:,} of {n_all:,} {what}, expected a share of {min_known:g} "
            f"or more; it lacks {lacks[0][:60]!a}",
            code="E-FOREIGN",
            path=path,
            line=lacks[1],
            hint="is it the dataset that the model was asked about? if it is, take what is known "
            f"with {cure}",
        )
