"""`catalogue_terms` for very large catalogues: no tensor of rows x items, in whole or in chunks.

Items are visited in tiles. The forward pass multiplies twice, as attention does: a tile's scores,
and the users' gradient by the two sums. The backward pass makes the scores again and multiplies
them into the items' gradient. Whatever a row does to single items is sparse (`entries`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.kernels import item_scores
from dllm2rec.kernels.catalogue.backend import ChunkStatistics
from dllm2rec.kernels.catalogue.row_losses import terms as row_terms
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.tiles.ahead import count_ahead
from dllm2rec.kernels.tiles.backward import Cells, to_items
from dllm2rec.kernels.tiles.entries import Entries, entries_of
from dllm2rec.kernels.tiles.forward import Sums, sums
from dllm2rec.kernels.tiles.halves import Halves, cut, scales_of
from dllm2rec.kernels.tiles.shape import Shape

# A score of a tile differs from float32's by less than this share of the two vectors' lengths.
ROUNDING = {1: 2.0**-9, 2: 2.0**-18}


def tiled_terms(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    inputs: TermInputs,
    spec: TermSpec,
    shapes: tuple[Shape, Shape],
) -> Tensor:
    """Compute the terms of each row, already weighted: (n_terms, B), in the order of `spec.names`.

    Args:
        users: (B, D), D of `launch.SIZES`.
        matrix: item vectors, at least N of them, (N.., D).
        bias: (N,) or None.
        offset: what window items score more, () or None.
        inputs: B rows, on the same device; without sampled items.
        spec: which terms there are; one at least reads all scores.
        shapes: how both passes cut their work, and how exact their products are.
    """
    result: Tensor = _TiledTerms.apply(users, matrix, bias, offset, _Work(inputs, spec, *shapes))
    return result


class _Work(NamedTuple):
    """The arguments without a gradient."""

    inputs: TermInputs
    spec: TermSpec
    forward: Shape
    backward: Shape


class _TiledTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        offset: Tensor | None,
        work: _Work,
    ) -> Tensor:
        inputs, spec, shape, _ = work
        users, matrix = users.contiguous(), matrix.contiguous()
        scales = scales_of(users, matrix[: inputs.n_items], inputs.dro_slope)
        halves = cut(users, scales[0], shape.halves)
        moved, targets = _moved(inputs, offset, shape), _targets(inputs, spec, shape)
        found = sums(halves, matrix, scales, bias, moved, targets, inputs, (spec, shape))
        listed = item_scores.scores(users, matrix, bias, inputs.items)
        if offset is not None:
            listed += offset * _in_window(inputs)
        ahead = None
        if found.best is not None:
            margin = _margin(users, matrix, bias, offset, inputs.n_items, shape)
            ahead = count_ahead(
                users, matrix, bias, offset, found.best, margin, inputs, (spec, shape)
            )
        rows = row_terms([_whole(found, ahead, users)], inputs, listed, spec)
        mean_z = _joined(found.log_z, found.mean_z, rows.log_z)
        mean_d = _joined(found.log_d, found.mean_d, rows.log_d)
        of_rows = (rows.slopes, rows.log_z, rows.log_d, mean_z, mean_d)
        ctx.save_for_backward(users, matrix, bias, offset, scales, *halves, *of_rows)
        ctx.work = work
        return rows.terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        users, matrix, bias, offset, scales, high, low = ctx.saved_tensors[:7]
        slopes, log_z, log_d, mean_z, mean_d = ctx.saved_tensors[7:]
        inputs, spec, _, shape = ctx.work
        grad = grad.contiguous()
        first_ranked = 1 + spec.n_negatives if spec.has_ranking else inputs.items.shape[1]
        direct = slopes * grad[0][:, None]
        direct[:, first_ranked:] = slopes[:, first_ranked:] * grad[-1][:, None]
        cells = Cells(
            _moved(inputs, offset, shape),
            _targets(inputs, spec, shape),
            entries_of(inputs.items, direct, inputs.n_items, shape, once=False),
        )
        statistics = (log_z, log_d, grad)
        to_matrix, to_bias = to_items(
            Halves(high, low), matrix, scales, bias, cells, statistics, inputs, (spec, shape)
        )
        to_users = torch.einsum("bc,bcd->bd", direct, matrix[inputs.items])
        if mean_z is not None:
            to_users += grad[0][:, None] * mean_z
        if mean_d is not None:
            to_users += (spec.dro_weight * grad[1])[:, None] * mean_d
        to_offset = None
        if offset is not None:
            scores = _window_scores(users, matrix, bias, offset, inputs)
            to_offset = _to_offset(*scores, statistics, direct, inputs, spec)
        return to_users, to_matrix, to_bias, to_offset, None


def _moved(inputs: TermInputs, offset: Tensor | None, shape: Shape) -> Entries | None:
    """The window's items, each once, with what they score more."""
    if offset is None:
        return None
    return entries_of(inputs.windows, offset, inputs.n_items, shape, once=True)


