"""A student's rank counts on a split: users are encoded in blocks, items scored in tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dllm2rec.caller import one_or_more
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.listed_items import (
    Bonuses,
    CheckedWindow,
    checked_window,
    host_bonuses,
)
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.ranking import fused_rank_counts
from dllm2rec.evaluate.rows.among_drawn import (
    Drawn,
    difference,
    offset_as_bonuses,
    with_drawn,
)
from dllm2rec.evaluate.rows.sharded_ranks import sharded_rank_counts
from dllm2rec.runtime.distributed import gathered, process_blocks
from dllm2rec.students import Student
from dllm2rec.students.memory.device_memory import DeviceMemory, memory_on
from dllm2rec.students.memory.pair_memory import PairMemory
from dllm2rec.students.sharded import ShardedEmbedding, is_sharded

SPLITS = ("validation", "test")
KS = (1, 5, 10, 20)
# Fixed, so that a score's last bit never depends on a user's setting.
BLOCK_ROWS = 4096
# Blocks that are ranked by one call, which waits for a GPU several times. They are as many whole
# blocks of the call's own, so that no score depends on which blocks come together.
TOGETHER = 8
# Listed items that are kept for the next pass: 24 bytes each on a GPU, 100 MB at most.
MOST_KEPT = 1 << 22


def rows_to_rank(
    dataset: SequenceDataset, split: str, ks: int | Iterable[int] | None
) -> tuple[Rows, tuple[int, ...]]:
    """Return the rows of a split and the cut-offs of its metrics, by default `KS`.

    Raises:
        ConfigError: an unknown split, or a cut-off beyond the catalogue.
        InputError: the split has no rows.
    """
    if split not in SPLITS:
        raise ConfigError(f"split = {split!r}, expected one of {', '.join(SPLITS)}")
    ks = KS if ks is None else one_or_more(ks, int)
    if not ks or not 1 <= min(ks) <= max(ks) <= dataset.n_items:
        size = f"1..{dataset.n_items}, the size of the catalogue"
        raise ConfigError(f"k = {list(ks)}, expected {size}")
    rows = dataset.splits()[split]
    if len(rows) == 0:
        raise InputError(f"{dataset.name}: no {split} rows, expected at least one")
    return rows, ks


class SplitLists:
    """The items listed for each row of a split, laid out once for several passes over it.

    They are those whose score is moved: the window's, for a student that has an offset for them, or
    the whole history, where seen items are no candidates.
    """

    def __init__(self, rows: DeviceRows, *, exclude_seen: bool) -> None:
        self.rows = rows
        self.exclude_seen = exclude_seen
        self._kept: dict[int, CheckedWindow] = {}
        self._n_kept = 0

    def of_rows(
        self, number: int, block: Tensor, lengths: Tensor, targets: Tensor
    ) -> CheckedWindow:
        """The lists of some rows.

        Args:
            number: one number stands for the same rows always.
            block: row numbers, (B,).
            lengths: of their windows, (B,).
            targets: (B,).
        """
        if number not in self._kept:
            end = self.rows.end[block]
            if self.exclude_seen:
                listed = history_lists(self.rows.events, self.rows.start[block], end, targets)
            else:
                listed = history_lists(self.rows.events, end - lengths, end, None)
            device = self.rows.end.device
            checked = checked_window(listed, len(block), self.rows.n_items, device)
            if self._n_kept + len(listed[1]) > MOST_KEPT:
                return checked
            self._kept[number] = checked
            self._n_kept += len(listed[1])
        return self._kept[number]


@torch.no_grad()
def split_counts(
    student: Student,
    rows: DeviceRows,
    *,
    exclude_seen: bool = False,
    lists: SplitLists | None = None,
    memory: PairMemory | None = None,
    shared: bool = True,
    drawn: Drawn | None = None,
) -> RankCounts:
    """Rank every row's target among all items; each process ranks whole blocks, all get all counts.

    Args:
        student: on the device of `rows`; it is put into eval mode and back.
        rows: R rows.
        exclude_seen: leave the items of each row's history out of the candidates. A target that
            repeats the history stays a candidate, and is then scored without the window offset.
        lists: of the same rows and `exclude_seen`, for a caller that comes again.
        memory: what the student remembers of pairs.
        shared: whether all processes call it, and share the blocks; else this one ranks them all.
        drawn: items of each row, (R, n), among which alone its target is ranked; each a candidate.

    Returns:
        `greater` and `equal` counts of each row, (R,).
    """
    lists = SplitLists(rows, exclude_seen=exclude_seen) if lists is None else lists
    blocks = torch.split(torch.arange(len(rows)), BLOCK_ROWS)
    shared = shared and not is_sharded(student)  # whose items all processes rank, for all rows
    mine = process_blocks(len(blocks)) if shared else range(len(blocks))
    # A memory's bonuses are many: one block's at a time.
    together = TOGETHER if memory is None else 1
    table = torch.zeros(2, len(rows), dtype=torch.int64)
    remembered = None if memory is None else memory_on(rows.end.device, memory)
    with evaluating(student):
        items = student.item_table()
        for first in range(0, len(mine), together):
            some = [blocks[number] for number in mine[first : first + together]]
            block = encode_block(student, items, lists, mine[first], some)
            bonuses = None if remembered is None else block.bonuses(remembered)
            counts = block.counts(bonuses)
            if drawn is not None:
                rest = block.counts_without(drawn[torch.cat(some).numpy()], bonuses)
                counts = difference(counts, rest)
            table[:, torch.cat(some)] = torch.from_numpy(np.stack([counts.greater, counts.equal]))
    greater, equal = (gathered(table, "ranking") if shared else table).numpy()
    return RankCounts(greater, equal)


@contextmanager
def evaluating(student: Student) -> Iterator[None]:
    """Put a student into eval mode and back."""
    was_training = student.training
    student.eval()
    try:
        yield
    finally:
        student.train(was_training)


@dataclass(frozen=True, eq=False)
class EncodedBlock:
    """Rows of a split and all that ranks their targets, on the student's device.

    Attributes:
        users: (B, D).
        items: (N, D).
        bias: (N,) or None.
        targets: (B,).
        windows: sequences (B, L) and lengths (B,).
        listed: the items that `offset` moves, or None.
        offset: what is added to their scores.
        own: which items `items` and `bias` are, where other processes hold the others; else None.
    """

    users: Tensor
    items: Tensor
    bias: Tensor | None
    targets: Tensor
    windows: tuple[Tensor, Tensor]
    listed: CheckedWindow | None
    offset: float
    own: slice | None = None

    def bonuses(self, memory: PairMemory | DeviceMemory) -> Bonuses:
        """What a memory, of `memory_on` this device, adds to the scores of these rows."""
        if isinstance(memory, DeviceMemory):
            return memory.bonuses(*self.windows)
        sequences, lengths = (part.cpu().numpy().astype(np.uint32) for part in self.windows)
        return memory.bonuses(sequences, lengths)

    def counts(self, bonuses: Bonuses | None) -> RankCounts:
        """Rank the targets."""
        if self.own is not None:
            moves = self.listed, self.offset
            return sharded_rank_counts(
                self.users, self.items, self.targets, self.own, self.bias, *moves
            )
        return fused_rank_counts(
            self.users,
            self.items,
            self.targets,
            bias=self.bias,
            window=self.listed,
            window_offset=self.offset,
            bonuses=bonuses,
        )

    def counts_without(self, drawn: Drawn, bonuses: Bonuses | None) -> RankCounts:
        """Rank the targets where some items of each row, (B, n), are no candidates."""
        bonuses = host_bonuses(bonuses)
        masked = None
        if self.listed is not None and self.offset == -math.inf:
            masked = self.listed.on_host()
        elif self.listed is not None:
            listed, n_items = self.listed.on_host(), len(self.items)
            bonuses = offset_as_bonuses(listed, self.offset, bonuses, n_items)
        return fused_rank_counts(
            self.users,
            self.items,
            self.targets,
            bias=self.bias,
            window=with_drawn(masked, drawn),
            window_offset=-math.inf,
            bonuses=bonuses,
        )


def encode_block(
    student: Student, table: Tensor | None, lists: SplitLists, number: int, blocks: list[Tensor]
) -> EncodedBlock:
    """Encode blocks one by one, and put them together.

    Args:
        student: in eval mode.
        table: its `item_table()`.
        lists: of the rows.
        number: one number stands for the same blocks always.
        blocks: row numbers of each.
    """
    device = lists.rows.end.device
    encoded = []
    windows = []
    for block in blocks:
        sequences, lengths, targets = lists.rows.windows(block.to(device))
        encoded.append(student.encode(sequences, lengths, table))
        windows.append((sequences, lengths, targets))
    sequences, lengths, targets = (torch.cat(parts) for parts in zip(*windows, strict=True))
    rows = torch.cat(blocks).to(device)
    items, bias = student.output_items(table)
    listed, offset = None, 0.0
    if lists.exclude_seen:
        listed, offset = lists.of_rows(number, rows, lengths, targets), -math.inf
    elif student.window_offset is not None:
        listed = lists.of_rows(number, rows, lengths, targets)
        offset = float(student.window_offset)
    users = torch.cat(encoded)
    own = student.embedding.own if isinstance(student.embedding, ShardedEmbedding) else None
    return EncodedBlock(users, items, bias, targets, (sequences, lengths), listed, offset, own)


def history_lists(
    events: Tensor, begin: Tensor, end: Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Cut `events[begin:end]` of each row, one after the other.

    Args:
        events: all events, (n_events,).
        begin: first event of each row, (B,).
        end: one past the last, (B,).
        targets: where given, (B,): an event that is the row's target is left out, since a target
            is always a candidate.

    Returns:
        Where each row's items begin, (B + 1,), int64, and the items, int64.
    """
    row = torch.repeat_interleave(torch.arange(len(begin), device=begin.device), end - begin)
    first = torch.cumsum(end - begin, dim=0) - (end - begin)
    place = torch.arange(len(row), device=row.device) - first[row] + begin[row]
    items = events[place].long()
    if targets is not None:
        other = items != targets[row]
        row, items = row[other], items[other]
    offsets = torch.zeros(len(begin) + 1, dtype=torch.int64, device=begin.device)
    offsets[1:] = torch.bincount(row, minlength=len(begin)).cumsum(dim=0)
    return offsets, items
