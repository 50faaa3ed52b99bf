"""The kernels of `fused_sasrec`: one program encodes one row.

The way back keeps a few vectors of each row and makes the window's places again: dropout is a
function of the step's number, the row and the place. Weight gradients are products of vectors that
each row leaves behind, so no program adds to another's numbers.

Diary: one kernel for the way back took 7 to 12 s to compile (two heads), over half of it in a pass
of Triton's (TritonGPUCoalesce), whose time grows much faster than a kernel does. Two kernels, and
loops over heads that are not unrolled, take 2.6 s one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.launch import beside, join, launch
from dllm2rec.students.table_triton import row_sums

N_WARPS = 2  # with 4, products of 64 x 64 wait on barriers: .4 instead of .3 ms at 2,048 rows
PIECE_ROWS = 256  # products that sum over more rows than this leave most of the GPU idle
SPARE_BITS = 3  # of the 64 that sums of gradients have, for the sign and for rounding up
EPSILON = tl.constexpr(1e-5)  # of torch's LayerNorm


@dataclass(frozen=True, eq=False)
class Saved:
    """What the way forward leaves for the way back, row by row.

    Attributes:
        right: inputs of query, output, feed_in and feed_out, (4, B, D).
        contexts: the second half: what each head attended to; the first half is written on the way
            back, (2 H, B, D).
        inner: query, the sum behind the attention, feed_in's output, the sum behind the block,
            (4, B, D).
    """

    right: Tensor
    contexts: Tensor
    inner: Tensor


def encode(
    table: Tensor,
    sequences: Tensor,
    lengths: Tensor,
    noise: Tensor,
    weights: tuple[Tensor, ...],
    shape: tuple[int, int, float],
) -> tuple[Tensor, Saved]:
    """Encode windows: users (B, D). The weights come in the order of `encode_fused`."""
    (n_rows, length), size = sequences.shape, table.shape[1]
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
        table,
        sequences,
        lengths,
        noise,
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


def encode_back(
    table: Tensor,
    sequences: Tensor,
    lengths: Tensor,
    noise: Tensor,
    weights: tuple[Tensor, ...],
    shape: tuple[int, int, float],
    saved: Saved,
    grad: Tensor,
    to_table: Tensor,
    sums: Tensor,
    side: torch.cuda.Stream | None,
) -> list[Tensor]:
    """Return the weights' gradients, in their order; add the rows' to `to_table` in place.

    The former are `side`'s, if there is one: `join` it before they are read.
    """
    (n_rows, length), size = sequences.shape, table.shape[1]
    n_items, n_heads, dropout = shape
    width = size // n_heads
    positions, norm1, shift1, w_query, _, w_key_value, b_key_value, w_output = weights[:8]
    norm2, shift2, w_in, _, w_out, _, norm3, _ = weights[9:]
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
        _feed_back,
        (n_rows,),
        noise,
        *(w_output, norm2, shift2, w_in, w_out, norm3),
        saved.inner,
        grad.contiguous(),
        left,
        passed,
        *drops,
        **constants,
    )
    launch(
        _attend_back,
        (n_rows,),
        table,
        sequences,
        lengths,
        noise,
        *(positions, norm1, shift1, w_query, w_key_value, b_key_value),
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
    join(side)  # what it did until here is in `to_table`
    with beside(side, left, saved.right, head_left, saved.contexts):
        to_matrices = _outer_sums(left[:4], saved.right)
        to_heads = _outer_sums(head_left, saved.contexts)
        to_vectors = row_sums(left)
    _sum_rows(left[12:], items, largest.amax(), sums, to_table, n_items)
    query, output, feed_in, feed_out = to_matrices
    by_query, by_output, by_in, by_out = to_vectors[:4]
    return [
        to_vectors[12:],
        *to_vectors[6:8],
        query,
        by_query,
        to_heads.reshape(2 * size, size),
        to_vectors[4:6].reshape(2 * size),
        output,
        by_output,
        *to_vectors[8:10],
        feed_in,
        by_in,
        feed_out,
        by_out,
        *to_vectors[10:12],
    ]


def _outer_sums(left: Tensor, right: Tensor) -> Tensor:
    """Sum the rows' outer products: (n, B, a) and (n, B, b) -> (n, a, b), in pieces of rows."""
    n, n_rows, _ = left.shape
    if n_rows % PIECE_ROWS or n_rows == PIECE_ROWS:
        return torch.bmm(left.transpose(1, 2), right)
    pieces = n_rows // PIECE_ROWS
    left = left.reshape(n * pieces, PIECE_ROWS, -1)
    products = torch.bmm(left.transpose(1, 2), right.reshape(n * pieces, PIECE_ROWS, -1))
    return products.view(n, pieces, *products.shape[1:]).sum(1)


