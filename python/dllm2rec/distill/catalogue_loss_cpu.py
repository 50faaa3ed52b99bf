"""The `CatalogueBackend` for CPUs.

What reads every score is a Rust kernel in float32. In float64, for tests, it is done here block by
block of rows, in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dllm2rec import _core
from dllm2rec.distill.losses import softplus
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.errors import NonFiniteError
from dllm2rec.kernels.catalogue.backend import (
    ChunkScores,
    ChunkStatistics,
    GradientInputs,
    RowTerms,
)
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec

BLOCK_SCORES = 1 << 18  # 1 MiB


def product(users: Tensor, matrix: Tensor, buffer: Tensor | None) -> Tensor:
    """Score items without bias and offset, (B, W), in the buffer's memory if there is one."""
    shape = (len(users), len(matrix))
    memory = users.new_empty(shape) if buffer is None else buffer[: shape[0] * shape[1]]
    return torch.mm(users, matrix.T, out=memory.view(shape))


def listed_(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    bias: Tensor | None,
    offset: Tensor | None,
    listed_scores: Tensor,
) -> ChunkScores:
    """Add bias and offset to a chunk of scores; copy the listed items' scores out of it."""
    if bias is not None:
        scores += bias[chunk]
    if offset is not None:
        row, column = _places(inputs.windows, chunk)
        scores[row, column] = scores[row, column] + offset  # a repeat writes the same number
    inside = (inputs.items >= chunk.start) & (inputs.items < chunk.stop)
    row, column = _places(inputs.items, chunk)
    listed_scores[inside] = scores[row, column]
    return ChunkScores(scores, bias=None)  # it is added


def statistics(
    scores: ChunkScores,
    chunk: slice,
    inputs: TermInputs,
    listed_scores: Tensor,
    drawn: Tensor | None,
    spec: TermSpec,
) -> ChunkStatistics:
    """Reduce a chunk to what the terms need of it; copy scores of sampled items into `drawn`."""
    values = scores.values
    ahead = _ahead(values, chunk, inputs, listed_scores, spec) if spec.counts else None
    sampled = None
    if drawn is not None:
        sampled = _sampled(values, chunk, inputs, drawn, spec.n_sampled)
    if values.dtype == torch.float32:
        sums = torch.from_numpy(_core.log_sums(*_arguments(values, chunk, inputs, spec)))
        if sampled is None:
            sampled = sums[:, 0].float()
        return ChunkStatistics(sampled, sums[:, 1], ahead)
    log_z = values.new_empty(len(values)) if spec.sums_all else sampled
    log_d = values.new_empty(len(values)) if spec.dro_weight > 0 else None
    for rows in _blocks(values):
        block = values[rows]
        if spec.sums_all:
            log_z[rows] = _log_sum_exp(_counted(block, chunk, inputs))  # type: ignore[index]
        if log_d is not None:
            log_d[rows] = _log_sum_exp(_dro_exponents(block, rows, chunk, inputs))
    return ChunkStatistics(log_z, log_d, ahead)


def terms(
    parts: list[ChunkStatistics], inputs: TermInputs, listed_scores: Tensor, spec: TermSpec
) -> RowTerms:
    """Join the chunks; a sum that is not there is 0."""
    none = listed_scores.new_zeros(len(listed_scores))
    log_z = none if parts[0].log_z is None else _joined([part.log_z for part in parts])
    log_d = none if parts[0].log_d is None else _joined([part.log_d for part in parts])
    n_negatives = spec.n_negatives
    target, negative = listed_scores[:, 0], listed_scores[:, 1 : 1 + n_negatives]
    candidate = listed_scores[:, 1 + n_negatives :]
    slopes = torch.zeros_like(listed_scores)
    through = log_z
    if inputs.log_expected is not None:
        log_z = torch.logaddexp(target, log_z - inputs.log_expected)
        slopes[:, 0] = (target - log_z).exp()
        through = log_z + inputs.log_expected
    if spec.base == "bce":
        base = softplus(-target) + softplus(negative).sum(1)
        slopes[:, 0] = -torch.sigmoid(-target)
        slopes[:, 1 : 1 + n_negatives] = torch.sigmoid(negative)
    elif spec.base == "softmax":
        base = log_z - target
        slopes[:, 0] -= 1
    else:
        is_listed = inputs.weight > 0
        most = spec.list_weight if inputs.share is None else inputs.share
        share = most * is_listed.any(1).to(listed_scores.dtype)
        listed = (inputs.weight * candidate.masked_fill(~is_listed, 0)).sum(1)
        base = log_z - torch.lerp(target, listed, share)
        slopes[:, 0] += share - 1
        slopes[:, 1 + n_negatives :] = -share[:, None] * inputs.weight
    rows = [base]
    if spec.dro_weight > 0:
        rows.append((spec.dro_weight * log_d).to(base.dtype))
    if spec.has_ranking:
        weight = inputs.weight
        if spec.counts:
            weight = weight + spec.consistency * _agreed(parts, listed_scores, spec) * inputs.kept
        rows.append(spec.list_weight * (weight * softplus(-candidate)).sum(1))
        slopes[:, 1 + n_negatives :] = -spec.list_weight * weight * torch.sigmoid(-candidate)
    return RowTerms(torch.stack(rows), slopes, through, log_d)


