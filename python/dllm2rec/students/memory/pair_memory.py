"""What a student remembers: which items followed which, counted, beside what it has learnt.

The score of item b gains, for each item of the window, `weight * age_decay**k * table[item, b]`, k
counting from the newest item, and

    table[a, b] = log(1 + M[a, b] / (M[a].sum()**power * scale)) + title_weight * C[a, b]

where M[a, b] adds up `count_decay**k` over the train rows whose target is b and whose window has a
at age k, and C[a, b] is how similar the titles of a and b are (`similar_titles`). A student of item
vectors under-memorises pairs; the two are trained apart and their scores are added, which
multiplies the odds that each gives. Sums over the window come out of a table of logarithms rather
than the other way round: as good, and no logarithm is left to serving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.errors import InputError
from dllm2rec.students.memory.similar_titles import SimilarTitles

MOST_FOLLOWERS = 256  # kept of each item, the strongest
MOST_AGES = 32  # older items of a long window are not counted: their weight is below a hundredth
HIGHEST_WEIGHT = 1_000_000  # far above any that a search chooses, far below what float32 holds


class ItemBonuses(NamedTuple):
    """What is added to the scores of some items of each row.

    Attributes:
        offsets: where each row's items begin, int64 (B + 1,).
        items: ascending within a row, uint32 (n,).
        values: float32 (n,).
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    def scaled(self, by: float) -> ItemBonuses:
        """Return the same items with every value times a number."""
        return self._replace(values=self.values * np.float32(by))


class PairCounts(NamedTuple):
    """How often items followed each other, each pair weighted by its age.

    Attributes:
        offsets: where each item's followers begin, int64 (N + 1,).
        items: ascending within an item, uint32 (n,).
        counts: float64 (n,).
        row_sums: of each item, followers that are not kept included, float64 (N,).
        cosines: of the titles of each pair, float32 (n,); None where titles were not compared.
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.float64]
    row_sums: npt.NDArray[np.float64]
    cosines: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class MemoryForm:
    """The numbers of a memory, all chosen on validation.

    Attributes:
        count_decay: how much less a pair counts for each item between its two.
        age_decay: how much less an older item of the window says.
        power: 0 takes counts as they are, 1 shares of what followed an item.
        scale: below it a count adds in proportion, above it by its logarithm.
        title_weight: what a pair with the same title gains, in the unit of the logarithms.
        weight: of the whole memory; 0 is none.
    """

    count_decay: float = 0.85
    age_decay: float = 0.5
    power: float = 0.5
    scale: float = 0.1
    title_weight: float = 0.0
    weight: float = 1.0

    def __str__(self) -> str:
        """`weight 0.5, age decay 0.3, ...`: the weight first."""
        parts = [f"{name.replace('_', ' ')} {value:.3g}" for name, value in asdict(self).items()]
        return ", ".join([parts[-1], *parts[:-1]])


@dataclass(frozen=True, eq=False)
class PairMemory:
    """The memory of a student: a sparse table of N items.

    Attributes:
        form: the numbers it was made with.
        offsets: where each item's followers begin, int64 (N + 1,).
        items: ascending within an item, uint32 (n,): at most `MOST_FOLLOWERS` that followed it, and
            those with similar titles.
        values: positive, float32 (n,).
    """

    form: MemoryForm
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def age_weights(self) -> npt.NDArray[np.float32]:
        """What an item of a window counts, the newest first, float32 (`MOST_AGES`,)."""
        ages = np.arange(MOST_AGES)
        return (self.form.weight * self.form.age_decay**ages).astype(np.float32)

    def bonuses(
        self, sequences: npt.NDArray[np.uint32], lengths: npt.NDArray[np.uint32]
    ) -> ItemBonuses:
        """Return what the memory adds to the scores of some windows.

        Args:
            sequences: items, oldest first, (B, L); places from the row's length on are ignored.
            lengths: how many are real, (B,).

        Raises:
            InputError: an item outside the catalogue, or a length above L.
        """
        weights = self.age_weights()[: max(sequences.shape[1], 1)]
        table = self.offsets, self.items, self.values
        return ItemBonuses(
            *_core.pair_bonuses(
                np.ascontiguousarray(sequences, dtype=np.uint32),
                np.ascontiguousarray(lengths, dtype=np.uint32),
                weights,
                table,
            )
        )


def count_pairs(
    windows: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint32]],
    n_items: int,
    decay: float,
) -> PairCounts:
    """Count the pairs of windows and targets.

    Args:
        windows: sequences (R, L), lengths (R,) and targets (R,).
        n_items: N.
        decay: weight of an item by its age: `decay**k`, k = 0 for the newest.
    """
    sequences, lengths, targets = windows
    ages = np.arange(min(MOST_AGES, max(sequences.shape[1], 1)))
    weights = (decay**ages).astype(np.float32)
    counted = _core.count_pairs(sequences, lengths, targets, weights, n_items, MOST_FOLLOWERS)
    return PairCounts(*counted)


def with_titles(counts: PairCounts, similar: SimilarTitles) -> PairCounts:
    """Put beside the pairs that were counted those whose titles are similar."""
    counted, alike = (_pair_keys(part.offsets, part.items) for part in (counts, similar))
    keys = np.union1d(counted, alike)
    both = np.zeros(len(keys), np.float64)
    both[np.searchsorted(keys, counted)] = counts.counts
    cosines = np.zeros(len(keys), np.float32)
    cosines[np.searchsorted(keys, alike)] = similar.cosines
    item, follower = np.divmod(keys, len(counts.row_sums))
    return PairCounts(
        np.searchsorted(item, np.arange(len(counts.row_sums) + 1)).astype(np.int64),
        follower.astype(np.uint32),
        both,
        counts.row_sums,
        cosines,
    )


def _pair_keys(
    offsets: npt.NDArray[np.int64], items: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """One number per pair, ascending."""
    n_items = len(offsets) - 1
    return np.repeat(np.arange(n_items) * n_items, np.diff(offsets)) + items


def make_memory(counts: PairCounts, form: MemoryForm) -> PairMemory:
    """Turn counts into a memory."""
    per_item = np.diff(counts.offsets)
    followed = np.where(counts.row_sums > 0, counts.row_sums, 1)  # of others nothing was counted
    norms = np.repeat(followed**form.power * form.scale, per_item)
    values = np.log1p(counts.counts / norms)
    if counts.cosines is None:
        return PairMemory(form, counts.offsets, counts.items, values.astype(np.float32))
    values += form.title_weight * counts.cosines
    keep = values > 0
    offsets = np.concatenate([[0], np.cumsum(keep)])[counts.offsets]
    return PairMemory(form, offsets, counts.items[keep], values[keep].astype(np.float32))


def memory_arrays(memory: PairMemory) -> dict[str, npt.NDArray[Any]]:
    """Return a memory's arrays by name, to be kept in a file."""
    return {"offsets": memory.offsets, "items": memory.items, "values": memory.values}