def _sum_rows(
    values: Tensor, items: Tensor, largest: Tensor, sums: Tensor, out: Tensor, n_items: int
) -> None:
    """Add the vectors (L, B, D) of each item to its row of `out`; `sums` is zero around it."""
    length, n_rows, size = values.shape
    bits = 63 - SPARE_BITS - (n_rows * length).bit_length()
    for kernel in (_add_rows, _take_rows):
        launch(
            kernel,
            (n_rows,),
            values,
            items,
            largest,
            sums,
            out,
            n_items,
            length,
            float(bits),
            SIZE=size,
            PLACES=triton.next_power_of_2(length),
            num_warps=4,
        )


@triton.jit
def _scale(largest, bits):
    """A power of two that brings the largest value to `bits` bits."""
    safe = tl.where((largest > 1e-30) & (largest < 1e30), largest, 1.0)
    return tl.exp2(bits - tl.ceil(tl.log2(safe))).to(tl.float64)


@triton.jit
def _add_rows(
    values,
    items,
    largest,
    sums,
    out,
    n_items,
    length,
    bits,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    item = tl.load(items + row * length + place, mask=place < length, other=n_items)
    top = tl.load(largest)
    counted = tl.where(top < 1e30, n_items, 0)  # none where a value is no number
    keep = (item < counted)[:, None] & (d < SIZE)[None, :]
    n_rows = tl.num_programs(0).to(tl.int64)
    at = (place[:, None] * n_rows + row) * SIZE + d[None, :]
    value = tl.load(values + at, mask=keep, other=0.0)
    whole = (value.to(tl.float64) * _scale(top, bits)).to(tl.int64)
    tl.atomic_add(sums + item[:, None] * SIZE + d[None, :], whole, mask=keep)


@triton.jit
def _take_rows(
    values,
    items,
    largest,
    sums,
    out,
    n_items,
    length,
    bits,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    item = tl.load(items + row * length + place, mask=place < length, other=n_items)
    top = tl.load(largest)
    keep = (item < n_items)[:, None] & (d < SIZE)[None, :]
    at = item[:, None] * SIZE + d[None, :]
    # Of all places of an item, whoever comes first takes the sum and leaves 0 to the others.
    whole = tl.atomic_xchg(sums + at, tl.zeros([PLACES, SIZE], dtype=tl.int64), mask=keep)
    value = (whole.to(tl.float64) / _scale(top, bits)).to(tl.float32)
    value += tl.where(top < 1e30, 0.0, float("nan"))
    mine = keep & ((whole != 0) | (value != value))
    before = tl.load(out + at, mask=mine, other=0.0)
    tl.store(out + at, before + value, mask=mine)


@triton.jit
def _kept(noise, at, dropout, scale, like, DROPS: tl.constexpr):
    """What dropout multiplies by: 0 or 1 / (1 - p)."""
    if DROPS:  # noqa: SIM108 - a branch of the compiler's
        factor = tl.where(tl.rand(noise, at) >= dropout, scale, 0.0)
    else:
        factor = like * 0.0 + 1.0
    return factor


@triton.jit
def _times(matrix, vector, SIZE: tl.constexpr):
    """Matrix times vector."""
    i = tl.arange(0, SIZE)
    d = tl.arange(0, SIZE)
    return tl.sum(tl.load(matrix + i[:, None] * SIZE + d[None, :]) * vector[None, :], axis=1)


@triton.jit
def _transposed_times(matrix, vector, SIZE: tl.constexpr):
    """Transposed matrix times vector."""
    i = tl.arange(0, SIZE)
    d = tl.arange(0, SIZE)
    return tl.sum(tl.load(matrix + i[:, None] * SIZE + d[None, :]) * vector[:, None], axis=0)


@triton.jit
def _normed(vector, SIZE: tl.constexpr):
    """A vector without its mean, scaled to variance 1, and that scale."""
    centred = vector - tl.sum(vector, axis=0) / SIZE
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / SIZE + EPSILON)
    return centred * scale, scale


@triton.jit
def _norm_back(grad, normed, scale, SIZE: tl.constexpr):
    """Back through `_normed`."""
    mean = tl.sum(grad, axis=0) / SIZE
    along = tl.sum(grad * normed, axis=0) / SIZE
    return scale * (grad - mean - normed * along)


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
def _attention(query_h, key_value, normed, is_real, scale, SIZE: tl.constexpr):
    """Of one head: what its query makes of the keys' matrix, and the weights of the places."""
    towards = _transposed_times(key_value, query_h, SIZE)
    score = tl.sum(normed * towards[None, :], axis=1) * scale
    score = tl.where(is_real, score, float("-inf"))
    weight = tl.exp(score - tl.max(score, axis=0))
    return towards, weight / tl.sum(weight, axis=0)


@triton.jit
def _gelu(value):
    return 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))


