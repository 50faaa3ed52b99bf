"""What chance decides for each epoch: the order of the rows, their passes, their negatives."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import NegativeSampler
from dllm2rec.batches.passes import PassOrder
from dllm2rec.batches.training_rows import epoch_order
from dllm2rec.config.model import TrainConfig


@dataclass(frozen=True, eq=False)
class Epoch:
    """What was drawn for one epoch, on the CPU.

    Attributes:
        order: row numbers, (R,), int64.
        passes: the pass of each row, (R,), int64, or None where each has one of its own.
        negatives: of each row, (R, M), int32, or None.
    """

    order: Tensor
    passes: Tensor | None
    negatives: Tensor | None

    def pinned(self) -> Epoch:
        """The same in memory whose copy to a device need not be waited for."""
        passes = None if self.passes is None else self.passes.pin_memory()
        negatives = None if self.negatives is None else self.negatives.pin_memory()
        return Epoch(self.order.pin_memory(), passes, negatives)


class EpochSampler:
    """Order and negatives of one epoch after the other, each a function of (seed, epoch) alone.

    On CUDA the next epoch is drawn on a thread while the device trains this one; on a CPU that
    thread would only take the time from the training.
    """

    def __init__(
        self,
        n_rows: int,
        sampler: NegativeSampler | None,
        config: TrainConfig,
        device: torch.device,
        passes: PassOrder | None = None,
    ) -> None:
        self._n_rows = n_rows
        self._sampler = sampler
        self._passes = passes
        self._seed = config.seed
        self._n_epochs = config.max_epochs
        self._on_cuda = device.type == "cuda"
        self._thread = ThreadPoolExecutor(max_workers=1) if self._on_cuda else None
        self._ahead: tuple[int, Future[Epoch]] | None = None

    def of(self, epoch: int) -> Epoch:
        """Draw an epoch, or return what was drawn ahead."""
        if self._thread is None:
            return self._draw(epoch)
        ahead, self._ahead = self._ahead, None
        drawn = ahead[1].result() if ahead and ahead[0] == epoch else self._draw(epoch)
        if epoch + 1 < self._n_epochs:
            self._ahead = epoch + 1, self._thread.submit(self._draw, epoch + 1)
        return drawn

    def _draw(self, epoch: int) -> Epoch:
        passes = None
        if self._passes is None:
            order = epoch_order(self._n_rows, self._seed, epoch)
        else:
            order, passes = self._passes.epoch(self._seed, epoch)
        negatives = None if self._sampler is None else self._sampler.epoch(self._seed, epoch)
        drawn = Epoch(order, passes, negatives)
        return drawn.pinned() if self._on_cuda else drawn
