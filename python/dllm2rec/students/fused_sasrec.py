"""SASRec of one block as two CUDA kernels: windows of item rows -> users, and back.

Only the newest place has a query, so keys and values need no products of their own:
q . (K n_j + k) differs from (K' q) . n_j by the same number at every place, which the softmax
ignores, and sum_j w_j (V n_j + v) = V (sum_j w_j n_j) + (sum_j w_j) v. What is left is a handful
of D x D products per row. The key's bias therefore gets a gradient of exactly 0, where autograd
gives it rounding noise.

The gradients of item rows are summed as whole numbers (64 bits, scaled by the batch's largest), so
that the sum is the same in whatever order a GPU adds them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.config.model import LONG_WINDOW, StudentConfig
from dllm2rec.kernels.launch import SIZES
from dllm2rec.kernels.sasrec_inputs import EncoderShape, EncoderWeights, Windows
from dllm2rec.students.sasrec import SASRec
from dllm2rec.students.student import Student

MAX_HEADS = 8


def fuses(config: StudentConfig, max_length: int) -> bool:
    """Whether the kernels support an encoder of this shape."""
    return (
        config.name == "sasrec"
        and config.n_blocks == 1
        and config.hidden_size in SIZES
        and config.n_heads <= MAX_HEADS
        and max_length <= LONG_WINDOW
    )


def can_fuse(student: Student) -> bool:
    """Whether the kernels support this student."""
    return (
        isinstance(student.encoder, SASRec)
        and fuses(student.config, student.max_length)
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
        scatter_buffer: where gradients of rows are summed, B L D or (N + 1) D zeros, whichever is
            less, int64; zero again afterwards.
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


def _weights(student: Student) -> EncoderWeights:
    """The encoder's weights by the kernels' names."""
    encoder: Any = student.encoder  # SASRec, `can_fuse` says
    block = encoder.blocks[0]
    return EncoderWeights(
        positions=encoder.positions.weight,
        attention_norm=block.attention_norm.weight,
        attention_shift=block.attention_norm.bias,
        query=block.query.weight,
        query_bias=block.query.bias,
        key_value=block.key_value.weight,
        key_value_bias=block.key_value.bias,
        output=block.output.weight,
        output_bias=block.output.bias,
        feed_norm=block.feed_norm.weight,
        feed_shift=block.feed_norm.bias,
        feed_in=block.feed_in.weight,
        feed_in_bias=block.feed_in.bias,
        feed_out=block.feed_out.weight,
        feed_out_bias=block.feed_out.bias,
        norm=encoder.norm.weight,
        shift=encoder.norm.bias,
    )


def _shape(student: Student) -> EncoderShape:
    """Number of items, heads, and the share that is dropped."""
    dropout = student.config.dropouts[0] if student.training else 0.0
    return EncoderShape(student.n_items, student.config.n_heads, dropout)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        table: Tensor,
        sequences: Tensor,
        lengths: Tensor,
        noise: Tensor,
        scatter_buffer: Tensor,
        shape: EncoderShape,
        side_stream: torch.cuda.Stream | None,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        from dllm2rec.kernels import sasrec_forward  # its compiler is there only beside CUDA

        windows = Windows(table, sequences, lengths, noise)
        users, saved = sasrec_forward.encode(windows, EncoderWeights(*weights), shape)
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
            Windows(table, sequences, lengths, noise),
            EncoderWeights(*weights),
            ctx.shape,
            ctx.saved,
            grad,
            sasrec_backward.TableGradient(to_table, scatter_buffer, ctx.side_stream),
        )
        return to_table, None, None, None, None, None, None, *to_weights
