"""Read the loss now and then without making the device wait."""

from __future__ import annotations

import time
from typing import Protocol

import torch
from torch import Tensor

# A person reads the loss; often enough for that, rare for a device.
READ_LOSS_EVERY_S = 0.5
# Steps that the host may be ahead: enough to keep a GPU busy, few enough that a signal or a save
# does not wait behind a long queue.
AHEAD = 32


class LossReadout(Protocol):
    """Called after every step; returns the loss now and then."""

    def step(self, losses: Tensor) -> float | None:
        """Note a step; return the newest known sum of losses, where it is time for one.

        Args:
            losses: running sums, the total last, on the device.
        """


def loss_readout(device: torch.device) -> LossReadout:
    """The readout for a kind of device."""
    return DeviceLossReadout() if device.type == "cuda" else HostLossReadout()


class HostLossReadout:
    """On the CPU a step is done when it returns."""

    def __init__(self) -> None:
        self._next = time.perf_counter() + READ_LOSS_EVERY_S

    def step(self, losses: Tensor) -> float | None:
        """Read the sum every half second."""
        if time.perf_counter() < self._next:
            return None
        self._next = time.perf_counter() + READ_LOSS_EVERY_S
        return float(losses[-1])


class DeviceLossReadout:
    """On CUDA steps queue up: the sum is copied behind them, and read once it has arrived."""

    def __init__(self) -> None:
        self._events = [_event() for _ in range(AHEAD)]
        self._n_steps = 0
        self._next = time.perf_counter() + READ_LOSS_EVERY_S
        self._copied: torch.cuda.Event | None = None
        self._sum = torch.zeros(1, pin_memory=True)

    def step(self, losses: Tensor) -> float | None:
        """Wait for the step before the last `AHEAD`; read a sum that has arrived."""
        event = self._events[self._n_steps % AHEAD]
        event.synchronize()  # one that was never recorded is done
        event.record()
        self._n_steps += 1
        if self._copied is None and time.perf_counter() >= self._next:
            self._sum.copy_(losses[-1:], non_blocking=True)
            self._copied = _event()
            self._copied.record()
        if self._copied is None or not self._copied.query():  # type: ignore[no-untyped-call]
            return None
        self._copied = None
        self._next = time.perf_counter() + READ_LOSS_EVERY_S
        return float(self._sum)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
