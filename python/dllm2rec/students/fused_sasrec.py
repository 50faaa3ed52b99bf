"""SASRec of one block as two CUDA kernels: windows of item rows -> users, and back.

Only the newest place has a query, so keys and values need no products of their own:
q . (K n_j + k) differs from (K' q) . n_j by the same number at every place, which the softmax
ignores, and sum_j w_j (V n_j + v) = V (sum_j w_j n_j) + (sum_j w_j) v. What is left is a handful
of D x D products a row. The key's bias therefore gets a gradient of exactly 0, where autograd
gives it rounding noise.

The gradients of item rows are summed as whole numbers (64 bits, scaled by the batch's largest), so
that the sum is the same in whatever order a GPU adds them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.kernels.launch import SIZES
from dllm2rec.students.sasrec import SASRec
from dllm2rec.students.student import Student

MAX_LENGTH = 64
MAX_HEADS = 8


def can_fuse(student: Student) -> bool:
    """Whether the kernels know this student's shape."""
    encoder = student.encoder
    return (
        isinstance(encoder, SASRec)
        and len(encoder.blocks) == 1
        and encoder.width in SIZES
        and student.max_length <= MAX_LENGTH
        and student.config.n_heads <= MAX_HEADS
        # Otherwise the teacher's part of the windows' items is projected place by place.
        and (student.embedding.projector is None or student.output is None)
    )


def encode_fused(
    student: Student,
    table: Tensor,
    sequences: Tensor,
    lengths: Tensor,
    noise: Tensor,
    scatter_buffer: Tensor,
    side_stream: torch.cuda.Stream | None = None,
) -> tuple[Tensor, Tensor]:
    """Encode windows as `student.encode` does in train mode, with dropout of its own.

    Args:
        student: one for which `can_fuse` holds.
        table: rows of all items, (N + 1, D).
        sequences: (B, L) int64, right-padded with N.
        lengths: (B,) int64.
        noise: the number that this step's dropout is drawn from, int64 ().
        scatter_buffer: where gradients of rows are summed, (N + 1) D or more zeros, int64; zero
            again afterwards.
        side_stream: where the backward pass makes the gradient of the table; those of the weights
            are then made there too, and are to be read only after `launch.join`.

    Returns:
        Users (B, D), and the table: to be used for scoring in place of the argument, so that the
        gradients of both uses meet in one tensor.
    """
    result: tuple[Tensor, Tensor] = _Encode.apply(
        table,
        sequences,
        lengths,
        noise,
        scatter_buffer,
        _shape(student),
        side_stream,
        *_weights(student),
    )
    return result


def _weights(student: Student) -> tuple[Tensor, ...]:
    """The encoder's weights in the kernels' order."""
    encoder = student.encoder
    assert isinstance(encoder, SASRec)  # noqa: S101 - for mypy
    block: Any = encoder.blocks[0]  # a container does not say what it holds
    weights: list[Tensor] = [encoder.positions.weight]
    for part in (block.attention_norm, block.query, block.key_value, block.output):
        weights += [part.weight, part.bias]
    for part in (block.feed_norm, block.feed_in, block.feed_out, encoder.norm):
        weights += [part.weight, part.bias]
    return tuple(weights)


def _shape(student: Student) -> tuple[int, int, float]:
    """Number of items, heads, and the share that is dropped."""
    dropout = student.config.dropout if student.training else 0.0
    return student.n_items, student.config.n_heads, dropout


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        table: Tensor,
        sequences: Tensor,
        lengths: Tensor,
        noise: Tensor,
        scatter_buffer: Tensor,
        shape: tuple[int, int, float],
        side_stream: torch.cuda.Stream | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        from dllm2rec.kernels import sasrec_forward  # its compiler is there only beside CUDA

        users, saved = sasrec_forward.encode(table, sequences, lengths, noise, weights, shape)
        ctx.save_for_backward(table, sequences, lengths, noise, scatter_buffer, *weights)
        ctx.saved = saved  # none of the arguments or results: no cycle
        ctx.shape, ctx.side_stream = shape, side_stream
        ctx.set_materialize_grads(False)
        return users, table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, to_table: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        from dllm2rec.kernels import sasrec_backward

        table, sequences, lengths, noise, scatter_buffer, *weights = ctx.saved_tensors
        if to_table is None:
            to_table = torch.zeros_like(table)
        to_weights = sasrec_backward.encode_backward(
            table,
            sequences,
            lengths,
            noise,
            tuple(weights),
            ctx.shape,
            ctx.saved,
            grad,
            to_table,
            scatter_buffer,
            ctx.side_stream,
        )
        return to_table, None, None, None, None, None, None, *to_weights
