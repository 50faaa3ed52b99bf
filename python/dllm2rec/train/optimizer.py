"""Adam with clipping and averaged weights, which a `NonFiniteGuard` stops.

Two forms of one update: torch's fused Adam on the CPU, three kernels over flat memory on CUDA,
where torch's leaves a GPU mostly idle on a model of twenty small tensors and one large one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dllm2rec.config.model import TrainConfig
from dllm2rec.runtime.distributed import gathered
from dllm2rec.students import Student
from dllm2rec.students.sharded import is_sharded, replicated
from dllm2rec.train.nonfinite.guard import NonFiniteGuard
from dllm2rec.train.private_torch import AdamSettings, AdamState, adam_, copy_each_

LARGE = 1 << 14  # above this a tensor is copied by a kernel of its own
# Numbers that a tensor in flat memory begins at a multiple of: 128 bytes. Behind one number alone,
# every weight would be read 4 bytes at a time, by kernels compiled once more for that.
ALIGNED = 32
BETAS = (0.9, 0.999)
EPSILON = 1e-8
Norm = Callable[[Sequence[Tensor | None]], Tensor]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each update: a linear warm-up, then constant or half a cosine to 0."""

    learning_rate: float
    warmup_steps: int
    cosine_steps: int  # all updates of the training; 0 for a constant rate

    @classmethod
    def of(cls, config: TrainConfig, n_rows: int) -> Schedule:
        """The schedule of a training on `n_rows` rows."""
        n_steps = config.max_epochs * -(-n_rows // config.batch_size)
        steps = n_steps if config.schedule == "cosine" else 0
        return cls(config.learning_rate, config.warmup_steps, steps)

    def at(self, step: int) -> float:
        """The rate of update `step`, counted from 0."""
        rate = self.learning_rate
        if self.warmup_steps:
            rate *= min(1.0, (step + 1) / self.warmup_steps)
        if self.cosine_steps:
            rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.cosine_steps)))
        return rate


def average_decay(decay: float, step: int) -> float:
    """The decay of the average at update `step`: lower at first, when it has seen few updates."""
    return min(decay, (1 + step) / (10 + step))


class Optimizer(Protocol):
    """What a step needs of either form."""

    def update(
        self, gradients: Sequence[Tensor | None], terms: Tensor, guard: NonFiniteGuard, sums: Tensor
    ) -> None:
        """Apply one update unless something is not finite; add the terms of the loss to `sums`."""

    def swap_average(self) -> None:
        """Exchange weights and averaged weights; nothing without `ema_decay`."""

    def gradient_memory(self, parameter: Tensor) -> Tensor | None:
        """Where `update` reads a parameter's gradient, if it is to be made in one place."""

    def state(self) -> dict[str, Tensor]:
        """Everything a resumed training needs besides the weights, not copied.

        The number of updates, and of each weight by its number the moments and the average: names
        and shapes are the same in both forms.
        """

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what the `state` of either form gave."""

    def begin_average(self) -> None:
        """Set the averages to the present weights."""


def make_optimizer(student: Student, config: TrainConfig, n_rows: int) -> Optimizer:
    """Choose the form for the student's device. On CUDA its weights move into flat memory."""
    parameters = list(student.parameters())
    schedule = Schedule.of(config, n_rows)
    if is_sharded(student):
        return HostOptimizer(parameters, config, schedule, _norm_over_processes(student))
    if parameters[0].device.type != "cuda":
        return HostOptimizer(parameters, config, schedule)
    return DeviceOptimizer(parameters, config, schedule)


def _norm(gradients: Sequence[Tensor | None]) -> Tensor:
    return torch.nn.utils.get_total_norm([g for g in gradients if g is not None])


def _norm_over_processes(student: Student) -> Norm:
    """The norm of all gradients where items lie in parts, the same number in all processes."""
    shared = {id(weight) for weight in replicated(student)}
    is_shared = [id(weight) in shared for weight in student.parameters()]

    def norm(gradients: Sequence[Tensor | None]) -> Tensor:
        pairs = list(zip(gradients, is_shared, strict=True))
        own = _norm([g for g, in_all in pairs if not in_all]).square()
        return (
            gathered(own, "the gradient's norm") + _norm([g for g, a in pairs if a]) ** 2
        ).sqrt()

    return norm


