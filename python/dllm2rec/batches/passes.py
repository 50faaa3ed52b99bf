"""Rows that one causal pass learns together: positions of one user that lie near each other.

A row's own window costs an encoder L places for one target. A causal encoder has a vector at every
place, so a window serves the targets inside it as well: for logs with windows of 200 that is a
hundred times less work. A pass holds rows of one user whose targets are at most half a window
apart, so that each still sees half a window of history, or all there is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.data.device_rows import DeviceRows, PassWindows

Int64Vector = npt.NDArray[np.int64]
# Orders that are drawn to find one of which no step needs more passes than there is room for.
TRIES = 8


@dataclass(frozen=True, eq=False)
class Passes:
    """Which rows share a pass in the epoch under way.

    Attributes:
        number: of each row's pass, (R,), int64, on the device.
        capacity: the most passes of a step.
    """

    number: Tensor
    capacity: int

    def of(self, rows: DeviceRows, batch: Tensor) -> PassWindows:
        """Cut the passes of a batch, without a host synchronisation on CUDA.

        Args:
            rows: all, R of them.
            batch: row numbers, (B,), int64, those of a pass next to each other and the oldest first
                as `PassOrder` draws them. In any other order the result is of no use, but sound.
        """
        number = self.number[batch]
        begins = torch.ones_like(number)
        begins[1:] = (number[1:] != number[:-1]).long()
        own = begins.cumsum(0) - 1
        n_passes = min(self.capacity, len(batch))
        if not own.is_cuda:
            n_passes = int(own[-1]) + 1
        own = own.clamp(max=n_passes - 1)
        # What there is room for beyond the passes are copies of the last one, which no row reads.
        last = batch[
            torch.searchsorted(own, torch.arange(n_passes, device=own.device), right=True) - 1
        ]
        sequences, lengths, _ = rows.windows(last)
        age = (rows.end[last][own] - rows.end[batch]).clamp(0, rows.max_length - 1)
        return PassWindows(sequences, lengths, own, age)


def pass_order(rows: DeviceRows, config: Config, *, has_users: bool) -> PassOrder | None:
    """What draws the passes of a training; None where each row has a pass of its own."""
    if not config.learns_all_places(rows.max_length, has_users=has_users):
        return None
    return PassOrder(rows, min(config.train.batch_size, len(rows)), config.train.seed)


class PassOrder:
    """Draws the order of an epoch's rows, those of a pass next to each other.

    Args:
        rows: R rows.
        batch_size: rows of a step.
        seed: of the training.

    Attributes:
        capacity: the most passes that a step of any epoch reads.
    """

    def __init__(self, rows: DeviceRows, batch_size: int, seed: int) -> None:
        start, end = (part.cpu().numpy() for part in (rows.start, rows.end))
        self._order = np.lexsort((end, start))
        self._end = end[self._order]
        begins = np.flatnonzero(np.diff(start[self._order], prepend=-1))
        sizes = np.diff(begins, append=len(end))
        self._user = np.repeat(np.arange(len(begins)), sizes)
        self._newest = self._end[begins + sizes - 1]
        # One window holds all rows of the others: a pass of its own each.
        self._is_long = self._newest - self._end[begins] >= rows.max_length
        self._stride = max(rows.max_length // 2, 1)
        self._batch_size = batch_size
        drawn = [self._draw(seed, 0, attempt) for attempt in range(TRIES)]
        self.capacity = max(self._most_passes(*one) for one in drawn)

    def epoch(self, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Draw an epoch: row numbers (R,) in their order, and each row's pass (R,); int64.

        A function of (seed, epoch) alone.
        """
        for attempt in range(TRIES):
            order, number = self._draw(seed, epoch, attempt)
            if self._most_passes(order, number) <= self.capacity:
                break
        else:  # this one the capacity was measured on
            order, number = self._draw(seed, 0, 0)
        return torch.from_numpy(order), torch.from_numpy(number)

    def _draw(self, seed: int, epoch: int, attempt: int) -> tuple[Int64Vector, Int64Vector]:
        rng = np.random.default_rng([seed, epoch, attempt])
        phase = rng.integers(0, self._stride, len(self._newest))
        back = (self._newest[self._user] - self._end + phase[self._user]) // self._stride
        back[~self._is_long[self._user]] = 0
        is_new = (np.diff(self._user, prepend=-1) != 0) | (np.diff(back, prepend=-1) != 0)
        begins = np.flatnonzero(is_new)
        sizes = np.diff(begins, append=len(back))
        number = np.empty(len(back), dtype=np.int64)
        number[self._order] = np.cumsum(is_new) - 1
        chosen = rng.permutation(len(begins))
        sizes = sizes[chosen]
        places = np.repeat(begins[chosen] - (np.cumsum(sizes) - sizes), sizes)
        places += np.arange(len(places))
        return self._order[places], number

    def _most_passes(self, order: Int64Vector, number: Int64Vector) -> int:
        """The most passes that a step of these rows reads, counting parts."""
        passes = number[order]
        begins = np.diff(passes, prepend=-1) != 0
        begins[:: self._batch_size] = True
        return int(np.add.reduceat(begins, np.arange(0, len(begins), self._batch_size)).max())
