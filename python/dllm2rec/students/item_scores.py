"""Scores of a few picked items per row, without the whole catalogue.

In torch a vector is copied for each pick, and the backward pass sorts all picks to add up the
gradient of each item. On CUDA a training hands in memory to add in, and one kernel for each pass
does it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def score_items(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    items: Tensor,
    scatter_buffer: Tensor | None = None,
) -> Tensor:
    """Score a few picked items of each row; deterministic both ways, on CUDA too.

    Args:
        users: what `encode` gave, (B, D').
        matrix: item vectors, (N.., D').
        bias: (N,) or None.
        items: (B, k) int64 in 0..n_items - 1.
        scatter_buffer: on CUDA, in float32, as many zeros as `scatter_buffer_size` says, int64;
            zero again after the backward pass. None for torch's own operations.

    Returns:
        Scores without the window offset, (B, k).
    """
    if scatter_buffer is not None:
        result: Tensor = _Scores.apply(users, matrix, bias, items, scatter_buffer)
        return result
    scores = torch.einsum("bd,bkd->bk", users, F.embedding(items, matrix))
    if bias is not None:
        scores = scores + F.embedding(items, bias.unsqueeze(1)).squeeze(2)
    return scores


def scatter_buffer_size(n_items: int, width: int) -> int:
    """How many sums `score_items` adds in: of the vectors, a row for the padding, of the biases."""
    return (n_items + 1) * (width + 1)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        users: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        items: Tensor,
        scatter_buffer: Tensor,
    ) -> Tensor:
        from dllm2rec.kernels import item_scores  # its compiler is there only beside CUDA

        users, matrix, items = users.contiguous(), matrix.contiguous(), items.contiguous()
        ctx.save_for_backward(users, matrix, items, scatter_buffer)
        ctx.n_biases = 0 if bias is None else len(bias)
        return item_scores.scores(users, matrix, bias, items)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        from dllm2rec.kernels import item_scores

        users, matrix, items, scatter_buffer = ctx.saved_tensors
        grad = grad.contiguous()
        return (
            *item_scores.scores_backward(users, matrix, items, grad, scatter_buffer, ctx.n_biases),
            None,
            None,
        )