class HostOptimizer:
    """On the CPU, and for a table in parts on CUDA too.

    Args:
        norm: the norm of the gradients, of which this process may hold a part.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        config: TrainConfig,
        schedule: Schedule,
        norm: Norm = _norm,
    ) -> None:
        self.parameters = parameters
        self._norm = norm
        self.config = config
        self.schedule = schedule
        self.n_updates = 0
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self._step_counts = torch.zeros(len(parameters), device=parameters[0].device)
        self.steps = [*self._step_counts.unbind()]
        averages = config.ema_decay > 0
        self.average = [p.detach().clone() for p in parameters] if averages else []

    def update(
        self, gradients: Sequence[Tensor | None], terms: Tensor, guard: NonFiniteGuard, sums: Tensor
    ) -> None:
        """Apply one update unless something is not finite."""
        norm = self._norm(gradients)
        of_terms = terms.sum(1)
        of_terms = torch.cat([of_terms, of_terms.sum(0, keepdim=True)])
        guard.note(torch.isfinite(of_terms).all() & torch.isfinite(norm))
        sums.add_(of_terms)
        if self.config.max_gradient_norm > 0:
            factor = (self.config.max_gradient_norm / (norm + 1e-6)).clamp(max=1.0)
            gradients = [g if g is None else g * factor for g in gradients]
        # A weight that the loss does not reach has gradient 0, and decays as any other.
        pairs = zip(self.parameters, gradients, strict=True)
        whole = [torch.zeros_like(p) if g is None else g for p, g in pairs]
        self._step_counts.add_(1)
        state = AdamState([*self.parameters], self.first, self.second, self.steps)
        rate = self.schedule.at(self.n_updates)
        settings = AdamSettings(rate, *BETAS, self.config.weight_decay, EPSILON)
        adam_(state, whole, settings, guard.flag)
        self._step_counts.sub_(guard.flag)
        if self.average and not bool(guard.flag):
            keep = average_decay(self.config.ema_decay, self.n_updates)
            with torch.no_grad():
                for average, parameter in zip(self.average, self.parameters, strict=True):
                    average.lerp_(parameter, 1 - keep)
        self.n_updates += 1

    def gradient_memory(self, parameter: Tensor) -> None:
        """As `Optimizer.gradient_memory`."""

    def swap_average(self) -> None:
        """Exchange weights and averaged weights."""
        for parameter, average in zip(self.parameters, self.average, strict=False):
            parameter.data, average.data = average.data, parameter.data

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`; a state is never saved after an update that was suppressed."""
        moments = _named(self.first, self.second, self.average)
        return {"n_updates": torch.tensor(self.n_updates), **moments}

    def load(self, state: dict[str, Tensor]) -> None:
        """As `Optimizer.load`."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.n_updates = int(state["n_updates"])
        self._step_counts.fill_(self.n_updates)

    def begin_average(self) -> None:
        """As `Optimizer.begin_average`."""
        for parameter, average in zip(self.parameters, self.average, strict=False):
            average.copy_(parameter.detach())


class DeviceOptimizer:
    """On CUDA: weights, moments and averages each in one flat tensor; fit for a CUDA graph."""

    def __init__(
        self, parameters: list[nn.Parameter], config: TrainConfig, schedule: Schedule
    ) -> None:
        self.parameters = parameters
        self.config = config
        self.schedule = schedule
        places = _places(parameters)
        end = -(-places[-1].stop // ALIGNED) * ALIGNED
        self.weights = parameters[0].detach().new_zeros(end)
        self.gradients = torch.zeros_like(self.weights)
        self.slots = []
        for place, parameter in zip(places, parameters, strict=True):
            self.weights[place] = parameter.detach().reshape(-1)
            parameter.data = self.weights[place].view_as(parameter)
            self.slots.append(self.gradients[place].view_as(parameter))
        self.first = torch.zeros_like(self.weights)
        self.second = torch.zeros_like(self.weights)
        self.average = self.weights.clone() if config.ema_decay > 0 else None
        self.n_updates = torch.zeros((), dtype=torch.int64, device=self.weights.device)
        self._shapes = [(place, p.shape) for place, p in zip(places, parameters, strict=True)]

    def update(
        self, gradients: Sequence[Tensor | None], terms: Tensor, guard: NonFiniteGuard, sums: Tensor
    ) -> None:
        """Apply one update unless something is not finite."""
        from dllm2rec.kernels import adam  # its compiler is there only beside CUDA

        small: tuple[list[Tensor], list[Tensor]] = [], []
        for slot, gradient in zip(self.slots, gradients, strict=True):
            if gradient is None:
                continue  # its slot holds zeros
            if slot.data_ptr() == gradient.data_ptr():
                continue  # it was made there
            if slot.numel() > LARGE:
                slot.copy_(gradient)
            else:
                small[0].append(slot)
                small[1].append(gradient)
        copy_each_(*small)
        adam.update(self, terms.contiguous(), guard, sums)

    def gradient_memory(self, parameter: Tensor) -> Tensor:
        """As `Optimizer.gradient_memory`."""
        (slot,) = (s for p, s in zip(self.parameters, self.slots, strict=True) if p is parameter)
        return slot

    def swap_average(self) -> None:
        """Exchange weights and averaged weights, in place: a CUDA graph keeps their addresses."""
        if self.average is not None:
            kept = self.weights.clone()
            self.weights.copy_(self.average)
            self.average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """As `Optimizer.state`: views of the flat tensors."""
        average = [] if self.average is None else self._each(self.average)
        moments = _named(self._each(self.first), self._each(self.second), average)
        return {"n_updates": self.n_updates, **moments}

    def load(self, state: dict[str, Tensor]) -> None:
        """As `Optimizer.load`."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    def begin_average(self) -> None:
        """As `Optimizer.begin_average`."""
        if self.average is not None:
            self.average.copy_(self.weights)

    def _each(self, flat: Tensor) -> list[Tensor]:
        return [flat[place].view(shape) for place, shape in self._shapes]


def _named(
    first: Sequence[Tensor], second: Sequence[Tensor], average: Sequence[Tensor]
) -> dict[str, Tensor]:
    parts = {"exp_avg": first, "exp_avg_sq": second, "average": average}
    return {f"{n}.{name}": part for name, of in parts.items() for n, part in enumerate(of)}


def _places(parameters: list[nn.Parameter]) -> list[slice]:
    """Where each lies in flat memory; the zeros between them stay zeros."""
    places, at = [], 0
    for parameter in parameters:
        places.append(slice(at, at + parameter.numel()))
        at += -(-parameter.numel() // ALIGNED) * ALIGNED
    return places