def read_memory(arrays: Mapping[str, npt.NDArray[Any]], form: Mapping[str, float]) -> PairMemory:
    """Build a memory from its arrays and the numbers of its form.

    Raises:
        KeyError, TypeError: an array or a number is missing, or of another type.
        InputError: the arrays do not fit together, or a number is out of its range.
    """
    expected = {"offsets": np.int64, "items": np.uint32, "values": np.float32}
    for name, dtype in expected.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            raise TypeError(f"{name}: {arrays[name].dtype}, expected {np.dtype(dtype)}")
    memory = PairMemory(MemoryForm(**form), arrays["offsets"], arrays["items"], arrays["values"])
    _check_table(memory)
    return memory


def _check_table(memory: PairMemory) -> None:
    """Check the whole table once; an answer checks no more than what it reads of it."""
    offsets, items, values = memory.offsets, memory.items, memory.values
    wrong = ""
    if not 0 <= memory.form.weight <= HIGHEST_WEIGHT:
        wrong = f"weight: {memory.form.weight}, expected 0..{HIGHEST_WEIGHT:,}"
    elif not 0 <= memory.form.age_decay <= 1:
        wrong = f"age decay: {memory.form.age_decay}, expected 0..1"
    elif len(values) != len(items):
        wrong = f"values: {len(values)} for {len(items)} items, expected as many"
    elif not len(offsets) or offsets[0] != 0 or offsets[-1] != len(items):
        wrong = f"offsets: expected them to rise from 0 to {len(items)}, the number of pairs"
    elif (offsets[1:] < offsets[:-1]).any():
        wrong = f"offsets: fall at item {int((offsets[1:] < offsets[:-1]).argmax())}"
    elif len(items) and int(items.max()) >= memory.n_items:
        wrong = f"items: {int(items.max())}, expected below {memory.n_items}"
    elif not np.isfinite(values).all():
        wrong = f"values: {values[~np.isfinite(values)][0]}, expected finite numbers"
    if wrong:
        raise InputError(f"pair memory: {wrong}")


def windows_of_lists(
    histories: Sequence[Sequence[int]], n_ages: int = MOST_AGES
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Cut windows from lists of items: sequences (B, L), right-padded with 0, lengths (B,)."""
    rows = [history[-n_ages:] for history in histories]
    lengths = np.array([len(row) for row in rows], dtype=np.uint32)
    sequences = np.zeros((len(rows), max(1, int(lengths.max(initial=0)))), dtype=np.uint32)
    for sequence, row in zip(sequences, rows, strict=True):
        sequence[: len(row)] = row
    return sequences, lengths
