"""The rows of a dataset that a teacher has lists for, whatever way it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.teacher.answers.keys import user_states
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.knowledge import TeacherKnowledge

MIN_EXACT = 0.1  # share of the histories that rows go on from exactly


@dataclass(frozen=True, eq=False)
class AskedRows:
    """The rows of one split that have a list.

    Attributes:
        split: "train", "validation" or "test".
        rows: the rows, R of them.
        targets: their next items, (R,).
        lists: items, best first, `n_items` where a list has fewer, uint32 (R, K).
        distances: of each place, float32 (R, K), or None.
        n_rows: how many rows the split has, with a list or without.
        by_state: whether the lists are for the users' states after train, whatever came since.
    """

    split: str
    rows: Rows
    targets: npt.NDArray[np.uint32]
    lists: npt.NDArray[np.uint32]
    distances: npt.NDArray[np.float32] | None
    n_rows: int
    by_state: bool = False


def asked_rows(dataset: SequenceDataset, teacher: TeacherKnowledge) -> dict[str, AskedRows]:
    """Find the rows with a list, by split; a split without any is left out.

    Unless the teacher has lists for the split, a list for a history of its own is that of each
    validation or test row before whose target lie exactly those items. Where hardly any row has
    such a history, as where held-out events lie between train events, a list for a user's state
    after train is that of all held-out rows of this user.
    """
    given = {
        "train": (teacher.ranking, teacher.distance),
        "validation": (teacher.ranking_validation, None),
        "test": (teacher.ranking_test, None),
    }
    found = {}
    histories = teacher.histories
    which, by_state = _histories_of_rows(dataset, histories)
    for split, rows in dataset.splits().items():
        (lists, distances), is_state = given[split], False
        if lists is None and histories is not None and split in which:
            lists, distances = _lists_of(histories, which[split], dataset.n_items)
            is_state = by_state
        if lists is None:
            continue
        answered = np.flatnonzero((lists < dataset.n_items).any(axis=1))
        if len(answered):
            part = rows.take(answered)
            found[split] = AskedRows(
                split,
                part,
                dataset.targets(part),
                lists[answered],
                None if distances is None else distances[answered],
                len(rows),
                is_state,
            )
    return found


def _histories_of_rows(
    dataset: SequenceDataset, histories: AskedHistories | None
) -> tuple[dict[str, npt.NDArray[np.int64]], bool]:
    """The history that each held-out row's list is for, or -1; whether by users' states."""
    if histories is None:
        return {}, False
    bounds = zip(histories.offsets[:-1], histories.offsets[1:], strict=True)
    number = {histories.items[a:b].tobytes(): n for n, (a, b) in enumerate(bounds)}
    events = dataset.events.astype(np.int32)
    held_out = {"validation": dataset.validation, "test": dataset.test}
    exact = {}
    for split, rows in held_out.items():
        keys = (events[a:b].tobytes() for a, b in zip(rows.start, rows.end, strict=True))
        exact[split] = np.array([number.get(key, -1) for key in keys], np.int64)
    met = max(len(np.unique(which[which >= 0])) for which in exact.values())
    users = dataset.users
    if met >= MIN_EXACT * len(histories) or users is None or not dataset.has_users:
        return exact, False
    states = user_states(Path(dataset.name), dataset)
    items = (states.history(dataset, user) for user in range(len(states.starts)))
    of_user = np.array([number.get(one.tobytes(), -1) for one in items], np.int64)
    by_state = {
        split: of_user[np.searchsorted(users.starts, rows.end, side="right") - 1]
        for split, rows in held_out.items()
    }
    return (by_state, True) if (of_user >= 0).any() else (exact, False)


def _lists_of(
    histories: AskedHistories, which: npt.NDArray[np.int64], n_items: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32] | None]:
    """The lists of some histories; of -1 an empty one."""
    lists = np.where(histories.rankings < 0, n_items, histories.rankings)[which]
    lists[which < 0] = n_items
    distances = None if histories.distances is None else histories.distances[which]
    return lists.astype(np.uint32), distances
