"""The kernels of `fused_sasrec`: one program encodes one row.

The backward pass keeps a few vectors of each row and makes the window's places again: dropout is a
function of the step's number, the row and the place. Weight gradients are products of vectors that
each row leaves behind, so no program adds to another's numbers.

Diary: one kernel for the backward pass took 7 to 12 s to compile (two heads), over half of it in a
pass of Triton's (TritonGPUCoalesce), whose time grows much faster than a kernel does. Two kernels,
and loops over heads that are not unrolled, take 2.6 s one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch
from dllm2rec.kernels.sasrec_inputs import EncoderShape, EncoderWeights, Windows

N_WARPS = 2  # with 4, products of 64 x 64 wait on barriers: 0.4 instead of 0.3 ms at 2,048 rows
EPSILON = tl.constexpr(1e-5)  # of torch's LayerNorm


@dataclass(frozen=True, eq=False)
class Saved:
    """What the forward pass leaves for the backward pass, row by row.

    Attributes:
        right: inputs of query, output, feed_in and feed_out, (4, B, D).
        contexts: the second half: what each head attended to; the first half is written by the
            backward pass, (2 H, B, D).
        inner: query, the sum behind the attention, feed_in's output, the sum behind the block,
            (4, B, D).
    """

    right: Tensor
    contexts: Tensor
    inner: Tensor


def encode(windows: Windows, weights: EncoderWeights, shape: EncoderShape) -> tuple[Tensor, Saved]:
    """Encode windows: users (B, D)."""
    table = windows.table
    (n_rows, length), size = windows.sequences.shape, table.shape[1]
    n_items, n_heads, dropout = shape
    users = table.new_empty(n_rows, size)
    saved = Saved(
        table.new_empty(4, n_rows, size),
        table.new_empty(2 * n_heads, n_rows, size),
        table.new_empty(4, n_rows, size),
    )
    launch(
        _encode,
        (n_rows,),
        *windows,
        *weights,
        users,
        saved.right,
        saved.contexts,
        saved.inner,
        n_items,
        length,
        dropout,
        1 / (1 - dropout),
        DROPS=dropout > 0,
        SIZE=size,
        HEADS=n_heads,
        PLACES=triton.next_power_of_2(length),
        num_warps=N_WARPS,
    )
    return users, saved


@triton.jit
def drop_factor(noise, at, dropout, scale, like, DROPS: tl.constexpr):
    """The factor of dropout: 0 or 1 / (1 - p)."""
    if DROPS:  # noqa: SIM108 - a branch of the compiler's
        factor = tl.where(tl.rand(noise, at) >= dropout, scale, 0.0)
    else:
        factor = like * 0.0 + 1.0
    return factor


@triton.jit
def matrix_times(matrix, vector, SIZE: tl.constexpr):
    """Matrix times vector."""
    i = tl.arange(0, SIZE)
    d = tl.arange(0, SIZE)
    return tl.sum(tl.load(matrix + i[:, None] * SIZE + d[None, :]) * vector[None, :], axis=1)


@triton.jit
def transposed_times(matrix, vector, SIZE: tl.constexpr):
    """Transposed matrix times vector."""
    i = tl.arange(0, SIZE)
    d = tl.arange(0, SIZE)
    return tl.sum(tl.load(matrix + i[:, None] * SIZE + d[None, :]) * vector[:, None], axis=0)


@triton.jit
def layer_normed(vector, SIZE: tl.constexpr):
    """A vector without its mean, scaled to variance 1, and that scale."""
    centred = vector - tl.sum(vector, axis=0) / SIZE
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / SIZE + EPSILON)
    return centred * scale, scale


@triton.jit
def _placed(
    table, sequences, length_of, row, n_items, length, SIZE: tl.constexpr, PLACES: tl.constexpr
):
    """Items with the newest at the last place, which of them are real, and their rows."""
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    n_real = tl.maximum(tl.load(length_of + row), 1)
    source = place - (length - n_real)
    is_real = (place < length) & (source >= 0)
    item = tl.load(sequences + row * length + source, mask=is_real, other=n_items)
    vectors = tl.load(
        table + item[:, None] * SIZE + d[None, :], mask=(place < length)[:, None], other=0.0
    )
    return item, is_real, vectors


@triton.jit
def attention(query_h, key_value, normed, is_real, scale, SIZE: tl.constexpr):
    """Of one head: what its query makes of the keys' matrix, and the weights of the places."""
    towards = transposed_times(key_value, query_h, SIZE)
    score = tl.sum(normed * towards[None, :], axis=1) * scale
    score = tl.where(is_real, score, float("-inf"))
    weight = tl.exp(score - tl.max(score, axis=0))
    return towards, weight / tl.sum(weight, axis=0)


