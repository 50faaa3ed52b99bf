"""What chance decides for each epoch: the order of the rows and their negatives."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from dllm2rec.batches.negative_sampler import NegativeSampler
from dllm2rec.batches.training_rows import epoch_order
from dllm2rec.config.model import TrainConfig


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
    ) -> None:
        self._n_rows = n_rows
        self._sampler = sampler
        self._seed = config.seed
        self._n_epochs = config.max_epochs
        self._on_cuda = device.type == "cuda"
        self._thread = ThreadPoolExecutor(max_workers=1) if self._on_cuda else None
        self._ahead: tuple[int, Future[tuple[Tensor, Tensor | None]]] | None = None

    def of(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """Row numbers, (R,), int64, and negatives, (R, M), int32, or None: both on the CPU."""
        if self._thread is None:
            return self._draw(epoch)
        ahead, self._ahead = self._ahead, None
        drawn = ahead[1].result() if ahead and ahead[0] == epoch else self._draw(epoch)
        if epoch + 1 < self._n_epochs:
            self._ahead = epoch + 1, self._thread.submit(self._draw, epoch + 1)
        return drawn

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        order = epoch_order(self._n_rows, self._seed, epoch)
        negatives = None if self._sampler is None else self._sampler.epoch(self._seed, epoch)
        if not self._on_cuda:
            return order, negatives
        # Pinned, so that the copy to the device need not be waited for.
        return order.pin_memory(), None if negatives is None else negatives.pin_memory()