@triton.jit
def _gelu_slope(value):
    bell = tl.exp(-0.5 * value * value) * 0.3989422804014327
    return 0.5 * (1.0 + tl.erf(value * 0.7071067811865476)) + value * bell


@triton.jit
def _tile(
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
    kept = _kept(noise, at + place[:, None] * SIZE + d[None, :], dropout, drop_scale, hidden, DROPS)
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
    own = row * SIZE + d  # where a row's vector stands among the others'
    step = tl.num_programs(0).to(tl.int64) * SIZE

    _item, is_real, hidden, _kept0 = _tile(
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

    query = _times(w_query, newest_normed, SIZE) + tl.load(b_query + d)
    tl.store(right + own, newest_normed)
    tl.store(inner_out + own, query)
    attended = tl.zeros([SIZE], dtype=tl.float32)
    for head in range(HEADS):
        mine = d // WIDTH == head
        _towards, weight = _attention(
            tl.where(mine, query, 0.0), w_key_value, normed, is_real, scale, SIZE
        )
        weight *= _kept(noise, at + head * PLACES + place, dropout, drop_scale, weight, DROPS)
        context = tl.sum(weight[:, None] * normed, axis=0)
        tl.store(contexts + (HEADS + head) * step + own, context)
        value = _times(w_key_value + SIZE * SIZE, context, SIZE)
        value += tl.load(b_key_value + SIZE + d) * tl.sum(weight, axis=0)
        attended += tl.where(mine, value, 0.0)
    at += HEADS * PLACES
    added = _times(w_output, attended, SIZE) + tl.load(b_output + d)
    tl.store(right + step + own, attended)
    middle = newest + added * _kept(noise, at + d, dropout, drop_scale, added, DROPS)
    tl.store(inner_out + step + own, middle)
    at += SIZE
    inner, _rate2 = _normed(middle, SIZE)
    inner = inner * tl.load(norm2 + d) + tl.load(shift2 + d)
    tl.store(right + 2 * step + own, inner)
    feed = _times(w_in, inner, SIZE) + tl.load(b_in + d)
    tl.store(inner_out + 2 * step + own, feed)
    inner = _gelu(feed)
    inner *= _kept(noise, at + d, dropout, drop_scale, inner, DROPS)
    tl.store(right + 3 * step + own, inner)
    at += SIZE
    added = _times(w_out, inner, SIZE) + tl.load(b_out + d)
    last = middle + added * _kept(noise, at + d, dropout, drop_scale, added, DROPS)
    tl.store(inner_out + 3 * step + own, last)
    user, _rate3 = _normed(last, SIZE)
    tl.store(users + own, user * tl.load(norm3 + d) + tl.load(shift3 + d))


@triton.jit
def _feed_back(
    noise_at, w_output, norm2, shift2, w_in, w_out, norm3, saved, grad, left, passed,
    dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, HEADS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Back from the user to what the heads attended to and to the newest place."""
    row = tl.program_id(0).to(tl.int64)
    noise = tl.load(noise_at)
    d = tl.arange(0, SIZE)
    at = tl.program_id(0) * (PLACES * SIZE + HEADS * PLACES + 3 * SIZE)
    at += PLACES * SIZE + HEADS * PLACES + d
    own = row * SIZE + d
    step = tl.num_programs(0).to(tl.int64) * SIZE

    unit3, rate3 = _normed(tl.load(saved + 3 * step + own), SIZE)
    to_user = tl.load(grad + own)
    tl.store(left + 10 * step + own, to_user * unit3)
    tl.store(left + 11 * step + own, to_user)
    to_middle = _norm_back(to_user * tl.load(norm3 + d), unit3, rate3, SIZE)
    to_added = to_middle * _kept(noise, at + 2 * SIZE, dropout, drop_scale, to_middle, DROPS)
    tl.store(left + 3 * step + own, to_added)
    feed = tl.load(saved + 2 * step + own)
    to_feed = _transposed_times(w_out, to_added, SIZE) * _gelu_slope(feed)
    to_feed *= _kept(noise, at + SIZE, dropout, drop_scale, to_feed, DROPS)
    tl.store(left + 2 * step + own, to_feed)
    to_normed2 = _transposed_times(w_in, to_feed, SIZE)
    unit2, rate2 = _normed(tl.load(saved + step + own), SIZE)
    tl.store(left + 8 * step + own, to_normed2 * unit2)
    tl.store(left + 9 * step + own, to_normed2)
    to_middle += _norm_back(to_normed2 * tl.load(norm2 + d), unit2, rate2, SIZE)
    to_added = to_middle * _kept(noise, at, dropout, drop_scale, to_middle, DROPS)
    tl.store(left + 1 * step + own, to_added)
    tl.store(passed + own, _transposed_times(w_output, to_added, SIZE))
    tl.store(passed + step + own, to_middle)


@triton.jit
def _attend_back(
    table, sequences, length_of, noise_at, positions,
    norm1, shift1, w_query, w_key_value, b_key_value,
    saved, passed, left, items, head_left, contexts, largest,
    n_items, length, dropout, drop_scale,
    DROPS: tl.constexpr, SIZE: tl.constexpr, HEADS: tl.constexpr, PLACES: tl.constexpr,
):  # fmt: skip
    """Back through the attention to the places of the window."""
    row = tl.program_id(0).to(tl.int64)
    n_rows = tl.num_programs(0).to(tl.int64)
    noise = tl.load(noise_at)
    place = tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    WIDTH: tl.constexpr = SIZE // HEADS
    scale = 1.0 / tl.sqrt(WIDTH * 1.0)
    at = tl.program_id(0) * (PLACES * SIZE + HEADS * PLACES + 3 * SIZE)
    own = row * SIZE + d
    step = n_rows * SIZE

    item, is_real, hidden, kept0 = _tile(
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
    query = tl.load(saved + own)
    to_attended = tl.load(passed + own)

    to_query = tl.zeros([SIZE], dtype=tl.float32)
    to_value_bias = tl.zeros([SIZE], dtype=tl.float32)
    to_normed = tl.zeros([PLACES, SIZE], dtype=tl.float32)
    for head in range(HEADS):
        mine = d // WIDTH == head
        query_h = tl.where(mine, query, 0.0)
        towards, share = _attention(query_h, w_key_value, normed, is_real, scale, SIZE)
        kept = _kept(noise, at + head * PLACES + place, dropout, drop_scale, share, DROPS)
        weight = share * kept
        to_value = tl.where(mine, to_attended, 0.0)
        to_value_bias += to_value * tl.sum(weight, axis=0)
        to_context = _transposed_times(w_key_value + SIZE * SIZE, to_value, SIZE)
        through_bias = tl.sum(to_value * tl.load(b_key_value + SIZE + d), axis=0)
        to_share = (tl.sum(normed * to_context[None, :], axis=1) + through_bias) * kept
        to_score = share * (to_share - tl.sum(share * to_share, axis=0)) * scale
        to_towards = tl.sum(to_score[:, None] * normed, axis=0)
        to_query += tl.where(mine, _times(w_key_value, to_towards, SIZE), 0.0)
        to_normed += weight[:, None] * to_context[None, :] + to_score[:, None] * towards[None, :]
        at_head = (head * n_rows + row) * WIDTH + d - head * WIDTH
        tl.store(head_left + at_head, query, mask=mine)
        tl.store(head_left + HEADS * n_rows * WIDTH + at_head, to_attended, mask=mine)
        tl.store(contexts + head * step + own, to_towards)
    tl.store(left + own, to_query)
    tl.store(left + 4 * step + own, tl.zeros([SIZE], dtype=tl.float32))  # the key's bias
    tl.store(left + 5 * step + own, to_value_bias)
    to_newest = _transposed_times(w_query, to_query, SIZE)
    to_normed += tl.where(is_newest, to_newest[None, :], 0.0)
    to_normed = tl.where((place < length)[:, None], to_normed, 0.0)
    tl.store(left + 6 * step + own, tl.sum(to_normed * unit1, axis=0))
    tl.store(left + 7 * step + own, tl.sum(to_normed, axis=0))
    slope = to_normed * gain1[None, :]
    mean = tl.sum(slope, axis=1) / SIZE
    along = tl.sum(slope * unit1, axis=1) / SIZE
    to_hidden = rate1[:, None] * (slope - mean[:, None] - unit1 * along[:, None])
    to_middle = tl.load(passed + step + own)
    to_hidden += tl.where(is_newest, to_middle[None, :], 0.0)
    to_hidden *= kept0
    in_window = (place < length)[:, None] & (d < SIZE)[None, :]
    at_places = ((12 + place[:, None]) * n_rows + row) * SIZE + d[None, :]
    tl.store(left + at_places, to_hidden, mask=in_window)
    tl.store(items + row * length + place, item, mask=place < length)
    size = tl.where(in_window, tl.abs(to_hidden), 0.0)
    # A sum, not the maximum, which would lose a NaN: large enough, and as easily scaled by.
    tl.store(largest + row, tl.sum(tl.sum(size, axis=1), axis=0))
