"""The pair memory on a device: the same bonuses as on the host, to the last bit, by torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dllm2rec.students.memory.pair_memory import ItemBonuses, PairMemory

MOST_TERMS = 1 << 25  # that are summed at a time: some 40 bytes each


class DeviceBonuses(NamedTuple):
    """`ItemBonuses`, on a device.

    Attributes:
        offsets: where each row's items begin, int64 (B + 1,).
        items: ascending within a row, int64 (n,).
        values: float32 (n,).
    """

    offsets: Tensor
    items: Tensor
    values: Tensor

    def scaled(self, by: float) -> DeviceBonuses:
        """Return the same items with every value times a number."""
        return self._replace(values=self.values * float(np.float32(by)))

    def on_host(self) -> ItemBonuses:
        """Copy them to CPU memory."""
        offsets, items, values = (part.cpu().numpy() for part in self)
        return ItemBonuses(offsets, items.astype(np.uint32), values)


@dataclass(frozen=True, eq=False)
class DeviceMemory:
    """A memory whose table lies on a device.

    Attributes:
        offsets: where each item's followers begin, int64 (N + 1,).
        items: int32 (n,).
        values: float32 (n,).
        age_weights: what an item of a window counts, the newest first, float64 (ages,).
    """

    offsets: Tensor
    items: Tensor
    values: Tensor
    age_weights: Tensor

    @classmethod
    def of(cls, memory: PairMemory, device: torch.device) -> DeviceMemory:
        """Copy a memory."""
        items = memory.items.astype(np.int32)
        arrays = memory.offsets, items, memory.values, memory.age_weights().astype(np.float64)
        return cls(*(torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in arrays))

    def bonuses(self, sequences: Tensor, lengths: Tensor) -> DeviceBonuses:
        """Return what the memory adds to the scores of some windows.

        Args:
            sequences: items, oldest first, (B, L); places from the row's length on are ignored.
            lengths: how many are real, (B,), at most L.
        """
        n_ages = min(sequences.shape[1], len(self.age_weights))
        place = lengths.long()[:, None] - 1 - torch.arange(n_ages, device=lengths.device)
        is_real = place >= 0
        asked = sequences.long().gather(1, place.clamp(min=0)).where(is_real, 0)
        n_terms = (self.offsets[asked + 1] - self.offsets[asked]).where(is_real, 0)
        ends = n_terms.sum(1).cumsum(0)
        parts = [self._of_rows(asked[rows], n_terms[rows]) for rows in _pieces(ends.cpu().numpy())]
        counts = torch.cat([ends.new_zeros(1), *(count for count, _, _ in parts)])
        items = torch.cat([self.offsets.new_zeros(0), *(items for _, items, _ in parts)])
        values = torch.cat([self.values.new_zeros(0), *(values for _, _, values in parts)])
        return DeviceBonuses(counts.cumsum(0), items, values)

    def _of_rows(self, asked: Tensor, n_terms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of some rows: how many items each has, the items, their values."""
        (n_rows, n_ages), device = asked.shape, asked.device
        n_items = len(self.offsets) - 1
        per_place = n_terms.reshape(-1)
        total = int(per_place.sum())
        place = torch.arange(n_rows * n_ages, device=device)
        place = place.repeat_interleave(per_place, output_size=total)
        first = self.offsets[asked.reshape(-1)] - (per_place.cumsum(0) - per_place)
        at = first[place] + torch.arange(total, device=device)
        terms = self.age_weights[place % n_ages] * self.values[at]
        keys = place // n_ages * n_items + self.items[at]
        if n_rows * n_items < 1 << 31:
            keys = keys.int()  # sorted in half the passes
        # Stable: an item's terms stay in the order of ages, in which the host adds them up.
        keys, order = keys.sort(stable=True)
        begins = torch.ones(total, dtype=torch.bool, device=device)
        torch.ne(keys[1:], keys[:-1], out=begins[1:])
        start = begins.nonzero()[:, 0]
        n_same = torch.diff(start, append=start.new_full((1,), total))
        terms = terms[order]
        sums = terms[start]
        for number in range(1, int(n_same.amax()) if total else 0):
            more = terms[(start + number).clamp(max=total - 1)]
            sums = sums + more.where(n_same > number, 0.0)
        found = keys[start].long()
        edges = torch.arange(n_rows + 1, device=device) * n_items
        return torch.searchsorted(found, edges).diff(), found % n_items, sums.float()


def memory_on(device: torch.device, memory: PairMemory) -> PairMemory | DeviceMemory:
    """The memory where windows of the device are answered: the CPU's kernel reads it as it is."""
    return memory if device.type == "cpu" else DeviceMemory.of(memory, device)


def _pieces(ends: np.ndarray) -> list[slice]:
    """Cut rows into neighbours with at most `MOST_TERMS` terms together, one row at least.

    Args:
        ends: terms of all rows up to each, (B,).
    """
    pieces, first, done = [], 0, 0
    while first < len(ends):
        last = max(int(np.searchsorted(ends, done + MOST_TERMS, side="right")), first + 1)
        pieces.append(slice(first, last))
        first, done = last, int(ends[last - 1])
    return pieces
