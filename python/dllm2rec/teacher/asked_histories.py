"""What a teacher answered for histories of its own: pairs of a history and a list."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError

# The type, the number of axes and the file of each array, in their order.
HISTORY_ARRAYS: dict[str, tuple[type[np.generic], int, str]] = {
    "offsets": (np.int64, 1, "history_offsets.npy"),
    "items": (np.int32, 1, "history_items.npy"),
    "rankings": (np.int32, 2, "history_rankings.npy"),
    "distances": (np.float32, 2, "history_distances.npy"),
}


@dataclass(frozen=True, eq=False)
class AskedHistories:
    """A histories, each with the items that the teacher lists for what comes next.

    They need not be train rows: a user's state of today, a part of a history, one made up. Nothing
    is known of what came next, so a student learns from the list alone.

    Attributes:
        offsets: history a is `items[offsets[a]:offsets[a + 1]]`, int64 (A + 1,), from 0 up to the
            number of items, rising: no history is empty.
        items: item indices, oldest first, one history after the other, int32.
        rankings: the teacher's items for each history, best first, int32 (A, K); -1 where a list
            has fewer, and all along a history without an answer. No item twice in a list.
        distances: of the teacher's answer to each listed item, 0 or more, small is sure, float32
            (A, K), finite also where there is no item; None where lists are weighted by rank.
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    rankings: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many histories there are."""
        return len(self.rankings)

    def __repr__(self) -> str:
        """Sizes, no arrays."""
        distances = "" if self.distances is None else " with distances"
        return f"AskedHistories: {len(self):,} lists of up to {self.top_n} items{distances}"

    def __post_init__(self) -> None:
        for name, array in self.arrays().items():
            dtype, ndim, _ = HISTORY_ARRAYS[name]
            if array.dtype != dtype or array.ndim != ndim:
                raise InputError(
                    f"teacher histories.{name}: {array.dtype} {array.shape}, "
                    f"expected {np.dtype(dtype).name} with {ndim} axes",
                    code="E-SHAPE",
                )
        if not len(self):
            raise InputError(
                "teacher histories: none, expected at least one; leave the argument out",
                code="E-EMPTY",
            )
        if self.top_n < 1:
            raise InputError(
                "teacher histories.rankings: no columns, expected at least one", code="E-SHAPE"
            )
        self._check_offsets()
        self._check_lists()

    @property
    def top_n(self) -> int:
        """How many items a list holds at most."""
        return int(self.rankings.shape[1])

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays that there are, by name."""
        named = {name: getattr(self, name) for name in HISTORY_ARRAYS}
        return {name: array for name, array in named.items() if array is not None}

    def add_to(self, digest: hashlib._Hash) -> None:
        """Hash all arrays, whatever the byte order of the machine."""
        for name, array in self.arrays().items():
            digest.update(f" histories.{name} {array.shape} ".encode())
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(little.data)

    def _check_offsets(self) -> None:
        offsets = self.offsets
        if offsets.size != len(self) + 1:
            raise InputError(
                f"teacher histories.offsets: {offsets.size} numbers, expected {len(self) + 1}: "
                "where each list's history begins, and the end",
                code="E-ROWS",
            )
        if offsets[0] != 0 or offsets[-1] != self.items.size:
            raise InputError(
                f"teacher histories.offsets: from {offsets[0]} to {offsets[-1]}, expected from 0 "
                f"to {self.items.size}, the number of items",
                code="E-ROWS",
            )
        short = offsets[1:] <= offsets[:-1]
        if short.any():
            at = int(short.argmax())
            raise InputError(
                f"teacher histories[{at}]: begins at {offsets[at]} and ends at {offsets[at + 1]}, "
                "expected at least one item",
                code="E-EMPTY",
            )

    def _check_lists(self) -> None:
        ordered = np.sort(self.rankings, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
        if twice.any():
            at, place = (int(axis) for axis in np.argwhere(twice)[0])
            raise InputError(
                f"teacher histories.rankings[{at}]: item {ordered[at, place]} twice, expected "
                "every item once",
                code="E-RANK-DUP",
            )
        distances = self.distances
        if distances is None:
            return
        if distances.shape != self.rankings.shape:
            raise InputError(
                f"teacher histories.distances: {distances.shape}, expected {self.rankings.shape}: "
                "one number for each place of a list",
                code="E-ROWS" if len(distances) != len(self) else "E-SHAPE",
            )
        bad = ~(np.isfinite(distances) & (distances >= 0))
        if bad.any():
            at, place = (int(axis) for axis in np.argwhere(bad)[0])
            value = distances[at, place]
            raise InputError(
                f"teacher histories.distances[{at}, {place}]: {value}, expected finite "
                "distances, 0 or more",
                code="E-CONF-NEGATIVE" if np.isfinite(value) else "E-CONF-NONFINITE",
            )


def check_histories(histories: AskedHistories, n_items: int) -> None:
    """Refuse an item outside the catalogue, in a history or a list.

    Raises:
        InputError: there is one; the message says where.
    """
    outside = (histories.items < 0) | (histories.items >= n_items)
    if outside.any():
        place = int(outside.argmax())
        at = int(np.searchsorted(histories.offsets, place, side="right")) - 1
        raise InputError(
            f"teacher histories[{at}]: item {histories.items[place]}, expected 0..{n_items - 1}",
            code="E-RANK-RANGE",
        )
    outside = (histories.rankings < -1) | (histories.rankings >= n_items)
    if outside.any():
        at, place = (int(axis) for axis in np.argwhere(outside)[0])
        raise InputError(
            f"teacher histories.rankings[{at}, {place}]: item {histories.rankings[at, place]}, "
            f"expected 0..{n_items - 1}, or -1 for no item",
            code="E-RANK-RANGE",
        )


def as_train_rows(dataset: SequenceDataset, histories: AskedHistories) -> SequenceDataset:
    """The dataset with the histories behind its events, and one train row for each in their order.

    Where a row's target stands, its history's last item stands once more, as there is no target: a
    softmax counts that item once, as it does every other, and it can be no negative anyway.
    """
    begin, end = histories.offsets[:-1], histories.offsets[1:]
    events = np.insert(histories.items, end, histories.items[end - 1]).astype(np.uint32)
    first = dataset.events.size + np.arange(len(histories), dtype=np.int64)
    return replace(
        dataset,
        name=f"the teacher's histories for {dataset.name}",
        events=np.concatenate([dataset.events, events]),
        train=Rows(first + begin, first + end),
        users=None,
    )


def history_notes(histories: AskedHistories, dataset: SequenceDataset) -> list[str]:
    """Count what the lists hold, and what of it the histories hold already."""
    listed = histories.rankings >= 0
    n_listed, n_items = int(listed.sum()), dataset.n_items
    n_answered = int(listed.any(axis=1).sum())
    # One number for each (history, item), so that one look finds the repeats.
    owner = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
    known = owner * n_items + histories.items
    places = np.arange(len(histories))[:, None] * n_items + histories.rankings
    n_repeats = int(np.isin(places[listed], known).sum())
    share = n_repeats / max(n_listed, 1)
    note = (
        f"the teacher has lists for {n_answered:,} of {len(histories):,} histories of its own; "
        f"{n_repeats:,} of {n_listed:,} list places ({share:.1%}) repeat an item of the history"
    )
    return [note]
