"""The rows of a dataset that a teacher has lists for, whatever way it was asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.knowledge import TeacherKnowledge


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
    """

    split: str
    rows: Rows
    targets: npt.NDArray[np.uint32]
    lists: npt.NDArray[np.uint32]
    distances: npt.NDArray[np.float32] | None
    n_rows: int


def asked_rows(dataset: SequenceDataset, teacher: TeacherKnowledge) -> dict[str, AskedRows]:
    """Find the rows with a list, by split; a split without any is left out.

    A list for a history of the teacher's own, such as a user's state after train, is that of each
    validation or test row before whose target lie exactly those items, unless the teacher has
    lists for that split.
    """
    given = {
        "train": (teacher.ranking, teacher.distance),
        "validation": (teacher.ranking_validation, None),
        "test": (teacher.ranking_test, None),
    }
    found = {}
    for split, rows in dataset.splits().items():
        lists, distances = given[split]
        if lists is None and split != "train" and teacher.histories is not None:
            lists, distances = _of_histories(dataset, rows, teacher.histories)
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
            )
    return found


def _of_histories(
    dataset: SequenceDataset, rows: Rows, histories: AskedHistories
) -> tuple[npt.NDArray[np.uint32] | None, npt.NDArray[np.float32] | None]:
    """The lists of the rows whose whole history is one that the teacher was asked about."""
    bounds = zip(histories.offsets[:-1], histories.offsets[1:], strict=True)
    number = {histories.items[a:b].tobytes(): n for n, (a, b) in enumerate(bounds)}
    events = dataset.events.astype(np.int32)
    keys = (events[a:b].tobytes() for a, b in zip(rows.start, rows.end, strict=True))
    which = np.array([number.get(key, -1) for key in keys], np.int64)
    if not (which >= 0).any():
        return None, None
    lists = np.where(histories.rankings < 0, dataset.n_items, histories.rankings)[which]
    lists[which < 0] = dataset.n_items
    distances = None if histories.distances is None else histories.distances[which]
    return lists.astype(np.uint32), distances
