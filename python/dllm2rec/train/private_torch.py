"""The private functions of torch that the optimizer calls, each with a slower way in public ones.

`_fused_adam_` is what torch.optim.Adam(fused=True) calls; the class itself imports torch's
compiler, which takes 3 to 4 s. `_foreach_copy_` makes many small copies in one CUDA kernel. A test
holds them to the arguments that are given here. Should a later torch move them, a training goes on
without, and says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


class AdamState(NamedTuple):
    """Weights and what Adam keeps of each: moments, and the number of updates, float32 ()."""

    weights: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


class AdamSettings(NamedTuple):
    """The numbers of one update."""

    lr: float
    beta1: float
    beta2: float
    weight_decay: float
    eps: float


@torch.no_grad()
def adam_(
    state: AdamState, gradients: list[Tensor], settings: AdamSettings, found_inf: Tensor
) -> None:
    """Update all weights, unless `found_inf` () is 1; `steps` are those after this update."""
    fused = _private("_fused_adam_")
    if fused is None:
        if not bool(found_inf):
            for parts in zip(state.weights, gradients, *state[1:], strict=True):
                _adam_of_one_(*parts, settings)
        return
    fused(
        state.weights,
        gradients,
        state.first,
        state.second,
        [],
        state.steps,
        **settings._asdict(),
        amsgrad=False,
        maximize=False,
        found_inf=found_inf,
    )


def copy_each_(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy each source to its target."""
    together = _private("_foreach_copy_")
    if together is not None:
        together(targets, sources)
        return
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _adam_of_one_(
    weight: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    steps: Tensor,
    settings: AdamSettings,
) -> None:
    t = float(steps)
    gradient = gradient.add(weight, alpha=settings.weight_decay)
    first.lerp_(gradient, 1 - settings.beta1)
    second.mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
    spread = (second / (1 - settings.beta2**t)).sqrt_().add_(settings.eps)
    weight.addcdiv_(first, spread, value=-settings.lr / (1 - settings.beta1**t))


@cache
def _private(name: str) -> Any:  # noqa: ANN401 - a function of torch's, or None
    found = getattr(torch, name, None)
    if found is None:
        _log.warning(
            "W-TORCH this torch (%s) has no torch.%s: the optimizer goes on without it, slower",
            torch.__version__,
            name,
        )
    return found