def gradient_(
    scores: ChunkScores,
    chunk: slice,
    inputs: TermInputs,
    given: GradientInputs,
    spec: TermSpec,
    *,
    has_offset: bool,
) -> Tensor | None:
    """Write the gradient over a chunk of scores; return the offset's, row by row, if any."""
    values = scores.values
    _, drawn, slopes, log_z, log_d, grad = given
    if values.dtype == torch.float32:
        by_dro = grad[1] * spec.dro_weight if spec.dro_weight > 0 else torch.zeros_like(grad[0])
        rows = torch.stack([part.double() for part in (log_z, grad[0], log_d, by_dro)], dim=1)
        *taken, softmax = _arguments(values, chunk, inputs, spec)
        _core.score_gradient_(taken[0], taken[1], taken[2], taken[3], rows.numpy(), softmax)
    else:
        _wide_gradient_(values, chunk, inputs, given, spec)
    first_list = 1 + spec.n_negatives
    direct = slopes * grad[0, :, None]
    if spec.has_ranking:
        direct[:, first_list:] = slopes[:, first_list:] * grad[-1, :, None]
    inside = (inputs.items >= chunk.start) & (inputs.items < chunk.stop)
    places = (inputs.items - chunk.start).clamp(0, values.shape[1] - 1)
    values.scatter_add_(1, places, direct * inside)
    if drawn is not None and inputs.sampled is not None:
        inside = (inputs.sampled >= chunk.start) & (inputs.sampled < chunk.stop)
        places = (inputs.sampled - chunk.start).clamp(0, values.shape[1] - 1)
        flowing = (drawn - log_z[:, None]).exp() * grad[0, :, None]
        values.scatter_add_(1, places, flowing.masked_fill(~inside, 0))
    return _at_window(values, chunk, inputs.windows) if has_offset else None


def _arguments(
    scores: Tensor, chunk: slice, inputs: TermInputs, spec: TermSpec
) -> tuple[Any, Any, Any, Any, bool]:
    """What the Rust kernels take of a chunk."""
    slope = inputs.dro_slope[chunk].numpy() if spec.dro_weight > 0 else None
    counted = None if inputs.in_softmax is None else inputs.in_softmax[chunk].numpy()
    targets = (inputs.items[:, 0] - chunk.start).numpy()
    return scores.numpy(), targets, slope, counted, spec.sums_all


def _wide_gradient_(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    given: GradientInputs,
    spec: TermSpec,
) -> None:
    """Write over the scores what flows to them through the two sums over all items."""
    log_z, log_d, grad = given.log_z, given.log_d, given.grad
    by_dro = grad[1, :, None] * (2 * spec.dro_weight) if spec.dro_weight > 0 else None
    for rows in _blocks(scores):
        block = scores[rows]
        robust = None
        if by_dro is not None:
            robust = _dro_exponents(block, rows, chunk, inputs).sub_(log_d[rows, None]).exp_()
            robust.mul_(inputs.dro_slope[chunk]).mul_(by_dro[rows])
            row, column = _places(inputs.items[rows, :1], chunk)
            at_target = robust[row, column] * (block[row, column] - 1)
            robust.mul_(block)
            robust[row, column] = at_target
        if not spec.sums_all:
            block.zero_() if robust is None else block.copy_(robust)
            continue
        block.sub_(log_z[rows, None]).exp_().mul_(grad[0, rows, None])
        if inputs.in_softmax is not None:
            block.mul_(inputs.in_softmax[chunk])
        if robust is not None:
            block.add_(robust)


def column_sums(scores: Tensor, out: Tensor) -> None:
    """Sum a chunk over its rows, into (width,)."""
    torch.sum(scores, dim=0, out=out)


