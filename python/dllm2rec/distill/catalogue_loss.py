"""The terms of a loss that read the scores of the whole catalogue, from one pass over them.

The base loss, DROS, the teacher's items and the student's own top-K share one product users x
items. Its gradient is written over the scores, so that two more products finish the way back: no
other tensor of rows x items is ever made. Catalogues whose scores would not fit are taken in chunks
of items, whose products are made again on the way back.

The arithmetic stands twice: `catalogue_loss_cpu` for the CPU, `kernels.catalogue` for CUDA.

Diary (H200, 17,408 items, batch 256): a chain of torch operations made about ten passes over the
scores and a sort for the top-K. Whether a teacher's item is among the student's K best needs only
the number of items ahead of it, which the same pass counts.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.distill import catalogue_loss_cpu
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import beside

# Scores held at once: 1 GiB. Above it the products are made chunk by chunk, twice.
MAX_SCORES = 1 << 28
MAX_LISTED = 64  # target, negatives and list of a row; the kernels compare them pairwise


def catalogue_terms(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    inputs: TermInputs,
    spec: TermSpec,
    *,
    max_scores: int = MAX_SCORES,
) -> Tensor:
    """Compute the terms of each row, already weighted: (n_terms, B), in the order of `spec.names`.

    Its backward pass runs once: it overwrites the scores.

    Args:
        users: (B, D).
        matrix: item vectors, at least N of them, (N.., D).
        bias: (N,) or None.
        offset: what window items score more, () or None.
        inputs: B rows, on the same device.
        spec: which terms there are.
        max_scores: how many scores to hold at once.
    """
    result: Tensor = _CatalogueTerms.apply(users, matrix, bias, offset, inputs, spec, max_scores)
    return result


def _arithmetic(device: torch.device) -> ModuleType:
    """The module that works on this device."""
    if device.type != "cuda":
        return catalogue_loss_cpu
    from dllm2rec.kernels.catalogue import loss  # its compiler is there only beside CUDA

    return loss


class _CatalogueTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        users: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        offset: Tensor | None,
        inputs: TermInputs,
        spec: TermSpec,
        max_scores: int,
    ) -> Tensor:
        ops = _arithmetic(users.device)
        chunks = _chunks(len(users), inputs.n_items, max_scores)
        listed_scores = users.new_empty(inputs.items.shape)
        drawn = None if inputs.sampled is None else users.new_empty(inputs.sampled.shape)
        parts = []
        # With several chunks, the scores to count against are known only after a first round.
        rounds = ("listed", "counted") if spec.counts and len(chunks) > 1 else ("both",)
        for part in rounds:
            for chunk in chunks:
                scores = ops.product(users, matrix[chunk], inputs.buffer)
                ops.listed_(scores, chunk, inputs, bias, offset, listed_scores)
                if part != "listed":
                    parts.append(
                        ops.statistics(scores, chunk, inputs, bias, listed_scores, drawn, spec)
                    )
        terms, slopes, log_z, log_d = ops.terms(parts, inputs, listed_scores, spec)
        kept = scores if len(chunks) == 1 else None
        ctx.save_for_backward(
            users, matrix, bias, offset, listed_scores, drawn, slopes, log_z, log_d, kept
        )
        ctx.inputs, ctx.spec, ctx.chunks = inputs, spec, chunks
        result: Tensor = terms
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        users, matrix, bias, offset, listed_scores, drawn, slopes, log_z, log_d, kept = (
            ctx.saved_tensors
        )
        inputs, spec, chunks = ctx.inputs, ctx.spec, ctx.chunks
        ops = _arithmetic(users.device)
        grad = grad.contiguous()
        to_matrix = torch.empty_like(matrix)
        to_matrix[inputs.n_items :].zero_()
        to_bias = None if bias is None else torch.empty_like(bias)
        to_users = torch.empty_like(users)
        to_offset = []
        # Of several chunks, one must let go of its memory before the next takes it.
        side_stream = inputs.side_stream if len(chunks) == 1 else None
        for chunk in chunks:
            scores = kept
            if scores is None:
                scores = ops.product(users, matrix[chunk], inputs.buffer)
                ops.listed_(scores, chunk, inputs, bias, offset, listed_scores)
            stats = (listed_scores, drawn, slopes, log_z, log_d, grad)
            moved = ops.gradient_(scores, chunk, inputs, bias, offset, stats, spec)
            if moved is not None:
                to_offset.append(moved.view(-1))
            with beside(side_stream, scores, users):
                torch.mm(scores.T, users, out=to_matrix[chunk])
                if to_bias is not None:
                    ops.column_sums(scores, to_bias[chunk])
            if chunk.start == 0:
                torch.mm(scores, matrix[chunk], out=to_users)
            else:
                to_users.addmm_(scores, matrix[chunk])
        shift = None if offset is None else torch.cat(to_offset).sum()
        return to_users, to_matrix, to_bias, shift, None, None, None


def _chunks(n_rows: int, n_items: int, max_scores: int) -> list[slice]:
    width = max(1, min(n_items, max_scores // max(1, n_rows)))
    return [slice(at, min(at + width, n_items)) for at in range(0, n_items, width)]