@triton.jit
def _gelu(value):
    return 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))


@triton.jit
def window_tile(
    table, sequences, length_of, noise, positions, row, at, n_items, length, dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """A row's places before the block: their items, which are real, vectors and dropout."""
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    item, is_real, hidden = _placed(table, sequences, length_of, row, n_items, length, SIZE, PLACES)
    hidden += tl.load(
        positions + place[:, None] * SIZE + d[None, :], mask=(place < length)[:, None], other=0.0
    )
    spot = at + place[:, None] * SIZE + d[None, :]
    kept = drop_factor(noise, spot, dropout, drop_scale, hidden, DROPS)
    return item, is_real, hidden * kept, kept


@triton.jit
def _encode(
    table, sequences, length_of, noise_at, positions,
    norm1, shift1, w_query, b_query, w_key_value, b_key_value, w_output, b_output,
    norm2, shift2, w_in, b_in, w_out, b_out, norm3, shift3,
    users, right, contexts, inner_out, n_items, length, dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, HEADS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    noise = tl.load(noise_at)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    WIDTH: tl.constexpr = SIZE // HEADS
    scale = 1.0 / tl.sqrt(WIDTH * 1.0)
    at = tl.program_id(0) * (PLACES * SIZE + HEADS * PLACES + 3 * SIZE)
    row_vector = row * SIZE + d  # where a row's vector stands among the others'
    step = tl.num_programs(0).to(tl.int64) * SIZE

    _item, is_real, hidden, _kept0 = window_tile(
        table, sequences, length_of, noise, positions, row, at, n_items, length, dropout,
        drop_scale, DROPS, SIZE, PLACES,
    )  # fmt: skip
    at += PLACES * SIZE
    centred = hidden - (tl.sum(hidden, axis=1) / SIZE)[:, None]
    rate = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / SIZE + EPSILON)
    normed = centred * rate[:, None] * tl.load(norm1 + d)[None, :] + tl.load(shift1 + d)[None, :]
    is_newest = (place == length - 1)[:, None]
    newest = tl.sum(tl.where(is_newest, hidden, 0.0), axis=0)
    newest_normed = tl.sum(tl.where(is_newest, normed, 0.0), axis=0)

    query = matrix_times(w_query, newest_normed, SIZE) + tl.load(b_query + d)
    tl.store(right + row_vector, newest_normed)
    tl.store(inner_out + row_vector, query)
    attended = tl.zeros([SIZE], dtype=tl.float32)
    for head in range(HEADS):
        mine = d // WIDTH == head
        _towards, weight = attention(
            tl.where(mine, query, 0.0), w_key_value, normed, is_real, scale, SIZE
        )
        weight *= drop_factor(noise, at + head * PLACES + place, dropout, drop_scale, weight, DROPS)
        context = tl.sum(weight[:, None] * normed, axis=0)
        tl.store(contexts + (HEADS + head) * step + row_vector, context)
        value = matrix_times(w_key_value + SIZE * SIZE, context, SIZE)
        value += tl.load(b_key_value + SIZE + d) * tl.sum(weight, axis=0)
        attended += tl.where(mine, value, 0.0)
    at += HEADS * PLACES
    added = matrix_times(w_output, attended, SIZE) + tl.load(b_output + d)
    tl.store(right + step + row_vector, attended)
    middle = newest + added * drop_factor(noise, at + d, dropout, drop_scale, added, DROPS)
    tl.store(inner_out + step + row_vector, middle)
    at += SIZE
    inner, _rate2 = layer_normed(middle, SIZE)
    inner = inner * tl.load(norm2 + d) + tl.load(shift2 + d)
    tl.store(right + 2 * step + row_vector, inner)
    feed = matrix_times(w_in, inner, SIZE) + tl.load(b_in + d)
    tl.store(inner_out + 2 * step + row_vector, feed)
    inner = _gelu(feed)
    inner *= drop_factor(noise, at + d, dropout, drop_scale, inner, DROPS)
    tl.store(right + 3 * step + row_vector, inner)
    at += SIZE
    added = matrix_times(w_out, inner, SIZE) + tl.load(b_out + d)
    last = middle + added * drop_factor(noise, at + d, dropout, drop_scale, added, DROPS)
    tl.store(inner_out + 3 * step + row_vector, last)
    user, _rate3 = layer_normed(last, SIZE)
    tl.store(users + row_vector, user * tl.load(norm3 + d) + tl.load(shift3 + d))