def _blocks(scores: Tensor) -> Iterator[slice]:
    step = max(1, BLOCK_SCORES // scores.shape[1])
    return (slice(at, at + step) for at in range(0, len(scores), step))


def _places(items: Tensor, chunk: slice) -> tuple[Tensor, Tensor]:
    """Row and column of each item that lies in the chunk."""
    row, place = ((items >= chunk.start) & (items < chunk.stop)).nonzero(as_tuple=True)
    return row, items[row, place] - chunk.start


def _sampled(
    scores: Tensor, chunk: slice, inputs: TermInputs, drawn: Tensor, n_drawn: int
) -> Tensor:
    """Copy what the chunk has of the sampled items' scores; return the log of their sum, (B,)."""
    assert inputs.sampled is not None  # noqa: S101 - for mypy
    assert inputs.log_expected is not None  # noqa: S101 - for mypy
    inside = (inputs.sampled >= chunk.start) & (inputs.sampled < chunk.stop)
    places = (inputs.sampled - chunk.start).clamp(0, scores.shape[1] - 1)
    found = scores.gather(1, places)
    found[:, n_drawn:] += inputs.log_expected[:, None]
    drawn[inside] = found[inside]
    return _log_sum_exp(found.masked_fill_(~inside, -torch.inf))


def _counted(block: Tensor, chunk: slice, inputs: TermInputs) -> Tensor:
    """A copy of the scores that the softmax counts; -inf elsewhere."""
    if inputs.in_softmax is None:
        return block.clone()
    return block.masked_fill(~inputs.in_softmax[chunk], -torch.inf)


def _dro_exponents(block: Tensor, rows: slice, chunk: slice, inputs: TermInputs) -> Tensor:
    """W s^2, and w (s - 1)^2 at the target; a fresh tensor."""
    slope = inputs.dro_slope[chunk]
    row, column = _places(inputs.items[rows, :1], chunk)
    at_target = (block[row, column] - 1).square() * slope[column]
    exponents = block.square().mul_(slope)
    exponents[row, column] = at_target
    return exponents


def _log_sum_exp(values: Tensor) -> Tensor:
    """Over each row; the values are lost."""
    highest = values.amax(1, keepdim=True)
    highest = torch.where(highest == -torch.inf, 0, highest)  # a chunk without counted items
    return values.sub_(highest).exp_().sum(1).log_().add_(highest.squeeze(1))


def _joined(parts: list[Tensor | None]) -> Tensor:
    whole = [part for part in parts if part is not None]
    return whole[0] if len(whole) == 1 else torch.stack(whole).logsumexp(0)


def _ahead(
    scores: Tensor, chunk: slice, inputs: TermInputs, listed_scores: Tensor, spec: TermSpec
) -> Tensor:
    first = 1 + spec.n_negatives
    items, values = inputs.items[:, first:], listed_scores[:, first:]
    if scores.shape[1] == inputs.n_items and scores.dtype == torch.float32:
        try:
            return consistency_from_scores(scores, items, spec.top_k)
        except NonFiniteError:  # for the step to report, which knows the rows and the epoch
            return torch.full_like(values, torch.nan)
    number = torch.arange(chunk.start, chunk.stop)
    columns = []
    for item, value in zip(items.T, values.T, strict=True):
        tied = (scores == value[:, None]) & (number < item[:, None])
        columns.append(((scores > value[:, None]) | tied).sum(1))
    return torch.stack(columns, dim=1)


def _agreed(parts: list[ChunkStatistics], listed_scores: Tensor, spec: TermSpec) -> Tensor:
    """1 where an item of the list is among the student's K best, (B, K)."""
    counted = [part.ahead for part in parts if part.ahead is not None]
    if counted[0].is_floating_point():
        return counted[0].type_as(listed_scores)
    candidate = listed_scores[:, 1 + spec.n_negatives :]
    n_ahead = torch.stack(counted).sum(0)
    agreed = (n_ahead < spec.top_k) & (candidate > -torch.inf)
    return agreed.type_as(listed_scores)


def _at_window(gradient: Tensor, chunk: slice, windows: Tensor) -> Tensor:
    """What flows to the offset: each item of a row's window once."""
    is_repeated = (windows.unsqueeze(2) == windows.unsqueeze(1)).tril(diagonal=-1).any(2)
    inside = (windows >= chunk.start) & (windows < chunk.stop) & ~is_repeated
    places = (windows - chunk.start).clamp(0, gradient.shape[1] - 1)
    moved: Tensor = (gradient.gather(1, places) * inside).sum(1)
    return moved