def _targets(inputs: TermInputs, spec: TermSpec, shape: Shape) -> Entries | None:
    """The targets, with what DROS wants them to score."""
    if spec.dro_weight == 0:
        return None
    minus_one = torch.full((), -1.0, device=inputs.items.device)
    return entries_of(inputs.items[:, :1], minus_one, inputs.n_items, shape, once=True)


def _in_window(inputs: TermInputs) -> Tensor:
    """Which listed items are in their row's window, (B, C)."""
    return (inputs.items[:, :, None] == inputs.windows[:, None, :]).any(2)


def _margin(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    n_items: int,
    shape: Shape,
) -> Tensor:
    """How far a tile's score of each row may be from float32's, (B,)."""
    longest = torch.linalg.vector_norm(matrix[:n_items], dim=1).amax()
    size = torch.linalg.vector_norm(users, dim=1) * longest
    for added in (bias, offset):
        if added is not None:
            size = size + torch.linalg.vector_norm(added, torch.inf)
    margin: Tensor = ROUNDING[shape.halves] * size
    return margin


def _whole(found: Sums, ahead: Tensor | None, like: Tensor) -> ChunkStatistics:
    """The sums over all items, of those over the ranges; 0 where there is none, one part each."""
    log_z, log_d = (
        like.new_zeros(1, len(like)) if logs is None else torch.logsumexp(logs, 0, keepdim=True)
        for logs in (found.log_z, found.log_d)
    )
    return ChunkStatistics(log_z, log_d, ahead)


def _joined(logs: Tensor | None, means: Tensor | None, log_sum: Tensor) -> Tensor | None:
    """The average over all ranges of items, (B, D), of those of each."""
    if logs is None or means is None:
        return None
    shares = torch.exp(logs - log_sum).to(means.dtype)
    return torch.einsum("sb,sbd->bd", shares, means)


def _window_scores(
    users: Tensor, matrix: Tensor, bias: Tensor | None, offset: Tensor, inputs: TermInputs
) -> tuple[Tensor, Tensor]:
    """The window's items, each once, -1 elsewhere; and their scores, (B, L) each."""
    windows = inputs.windows.sort(dim=1).values
    keep = windows < inputs.n_items
    keep[:, 1:] &= windows[:, 1:] != windows[:, :-1]
    known = windows.clamp(max=inputs.n_items - 1)
    scores = item_scores.scores(users, matrix, bias, known) + offset
    return torch.where(keep, windows, -1), scores


def _to_offset(
    windows: Tensor,
    scores: Tensor,
    statistics: tuple[Tensor, Tensor, Tensor],
    direct: Tensor,
    inputs: TermInputs,
    spec: TermSpec,
) -> Tensor:
    """What flows to the offset: the gradients of the window's items' scores, each item once, ()."""
    log_z, log_d, grad = statistics
    known = windows.clamp(min=0)
    slope = torch.zeros_like(scores)
    if spec.sums_all:
        share = torch.exp(scores - log_z[:, None])
        if inputs.in_softmax is not None:
            share = torch.where(inputs.in_softmax[known], share, 0.0)
        slope += grad[0][:, None] * share
    if spec.dro_weight > 0:
        weight = inputs.dro_slope[known]
        error = scores - (known == inputs.items[:, :1]).to(scores)
        share = torch.exp((weight * error * error - log_d[:, None]).clamp(max=0)).to(scores)
        slope += (spec.dro_weight * grad[1])[:, None] * (2.0 * weight * error) * share
    listed = (direct * _in_window(inputs)).sum()
    return torch.where(windows >= 0, slope, 0.0).sum() + listed
