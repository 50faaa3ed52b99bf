"""The kernels of `listed`: picked items scored, and gradients added up item by item."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.deterministic_scatter_add import bits_of, scale_of, take_all
from dllm2rec.kernels.launch import launch

MOST_PLACES = 32  # picks that a program looks at together
N_WARPS = 4


def scores(users: Tensor, matrix: Tensor, bias: Tensor | None, items: Tensor) -> Tensor:
    """Score the picked items, (B, k)."""
    (n_rows, n_listed), width = items.shape, users.shape[1]
    result = users.new_empty(items.shape)
    places = _places(n_listed)
    launch(
        _scores,
        (n_rows, triton.cdiv(n_listed, places)),
        users,
        matrix,
        matrix if bias is None else bias,
        items,
        result,
        n_listed,
        width,
        HAS_BIAS=bias is not None,
        SIZE=triton.next_power_of_2(width),
        PLACES=places,
        num_warps=N_WARPS,
    )
    return result


def scores_backward(
    users: Tensor,
    matrix: Tensor,
    items: Tensor,
    grad: Tensor,
    scatter_buffer: Tensor,
    n_biases: int,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of users, matrix and, unless there are none, biases."""
    (n_rows, n_listed), width = items.shape, users.shape[1]
    to_users, to_matrix = torch.empty_like(users), torch.empty_like(matrix)
    of_biases = scatter_buffer[matrix.numel() :]
    steepest = grad.abs().amax(1)
    largest = (steepest * users.abs().amax(1)).amax()
    largest_bias = steepest.amax()
    n_addends = n_rows * n_listed
    launch(
        _scores_backward,
        (n_rows,),
        users,
        matrix,
        items,
        grad,
        largest,
        largest_bias,
        scatter_buffer,
        of_biases,
        to_users,
        n_listed,
        width,
        bits_of(n_addends),
        HAS_BIAS=n_biases > 0,
        SIZE=triton.next_power_of_2(width),
        PLACES=_places(n_listed),
        num_warps=N_WARPS,
    )
    take_all(scatter_buffer, to_matrix, largest, n_addends)
    if n_biases == 0:
        return to_users, to_matrix, None
    to_bias = users.new_empty(n_biases)
    take_all(of_biases, to_bias, largest_bias, n_addends)
    return to_users, to_matrix, to_bias


def _places(n_listed: int) -> int:
    return MOST_PLACES if n_listed > MOST_PLACES else int(triton.next_power_of_2(n_listed))


@triton.jit
def _scores(
    users,
    matrix,
    bias,
    items,
    result,
    n_listed,
    width,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    d = tl.arange(0, SIZE)
    inside = place < n_listed
    item = tl.load(items + row * n_listed + place, mask=inside, other=0)
    user = tl.load(users + row * width + d, mask=d < width, other=0.0)
    keep = inside[:, None] & (d < width)[None, :]
    vectors = tl.load(matrix + item[:, None] * width + d[None, :], mask=keep, other=0.0)
    score = tl.sum(vectors * user[None, :], axis=1)
    if HAS_BIAS:
        score += tl.load(bias + item, mask=inside, other=0.0)
    tl.store(result + row * n_listed + place, score, mask=inside)


@triton.jit
def _scores_backward(
    users,
    matrix,
    items,
    grad,
    largest,
    largest_bias,
    scatter_buffer,
    of_biases,
    to_users,
    n_listed,
    width,
    bits,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    PLACES: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, SIZE)
    user = tl.load(users + row * width + d, mask=d < width, other=0.0)
    top = tl.load(largest)
    top_bias = tl.load(largest_bias)
    counted = tl.where(top < 1e30, tl.where(top_bias < 1e30, n_listed, 0), 0)  # 0: not a number
    scale = scale_of(top, bits)
    scale_bias = scale_of(top_bias, bits)
    total = tl.zeros([PLACES, SIZE], dtype=tl.float32)
    for begin in range(0, n_listed, PLACES):
        place = begin + tl.arange(0, PLACES)
        inside = place < n_listed
        item = tl.load(items + row * n_listed + place, mask=inside, other=0)
        slope = tl.load(grad + row * n_listed + place, mask=inside, other=0.0)
        keep = inside[:, None] & (d < width)[None, :]
        at = item[:, None] * width + d[None, :]
        total += slope[:, None] * tl.load(matrix + at, mask=keep, other=0.0)
        moves = (place < counted) & (slope != 0.0)
        whole = ((slope[:, None] * user[None, :]).to(tl.float64) * scale).to(tl.int64)
        tl.atomic_add(scatter_buffer + at, whole, mask=keep & moves[:, None], sem="relaxed")
        if HAS_BIAS:
            one = (slope.to(tl.float64) * scale_bias).to(tl.int64)
            tl.atomic_add(of_biases + item, one, mask=moves, sem="relaxed")
    tl.store(to_users + row * width + d, tl.sum(total, axis=0), mask=d < width)
