"""Rows on a device, cut into windows there.

Nothing here copies a window: the device holds every event once, and a row is two pointers into
them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec import _core
from dllm2rec.data.dataset import Rows, SequenceDataset


@dataclass(frozen=True, eq=False)
class DeviceRows:
    """Row pointers and events on one device.

    Attributes:
        events: every user's items, oldest first, one after the other, (n_events,), int32.
        start: where each row's history begins in `events`, (R,), int64.
        end: where each row's target stands in `events`, (R,), int64.
        max_length: L, the longest window.
        n_items: N, also the padding index.
    """

    events: Tensor
    start: Tensor
    end: Tensor
    max_length: int
    n_items: int

    def __len__(self) -> int:
        """The number of rows, R."""
        return len(self.end)

    def first(self, n_rows: int) -> DeviceRows:
        """The first rows."""
        return replace(self, start=self.start[:n_rows], end=self.end[:n_rows])

    def followed_by(self, other: DeviceRows) -> DeviceRows:
        """These rows and then the others, whose events begin with these."""
        start, end = torch.cat([self.start, other.start]), torch.cat([self.end, other.end])
        return replace(other, start=start, end=end)

    def windows(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut the windows of some rows, without a host synchronisation.

        Args:
            rows: row numbers, (B,), int64.

        Returns:
            sequences (B, L) int64 right-padded with `n_items`; lengths (B,) int64; targets (B,)
            int64.
        """
        if not rows.is_cuda:
            return self._gathered(rows)
        end = self.end[rows]
        begin = torch.maximum(self.start[rows], end - self.max_length)
        lengths = end - begin
        places = torch.arange(self.max_length, device=end.device)
        inside = places < lengths[:, None]
        items = self.events[torch.where(inside, begin[:, None] + places, 0)].long()
        return torch.where(inside, items, self.n_items), lengths, self.events[end].long()

    def _gathered(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same by the kernel: events and pointers may be files that memory does not hold."""
        start, end = self.start[rows].numpy(), self.end[rows].numpy()
        events = self.events.numpy().view(np.uint32)
        parts = _core.gather_windows(events, start, end, self.max_length, self.n_items)
        sequences, lengths, targets = (torch.from_numpy(p.view(np.int32)).long() for p in parts)
        return sequences, lengths, targets


@dataclass(frozen=True, eq=False)
class PassWindows:
    """The windows that one causal pass over each reads for a batch of B rows.

    Attributes:
        sequences: P windows, (P, L), right-padded with `n_items`.
        lengths: real items of each, (P,).
        own: the window of each row, (B,).
        age: how many items of it came after the row's history, (B,).
    """

    sequences: Tensor
    lengths: Tensor
    own: Tensor
    age: Tensor

    def zero_(self) -> None:
        """Set all to empty windows, in place."""
        for part in (self.sequences, self.lengths, self.own, self.age):
            part.zero_()


@dataclass(frozen=True, eq=False)
class DeviceEvents:
    """Every event of a dataset on one device: what the rows of all its splits point into.

    Attributes:
        events: every user's items, oldest first, one after the other, (n_events,), int32.
        max_length: L, the longest window.
        n_items: N, also the padding index.
    """

    events: Tensor
    max_length: int
    n_items: int

    def rows(self, rows: Rows) -> DeviceRows:
        """Put the pointers of some rows beside the events."""
        device = self.events.device
        return DeviceRows(
            events=self.events,
            start=_tensor(rows.start).to(device),
            end=_tensor(rows.end).to(device),
            max_length=self.max_length,
            n_items=self.n_items,
        )


def device_events(dataset: SequenceDataset, device: torch.device) -> DeviceEvents:
    """Put the events of a dataset on a device; on a CPU they stay where they are."""
    events = _tensor(dataset.events.view(np.int32)).to(device)
    return DeviceEvents(events, dataset.max_length, dataset.n_items)


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    """Share an array with torch; one that is mapped from a file cannot be written, nor is it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writ")
        return torch.from_numpy(np.ascontiguousarray(values))


def device_rows(dataset: SequenceDataset, rows: Rows, device: torch.device) -> DeviceRows:
    """Put the pointers of one split, and the events they point into, on a device."""
    return device_events(dataset, device).rows(rows)
