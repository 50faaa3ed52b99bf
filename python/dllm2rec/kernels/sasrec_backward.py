"""The backward pass of `fused_sasrec`, in two kernels: each compiles in half the time."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.deterministic_scatter_add import add_rows
from dllm2rec.kernels.item_table import row_sums
from dllm2rec.kernels.launch import beside, join, launch
from dllm2rec.kernels.sasrec_forward import (
    EPSILON,
    N_WARPS,
    Saved,
    attention,
    drop_factor,
    layer_normed,
    matrix_times,
    transposed_times,
    window_tile,
)
from dllm2rec.kernels.sasrec_inputs import EncoderShape, EncoderWeights, Windows

PIECE_ROWS = 256  # products that sum over more rows than this leave most of the GPU idle


class TableGradient(NamedTuple):
    """Where the gradient of the item rows is added up.

    Attributes:
        sums: what flows to the rows already, (N + 1, D); added to in place.
        scatter_buffer: as in `deterministic_scatter_add.add_rows`.
        side_stream: where `sums` was made and the weights' gradients are, or None. `join` it before
            they are read.
    """

    sums: Tensor
    scatter_buffer: Tensor
    side_stream: torch.cuda.Stream | None


def encode_backward(
    windows: Windows,
    weights: EncoderWeights,
    shape: EncoderShape,
    saved: Saved,
    grad: Tensor,
    to_table: TableGradient,
) -> EncoderWeights:
    """Return the weights' gradients; add the rows' to `to_table`.

    Args:
        windows: as in the forward pass.
        weights: as in the forward pass.
        shape: as in the forward pass.
        saved: what the forward pass left.
        grad: what flows to the users, (B, D).
        to_table: where the gradient of the item rows goes.
    """
    table, sequences = windows.table, windows.sequences
    (n_rows, length), size = sequences.shape, table.shape[1]
    n_items, n_heads, dropout = shape
    width = size // n_heads
    items = torch.empty_like(sequences)
    # Gradients of biases and norms, row by row, and behind them those of the window's places.
    left = table.new_empty(12 + length, n_rows, size)
    head_left = table.new_empty(2 * n_heads, n_rows, width)  # query; gradient of the attended
    passed = table.new_empty(2, n_rows, size)  # gradients of attended and of the newest place
    largest = table.new_empty(n_rows)

    constants = {
        "DROPS": dropout > 0,
        "SIZE": size,
        "HEADS": n_heads,
        "PLACES": triton.next_power_of_2(length),
        "num_warps": N_WARPS,
    }
    drops = (dropout, 1 / (1 - dropout))
    launch(
        _feed_forward_backward,
        (n_rows,),
        windows.noise,
        weights.output,
        weights.feed_norm,
        weights.feed_shift,
        weights.feed_in,
        weights.feed_out,
        weights.norm,
        saved.inner,
        grad.contiguous(),
        left,
        passed,
        *drops,
        **constants,
    )
    launch(
        _attention_backward,
        (n_rows,),
        *windows,
        weights.positions,
        weights.attention_norm,
        weights.attention_shift,
        weights.query,
        weights.key_value,
        weights.key_value_bias,
        saved.inner,
        passed,
        left,
        items,
        head_left,
        saved.contexts,
        largest,
        n_items,
        length,
        *drops,
        **constants,
    )
    join(to_table.side_stream)  # what it did until here is in the sums
    with beside(to_table.side_stream, left, saved.right, head_left, saved.contexts):
        to_matrices = _outer_sums(left[:4], saved.right)
        to_heads = _outer_sums(head_left, saved.contexts)
        to_vectors = row_sums(left)
    add_rows(left[12:], items, largest.amax(), to_table.scatter_buffer, to_table.sums, n_items)
    query, output, feed_in, feed_out = to_matrices
    by_query, by_output, by_in, by_out = to_vectors[:4]
    attention_norm, attention_shift, feed_norm, feed_shift, norm, shift = to_vectors[6:12]
    return EncoderWeights(
        positions=to_vectors[12:],
        attention_norm=attention_norm,
        attention_shift=attention_shift,
        query=query,
        query_bias=by_query,
        key_value=to_heads.reshape(2 * size, size),
        key_value_bias=to_vectors[4:6].reshape(2 * size),
        output=output,
        output_bias=by_output,
        feed_norm=feed_norm,
        feed_shift=feed_shift,
        feed_in=feed_in,
        feed_in_bias=by_in,
        feed_out=feed_out,
        feed_out_bias=by_out,
        norm=norm,
        shift=shift,
    )


def _outer_sums(left: Tensor, right: Tensor) -> Tensor:
    """Sum the rows' outer products: (n, B, a) and (n, B, b) -> (n, a, b), in pieces of rows."""
    n, n_rows, _ = left.shape
    if n_rows % PIECE_ROWS or n_rows == PIECE_ROWS:
        return torch.bmm(left.transpose(1, 2), right)
    pieces = n_rows // PIECE_ROWS
    left = left.reshape(n * pieces, PIECE_ROWS, -1)
    products = torch.bmm(left.transpose(1, 2), right.reshape(n * pieces, PIECE_ROWS, -1))
    return products.view(n, pieces, *products.shape[1:]).sum(1)


