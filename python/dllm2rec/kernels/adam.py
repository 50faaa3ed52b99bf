"""Adam in three kernels: the gradient's norm, the scalars of a step, the update."""

from __future__ import annotations

import math
from typing import Protocol

import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.config.model import TrainConfig
from dllm2rec.kernels.launch import launch

BLOCK = 4096
BETA_1, BETA_2, EPSILON = tl.constexpr(0.9), tl.constexpr(0.999), tl.constexpr(1e-8)
LOG_BETA_1, LOG_BETA_2 = tl.constexpr(math.log(0.9)), tl.constexpr(math.log(0.999))
PI = tl.constexpr(math.pi)
# Where each number of a step stands among those that `_numbers` leaves to `_adam`.
FLAG = tl.constexpr(0)  # 1 once something was not finite
CLIP = tl.constexpr(1)  # what the gradient is multiplied by
RATE = tl.constexpr(2)  # the learning rate over the first moment's bias
SPREAD = tl.constexpr(3)  # 1 over the square root of the second moment's bias
KEEP = tl.constexpr(4)  # how much of the average stays
N_NUMBERS = 5


class Schedule(Protocol):
    """The learning rate, as the kernel computes it."""

    @property
    def learning_rate(self) -> float:
        """The highest."""

    @property
    def warmup_steps(self) -> int:
        """Updates until then."""

    @property
    def cosine_steps(self) -> int:
        """All updates of the training; 0 for a constant rate."""


class FirstNonFinite(Protocol):
    """The device's record of the first step that is not finite."""

    flag: Tensor
    steps: Tensor
    first: Tensor


class FlatAdam(Protocol):
    """Adam's state in flat memory, each tensor of one shape but `n_updates`, a number."""

    weights: Tensor
    gradients: Tensor
    first: Tensor
    second: Tensor
    average: Tensor | None
    n_updates: Tensor
    config: TrainConfig

    @property
    def schedule(self) -> Schedule:
        """The learning rate of each update."""


def update(optimizer: FlatAdam, terms: Tensor, guard: FirstNonFinite, sums: Tensor) -> None:
    """Record whether all is finite, add the terms (n_terms, B) to `sums`, update the weights."""
    n = optimizer.weights.numel()
    n_blocks = triton.cdiv(n, BLOCK)
    squares = optimizer.weights.new_empty(n_blocks)
    numbers = optimizer.weights.new_empty(N_NUMBERS)
    config, schedule = optimizer.config, optimizer.schedule
    launch(_squares, (n_blocks,), optimizer.gradients, squares, n, BLOCK=BLOCK, num_warps=8)
    launch(
        _numbers,
        (1,),
        squares,
        n_blocks,
        terms,
        terms.shape[1],
        sums,
        guard.flag,
        guard.steps,
        guard.first,
        optimizer.n_updates,
        numbers,
        schedule.learning_rate,
        schedule.warmup_steps,
        schedule.cosine_steps,
        config.max_gradient_norm,
        config.ema_decay,
        N_TERMS=terms.shape[0],
        BLOCK=1024,
        num_warps=8,
    )
    average = optimizer.weights if optimizer.average is None else optimizer.average
    launch(
        _adam,
        (n_blocks,),
        optimizer.weights,
        optimizer.gradients,
        optimizer.first,
        optimizer.second,
        average,
        numbers,
        n,
        config.weight_decay,
        AVERAGES=optimizer.average is not None,
        BLOCK=BLOCK,
        num_warps=8,
    )


