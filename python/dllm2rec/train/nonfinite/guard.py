"""The device's record of the first step that was not finite; the host reads it now and then."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(eq=False)
class NonFiniteGuard:
    """The device's own record of the first non-finite step."""

    flag: Tensor  # float32 (): 1 once something was not finite
    steps: Tensor  # int64 (): steps taken so far
    first: Tensor  # int64 (): the first bad step, from 0; -1 if none

    @classmethod
    def none(cls, device: torch.device) -> NonFiniteGuard:
        """A clean record."""
        return cls(
            torch.zeros((), device=device),
            torch.zeros((), dtype=torch.int64, device=device),
            torch.full((), -1, dtype=torch.int64, device=device),
        )

    def note(self, finite: Tensor) -> None:
        """Count a step, and keep its number if it is the first that is not finite."""
        bad = ~finite
        self.first.copy_(torch.where(bad & (self.first < 0), self.steps, self.first))
        self.flag.copy_(torch.maximum(self.flag, bad.to(self.flag.dtype)))
        self.steps.add_(1)

    def clear(self) -> None:
        """Forget everything, in place."""
        self.flag.zero_()
        self.steps.zero_()
        self.first.fill_(-1)