@triton.jit
def _norm_backward(grad, normed, scale, SIZE: tl.constexpr):
    """Backward through `layer_normed`."""
    mean = tl.sum(grad, axis=0) / SIZE
    along = tl.sum(grad * normed, axis=0) / SIZE
    return scale * (grad - mean - normed * along)


@triton.jit
def _gelu_slope(value):
    bell = tl.exp(-0.5 * value * value) * 0.3989422804014327
    return 0.5 * (1.0 + tl.erf(value * 0.7071067811865476)) + value * bell


@triton.jit
def _feed_forward_backward(
    noise_at, w_output, norm2, shift2, w_in, w_out, norm3, saved, grad, left, passed,
    dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, HEADS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Backward from the user to what the heads attended to and to the newest place."""
    row = tl.program_id(0).to(tl.int64)
    noise = tl.load(noise_at)
    d = tl.arange(0, SIZE)
    at = tl.program_id(0) * (PLACES * SIZE + HEADS * PLACES + 3 * SIZE)
    at += PLACES * SIZE + HEADS * PLACES + d
    row_vector = row * SIZE + d
    step = tl.num_programs(0).to(tl.int64) * SIZE

    unit3, rate3 = layer_normed(tl.load(saved + 3 * step + row_vector), SIZE)
    to_user = tl.load(grad + row_vector)
    tl.store(left + 10 * step + row_vector, to_user * unit3)
    tl.store(left + 11 * step + row_vector, to_user)
    to_middle = _norm_backward(to_user * tl.load(norm3 + d), unit3, rate3, SIZE)
    to_added = to_middle * drop_factor(noise, at + 2 * SIZE, dropout, drop_scale, to_middle, DROPS)
    tl.store(left + 3 * step + row_vector, to_added)
    feed = tl.load(saved + 2 * step + row_vector)
    to_feed = transposed_times(w_out, to_added, SIZE) * _gelu_slope(feed)
    to_feed *= drop_factor(noise, at + SIZE, dropout, drop_scale, to_feed, DROPS)
    tl.store(left + 2 * step + row_vector, to_feed)
    to_normed2 = transposed_times(w_in, to_feed, SIZE)
    unit2, rate2 = layer_normed(tl.load(saved + step + row_vector), SIZE)
    tl.store(left + 8 * step + row_vector, to_normed2 * unit2)
    tl.store(left + 9 * step + row_vector, to_normed2)
    to_middle += _norm_backward(to_normed2 * tl.load(norm2 + d), unit2, rate2, SIZE)
    to_added = to_middle * drop_factor(noise, at, dropout, drop_scale, to_middle, DROPS)
    tl.store(left + 1 * step + row_vector, to_added)
    tl.store(passed + row_vector, transposed_times(w_output, to_added, SIZE))
    tl.store(passed + step + row_vector, to_middle)


@triton.jit
def _attention_backward(
    table, sequences, length_of, noise_at, positions,
    norm1, shift1, w_query, w_key_value, b_key_value,
    saved, passed, left, items, head_left, contexts, largest,
    n_items, length, dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, HEADS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Backward through the attention to the places of the window."""
    row = tl.program_id(0).to(tl.int64)
    n_rows = tl.num_programs(0).to(tl.int64)
    noise = tl.load(noise_at)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    WIDTH: tl.constexpr = SIZE // HEADS
    scale = 1.0 / tl.sqrt(WIDTH * 1.0)
    at = tl.program_id(0) * (PLACES * SIZE + HEADS * PLACES + 3 * SIZE)
    row_vector = row * SIZE + d
    step = n_rows * SIZE

    item, is_real, hidden, kept0 = window_tile(
        table, sequences, length_of, noise, positions, row, at, n_items, length, dropout,
        drop_scale, DROPS, SIZE, PLACES,
    )  # fmt: skip
    at += PLACES * SIZE
    centred = hidden - (tl.sum(hidden, axis=1) / SIZE)[:, None]
    rate1 = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / SIZE + EPSILON)
    unit1 = centred * rate1[:, None]
    gain1 = tl.load(norm1 + d)
    normed = unit1 * gain1[None, :] + tl.load(shift1 + d)[None, :]
    is_newest = (place == length - 1)[:, None]
    query = tl.load(saved + row_vector)
    to_attended = tl.load(passed + row_vector)

    to_query = tl.zeros([SIZE], dtype=tl.float32)
    to_value_bias = tl.zeros([SIZE], dtype=tl.float32)
    to_normed = tl.zeros([PLACES, SIZE], dtype=tl.float32)
    for head in range(HEADS):
        mine = d // WIDTH == head
        query_h = tl.where(mine, query, 0.0)
        towards, share = attention(query_h, w_key_value, normed, is_real, scale, SIZE)
        kept = drop_factor(noise, at + head * PLACES + place, dropout, drop_scale, share, DROPS)
        weight = share * kept
        to_value = tl.where(mine, to_attended, 0.0)
        to_value_bias += to_value * tl.sum(weight, axis=0)
        to_context = transposed_times(w_key_value + SIZE * SIZE, to_value, SIZE)
        through_bias = tl.sum(to_value * tl.load(b_key_value + SIZE + d), axis=0)
        to_share = (tl.sum(normed * to_context[None, :], axis=1) + through_bias) * kept
        to_score = share * (to_share - tl.sum(share * to_share, axis=0)) * scale
        to_towards = tl.sum(to_score[:, None] * normed, axis=0)
        to_query += tl.where(mine, matrix_times(w_key_value, to_towards, SIZE), 0.0)
        to_normed += weight[:, None] * to_context[None, :] + to_score[:, None] * towards[None, :]
        at_head = (head * n_rows + row) * WIDTH + d - head * WIDTH
        tl.store(head_left + at_head, query, mask=mine)
        tl.store(head_left + HEADS * n_rows * WIDTH + at_head, to_attended, mask=mine)
        tl.store(contexts + head * step + row_vector, to_towards)
    tl.store(left + row_vector, to_query)
    tl.store(left + 4 * step + row_vector, tl.zeros([SIZE], dtype=tl.float32))  # the key's bias
    tl.store(left + 5 * step + row_vector, to_value_bias)
    to_newest = transposed_times(w_query, to_query, SIZE)
    to_normed += tl.where(is_newest, to_newest[None, :], 0.0)
    to_normed = tl.where((place < length)[:, None], to_normed, 0.0)
    tl.store(left + 6 * step + row_vector, tl.sum(to_normed * unit1, axis=0))
    tl.store(left + 7 * step + row_vector, tl.sum(to_normed, axis=0))
    slope = to_normed * gain1[None, :]
    mean = tl.sum(slope, axis=1) / SIZE
    along = tl.sum(slope * unit1, axis=1) / SIZE
    to_hidden = rate1[:, None] * (slope - mean[:, None] - unit1 * along[:, None])
    to_middle = tl.load(passed + step + row_vector)
    to_hidden += tl.where(is_newest, to_middle[None, :], 0.0)
    to_hidden *= kept0
    in_window = (place < length)[:, None] & (d < SIZE)[None, :]
    at_places = ((12 + place[:, None]) * n_rows + row) * SIZE + d[None, :]
    tl.store(left + at_places, to_hidden, mask=in_window)
    tl.store(items + row * length + place, item, mask=place < length)
    size = tl.where(in_window, tl.abs(to_hidden), 0.0)
    # A sum, not the maximum, which would lose a NaN: large enough, and as easily scaled by.
    tl.store(largest + row, tl.sum(tl.sum(size, axis=1), axis=0))