@triton.jit
def _squares(gradients, squares, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    gradient = tl.load(gradients + at, mask=at < n, other=0.0)
    tl.store(squares + tl.program_id(0), tl.sum(gradient * gradient, axis=0))


@triton.jit(do_not_specialize=["n_rows"])
def _numbers(
    squares,
    n_blocks,
    terms,
    n_rows,
    sums,
    flag,
    steps,
    first,
    n_updates,
    numbers,
    learning_rate,
    warmup_steps,
    cosine_steps,
    max_norm,
    decay,
    N_TERMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    lane = tl.arange(0, BLOCK)
    square = tl.zeros([BLOCK], dtype=tl.float32)
    for begin in range(0, n_blocks, BLOCK):
        square += tl.load(squares + begin + lane, mask=begin + lane < n_blocks, other=0.0)
    norm = tl.sqrt(tl.sum(square, axis=0))
    whole = 0.0
    for term in tl.static_range(N_TERMS):
        part = tl.zeros([BLOCK], dtype=tl.float32)
        for begin in range(0, n_rows, BLOCK):
            part += tl.load(
                terms + term * n_rows + begin + lane, mask=begin + lane < n_rows, other=0.0
            )
        total = tl.sum(part, axis=0)
        tl.store(sums + term, tl.load(sums + term) + total)
        whole += total
    tl.store(sums + N_TERMS, tl.load(sums + N_TERMS) + whole)
    checked = whole + norm
    is_bad = tl.where(checked - checked == 0.0, 0.0, 1.0)
    step = tl.load(steps)
    seen = tl.load(first)
    tl.store(first, tl.where((is_bad > 0) & (seen < 0), step, seen))
    flagged = tl.maximum(tl.load(flag), is_bad)
    tl.store(flag, flagged)
    tl.store(steps, step + 1)

    done = tl.load(n_updates)
    tl.store(n_updates, done + tl.where(flagged > 0, 0, 1))
    t = done.to(tl.float64)
    rate = learning_rate + t * 0.0
    if warmup_steps > 0:
        rate *= tl.minimum(1.0, (t + 1) / warmup_steps)
    if cosine_steps > 0:
        rate *= 0.5 * (1 + tl.cos(PI * tl.minimum(1.0, t / cosine_steps)))
    first_bias = 1 - tl.exp((t + 1) * LOG_BETA_1)
    second_bias = 1 - tl.exp((t + 1) * LOG_BETA_2)
    clip = 1.0
    if max_norm > 0:
        clip = tl.minimum(1.0, max_norm / (norm + 1e-6))
    tl.store(numbers + FLAG, flagged)
    tl.store(numbers + CLIP, clip)
    tl.store(numbers + RATE, (rate / first_bias).to(tl.float32))
    tl.store(numbers + SPREAD, (1 / tl.sqrt(second_bias)).to(tl.float32))
    tl.store(numbers + KEEP, tl.minimum(decay, (1 + t) / (10 + t)).to(tl.float32))


@triton.jit
def _adam(
    weights,
    gradients,
    first,
    second,
    average,
    numbers,
    n,
    weight_decay,
    AVERAGES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    # Nowhere, once something was not finite.
    goes = at < tl.where(tl.load(numbers + FLAG) == 0.0, n, 0)
    weight = tl.load(weights + at, mask=goes, other=0.0)
    gradient = tl.load(gradients + at, mask=goes, other=0.0) * tl.load(numbers + CLIP)
    gradient += weight_decay * weight
    moment = BETA_1 * tl.load(first + at, mask=goes, other=0.0) + (1 - BETA_1) * gradient
    square = tl.load(second + at, mask=goes, other=0.0)
    square = BETA_2 * square + (1 - BETA_2) * gradient * gradient
    spread = tl.sqrt(square) * tl.load(numbers + SPREAD) + EPSILON
    weight -= tl.load(numbers + RATE) * moment / spread
    tl.store(first + at, moment, mask=goes)
    tl.store(second + at, square, mask=goes)
    tl.store(weights + at, weight, mask=goes)
    if AVERAGES:
        keep = tl.load(numbers + KEEP)
        mean = tl.load(average + at, mask=goes, other=0.0)
        tl.store(average + at, keep * mean + (1 - keep) * weight, mask=goes)
