"""What train rows give away of validation and test rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.protocol.splits import last_rows
from dllm2rec.data.protocol.user_order import blocks
from dllm2rec.errors import InputError

# Bits of the table that finds train rows which may equal another row: some 1 in 32 of those that do
# not is found too.
_MOST_BITS = 28
_BLOCK_ITEMS = 1 << 24  # items of windows cut together


@dataclass(frozen=True)
class Leaks:
    """Counts; none of them is an error by itself.

    Attributes:
        rows_in_train: validation and test rows whose window and target are those of a train row.
        targets_in_window: validation and test rows whose target is in their own window.
        targets_in_train: validation and test targets that are events of a train row's history. Only
            a `given` split can have some.
        train_after_test: train rows whose target is later than the first target of a test row;
            None without times. Leave-one-out always has some, a split by time none.
    """

    rows_in_train: int
    targets_in_window: int
    targets_in_train: int
    train_after_test: int | None

    def notes(self) -> list[str]:
        """What a reader of results should know, one sentence each."""
        notes = []
        if self.rows_in_train:
            notes.append(f"W-LEAK {self.rows_in_train:,} validation and test rows are in train too")
        if self.targets_in_train:
            notes.append(
                f"W-LEAK {self.targets_in_train:,} validation and test targets are in the history "
                "of a train row"
            )
        if self.targets_in_window:
            notes.append(
                f"W-SEEN {self.targets_in_window:,} validation and test targets are in their window"
            )
        return notes


def rows_leaked(name: str, n_rows: int) -> InputError:
    """Return the error for validation and test rows that are train rows too."""
    return InputError(
        f"{name}: {n_rows:,} validation and test rows are train rows too, expected none",
        code="E-LEAK",
        hint="drop duplicates or repeats, or leave out strict",
    )


def find_leaks(dataset: SequenceDataset, times: npt.NDArray[np.int64] | None) -> Leaks:
    """Look for them; the rows are in the order of the log."""
    others = dataset.validation.followed_by(dataset.test)
    later = None
    if times is not None:
        later = 0
        if len(dataset.test) and len(dataset.train):
            first = times[dataset.test.end].min()
            ends = dataset.train.end
            later = sum(
                int(np.count_nonzero(times[ends[block]] > first)) for block in blocks(len(ends))
            )
    return Leaks(
        _rows_in_train(dataset, others),
        _targets_in_window(dataset, others),
        _targets_in_train(dataset.train, others),
        later,
    )


def _targets_in_train(train: Rows, others: Rows) -> int:
    if not len(train):
        return 0
    # Of a user's train rows the last one has the longest history.
    last = last_rows(train)
    starts, ends = last.start, last.end
    place = np.minimum(np.searchsorted(starts, others.start), len(starts) - 1)
    return int(np.count_nonzero((starts[place] == others.start) & (others.end < ends[place])))


def _targets_in_window(dataset: SequenceDataset, rows: Rows) -> int:
    found = 0
    for block in _row_blocks(dataset, rows):
        windows = dataset.windows(rows.take(block))
        found += int((windows.sequences == windows.targets[:, None]).any(axis=1).sum())
    return found


def _rows_in_train(dataset: SequenceDataset, others: Rows) -> int:
    """Count by hash; of the train rows only those are hashed that end as another row ends.

    What is held grows with the other rows, not with the train rows.
    """
    if not len(others) or not len(dataset.train):
        return 0
    bits = min(_MOST_BITS, len(others).bit_length() + 5)
    ends = np.zeros(1 << bits, bool)
    ends[_end_bits(dataset, others, bits)] = True
    wanted = [_row_hashes(dataset, others.take(b)) for b in _row_blocks(dataset, others)]
    hashes, counts = np.unique(np.concatenate(wanted), return_counts=True)
    is_met = np.zeros(len(hashes), bool)
    for block in blocks(len(dataset.train)):
        rows = dataset.train.take(block)
        rows = rows.take(ends[_end_bits(dataset, rows, bits)])
        for some in _row_blocks(dataset, rows):
            found = _row_hashes(dataset, rows.take(some))
            place = np.searchsorted(hashes, found)
            place = place[hashes[np.minimum(place, len(hashes) - 1)] == found]
            is_met[place] = True
    return int(counts[is_met].sum())


def _row_blocks(dataset: SequenceDataset, rows: Rows) -> Iterator[slice]:
    """Blocks of rows whose windows are some million items together."""
    step = max(1, _BLOCK_ITEMS // dataset.max_length)
    return (slice(begin, begin + step) for begin in range(0, len(rows), step))


def _end_bits(dataset: SequenceDataset, rows: Rows, bits: int) -> npt.NDArray[np.uint64]:
    """Mix the last item of the history and the target."""
    key = dataset.events[rows.end - 1].astype(np.uint64) << np.uint64(32)
    key |= dataset.events[rows.end]
    return key * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - bits)


def _row_hashes(dataset: SequenceDataset, rows: Rows) -> npt.NDArray[np.uint64]:
    """Hash windows and targets to 64 bits; two different rows share one with odds of 2**-64."""
    windows = dataset.windows(rows)
    mixed = windows.targets.astype(np.uint64)
    for column in windows.sequences.T:
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed += column.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    return mixed ^ (mixed >> np.uint64(32))
