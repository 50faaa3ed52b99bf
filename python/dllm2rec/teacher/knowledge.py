"""What the teacher says of each train row and each item, checked."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.teacher.asked_histories import AskedHistories, check_histories, history_notes
from dllm2rec.teacher.misplaced import misplaced_notes

_TILE = 16_384  # rows whose lists and windows are compared at once: about 3 MB for K 20 and L 10


@dataclass(frozen=True, eq=False)
class TeacherKnowledge:
    """The teacher's lists, how sure it is, and its view of the items.

    Lists for the train rows, lists for other histories and vectors: each is a teacher alone.

    Attributes:
        ranking: the teacher's items for each train row, best first, uint32 (R_train, top_n);
            n_items where a list has fewer, and all along a row without an answer.
        distance: distance of the row's generation to each listed item, 0 or more, small is sure,
            float32 (R_train, top_n); without it lists are weighted by rank.
        target_distance: the same distance to the row's true next item, float32 (R_train,).
        item_embeddings: the teacher's vector of each item, float32 (n_items, E).
        ranking_validation: lists for the validation rows, uint32 (R_validation, n).
        ranking_test: lists for the test rows, uint32 (R_test, n).
        histories: lists for histories that need not be rows of the dataset.
        short_lists: whether lists of train rows may be shorter than what is asked for, as answers
            are: the places that they lack hold no item then.
        notes: what a reader of results should know about the teacher, one sentence each.
        folder: where it was read, so that a run can find it again; None if it was made in memory.
    """

    ranking: npt.NDArray[np.uint32] | None = None
    distance: npt.NDArray[np.float32] | None = None
    target_distance: npt.NDArray[np.float32] | None = None
    item_embeddings: npt.NDArray[np.float32] | None = None
    ranking_validation: npt.NDArray[np.uint32] | None = None
    ranking_test: npt.NDArray[np.uint32] | None = None
    histories: AskedHistories | None = None
    short_lists: bool = False
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None

    def __repr__(self) -> str:
        """A few lines: what there is and its sizes, no arrays."""
        vectors = self.item_embeddings
        having = {
            "distances": self.distance is not None,
            "target distances": self.target_distance is not None,
            "validation lists": self.ranking_validation is not None,
            "test lists": self.ranking_test is not None,
        }
        there = [name for name, is_there in having.items() if is_there]
        if self.histories is not None:
            there.append(f"{len(self.histories):,} histories with lists")
        size = "no item vectors"
        if vectors is not None:
            size = f"{vectors.shape[0]:,} item vectors of width {vectors.shape[1]:,}"
        lists = "no lists"
        if self.ranking is not None:
            lists = f"{len(self.ranking):,} lists of {self.top_n} items"
        return (
            f"TeacherKnowledge: {lists}\n"
            f"  {', '.join([*there, size])}\n"
            f"  read from {self.folder}; {len(self.notes)} notes in .notes"
        )

    def __post_init__(self) -> None:
        for name, (dtype, ndim) in SHAPES.items():
            array = getattr(self, name)
            if array is not None and (array.dtype != dtype or array.ndim != ndim):
                raise InputError(
                    f"teacher {name}: {array.dtype} {array.shape}, "
                    f"expected {np.dtype(dtype).name} with {ndim} axes",
                    code="E-SHAPE",
                )
        if not self.has_lists and self.item_embeddings is None:
            raise InputError("teacher: neither lists nor item vectors, expected one of them")
        if self.ranking is not None and self.ranking.shape[1] < 1:
            raise InputError("teacher ranking: no columns, expected at least one", code="E-SHAPE")
        self._check_distances()

    @property
    def has_lists(self) -> bool:
        """Whether there are lists to learn from, for train rows or other histories."""
        return self.ranking is not None or self.histories is not None

    @property
    def top_n(self) -> int:
        """How many items the teacher lists for a train row; 0 without lists."""
        return 0 if self.ranking is None else int(self.ranking.shape[1])

    def fingerprint(self) -> str:
        """Return the sha256 of all arrays: what a run that goes on must find again."""
        digest = hashlib.sha256(b"teacher-1")
        for name, (dtype, _) in SHAPES.items():
            array = getattr(self, name)
            if array is not None:
                digest.update(f" {name} {array.shape} ".encode())
                little = np.dtype(dtype).newbyteorder("<")
                digest.update(np.ascontiguousarray(array, dtype=little).data)
        if self.histories is not None:
            self.histories.add_to(digest)
        return digest.hexdigest()

    def _check_distances(self) -> None:
        shape = (0, 0) if self.ranking is None else self.ranking.shape
        n_rows = shape[0]
        if self.distance is not None and self.distance.shape != shape:
            code = "E-ROWS" if self.distance.shape[0] != n_rows else "E-SHAPE"
            raise InputError(
                f"teacher distance: {self.distance.shape}, expected {shape}: one "
                "number for each listed item",
                code=code,
            )
        if self.target_distance is not None and self.target_distance.size != n_rows:
            raise InputError(
                f"teacher target_distance: {self.target_distance.size} numbers, expected {n_rows} "
                "as the ranking has rows",
                code="E-ROWS",
            )
        for name in ("distance", "target_distance"):
            _check_numbers(name, getattr(self, name), lowest=0.0)
        _check_numbers("item_embeddings", self.item_embeddings, lowest=-math.inf)


# The type and the number of axes of each array.
SHAPES: dict[str, tuple[type[np.generic], int]] = {
    "ranking": (np.uint32, 2),
    "distance": (np.float32, 2),
    "target_distance": (np.float32, 1),
    "item_embeddings": (np.float32, 2),
    "ranking_validation": (np.uint32, 2),
    "ranking_test": (np.uint32, 2),
}


def check_teacher(knowledge: TeacherKnowledge, dataset: SequenceDataset) -> None:
    """Refuse knowledge that does not fit the dataset: row counts, item range, catalogue size.

    Raises:
        InputError: it does not fit; the message has both numbers.
    """
    lists = {
        "ranking": (knowledge.ranking, dataset.train),
        "ranking_validation": (knowledge.ranking_validation, dataset.validation),
        "ranking_test": (knowledge.ranking_test, dataset.test),
    }
    for name, (ranking, rows) in lists.items():
        if ranking is not None:
            _check_ranking(name, ranking, rows, dataset.n_items)
    if knowledge.histories is not None:
        check_histories(knowledge.histories, dataset.n_items)
    vectors = knowledge.item_embeddings
    if vectors is not None and vectors.shape[0] != dataset.n_items:
        raise InputError(
            f"teacher item_embeddings: {vectors.shape[0]} rows, expected {dataset.n_items}: one "
            "for each item of the catalogue",
            code="E-SHAPE",
        )


def _check_ranking(name: str, ranking: npt.NDArray[np.uint32], rows: Rows, n_items: int) -> None:
    if ranking.shape[0] != len(rows):
        raise InputError(
            f"teacher {name}: {ranking.shape[0]} rows, expected {len(rows)}: one for each row of "
            "the dataset, in its order",
            code="E-ROWS",
        )
    bad = ranking > n_items
    if bad.any():
        row, place = (int(axis) for axis in np.argwhere(bad)[0])
        raise InputError(
            f"teacher {name}[{row}, {place}]: item {ranking[row, place]}, "
            f"expected 0..{n_items - 1}, or {n_items} for no item",
            code="E-RANK-RANGE",
        )


def _check_numbers(name: str, numbers: npt.NDArray[np.float32] | None, lowest: float) -> None:
    if numbers is None:
        return
    bad = ~(np.isfinite(numbers) & (numbers >= lowest))
    if bad.any():
        place = tuple(int(axis) for axis in np.argwhere(bad)[0])
        value = numbers[place]
        rule = "finite numbers" if math.isinf(lowest) else "finite distances, 0 or more"
        kind = "EMB" if name == "item_embeddings" else "CONF"
        fault = "NEGATIVE" if np.isfinite(value) else "NONFINITE"
        raise InputError(
            f"teacher {name}[{', '.join(map(str, place))}]: {value} "
            f"({int(bad.sum())} such numbers), expected {rule}",
            code=f"E-{kind}-{fault}",
        )


def observations(knowledge: TeacherKnowledge, dataset: SequenceDataset) -> list[str]:
    """Count what is allowed but tells whether teacher and dataset belong together."""
    notes = [] if knowledge.ranking is None else _row_notes(knowledge, knowledge.ranking, dataset)
    if knowledge.histories is not None:
        notes += history_notes(knowledge.histories, dataset)
    return notes


def _row_notes(
    knowledge: TeacherKnowledge, ranking: npt.NDArray[np.uint32], dataset: SequenceDataset
) -> list[str]:
    """Count what the lists of the train rows hold."""
    if not len(ranking):
        return []
    top_n, n_items = ranking.shape[1], dataset.n_items
    n_rows = int((ranking < n_items).any(axis=1).sum())
    if not n_rows:
        return [f"none of {len(ranking):,} train rows has a list"]
    hits, repeats = _hits_and_repeats(ranking, dataset)
    hit_rate, chance = hits / n_rows, top_n / n_items
    share = f"hr@{top_n} = {hit_rate:.4f}"
    places = f"{repeats:,} of {n_rows * top_n:,} list places ({repeats / (n_rows * top_n):.1%})"
    answered = "" if n_rows == len(ranking) else " with a list"
    notes = [
        f"the teacher lists the target in {hits:,} of {n_rows:,} train rows{answered} ({share})",
        f"{places} repeat an item of the window",
    ]
    missing = n_rows * top_n - int((ranking < n_items).sum())
    if missing:
        notes.append(f"{missing:,} of {n_rows * top_n:,} list places hold no item")
    # In a catalogue of under four lists, twice chance says nothing.
    if hit_rate < 2 * chance < 0.5:
        notes.append(
            f"W-TEACHER-RANDOM: hr@{top_n} on train rows is {hit_rate:.4f}, chance is "
            f"{chance:.4f}: check that the teacher's rows are those of this dataset, in its order"
        )
    else:
        notes += misplaced_notes(ranking, dataset)
    distance = knowledge.distance
    if distance is not None and distance.max() > 1000 and (distance == np.floor(distance)).all():
        notes.append(
            "W-CONF-ITEMS: all distances are whole and some exceed 1,000: check that they are not "
            "item indices"
        )
    return notes


def _hits_and_repeats(ranking: npt.NDArray[np.uint32], dataset: SequenceDataset) -> tuple[int, int]:
    """Count rows whose target is listed, and list places that hold an item of the window."""
    hits = repeats = 0
    for begin in range(0, len(ranking), _TILE):
        tile = slice(begin, begin + _TILE)
        windows = dataset.windows(dataset.train.take(tile))
        hits += int((ranking[tile] == windows.targets[:, None]).any(axis=1).sum())
        listed = np.zeros(ranking[tile].shape, dtype=np.bool_)
        for items in windows.sequences.T:
            listed |= ranking[tile] == items[:, None]
        # Padding of a window is no repeat of a missing place of a list.
        repeats += int((listed & (ranking[tile] < dataset.n_items)).sum())
    return hits, repeats
