"""Scores on tensor cores: made of three products in TF32, as exact as float32.

The factors are rounded, and what rounding left is multiplied too; one side of the product is narrow
(D), so that writing the scores is most of what is left.

Diary (H200, D 64): 2,048 x 17,408 scores 154 us in cuBLAS's float32, 78 here (33 is the memory's
share); 256 x 17,408 22 and 13. The products of the backward pass, which sum over rows or items,
were no faster this way (140 and 134 in cuBLAS, 149 and 130 here) and stay there.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.launch import launch

ROWS, COLUMNS = 64, 128


def product(users: Tensor, matrix: Tensor) -> Tensor:
    """Score items: (B, D) and (W, D), contiguous, D of `launch.SIZES` -> (B, W)."""
    (n_rows, size), width = users.shape, len(matrix)
    scores = users.new_empty(n_rows, width)
    launch(
        _product,
        (triton.cdiv(width, COLUMNS), triton.cdiv(n_rows, ROWS)),
        users,
        matrix,
        scores,
        n_rows,
        width,
        SIZE=size,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
        num_warps=4,
    )
    return scores


@triton.jit(do_not_specialize=["n_rows"])
def _product(
    users,
    matrix,
    out,
    n_rows,
    width,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    d = tl.arange(0, SIZE)
    left = tl.load(
        users + row[:, None] * SIZE + d[None, :], mask=(row < n_rows)[:, None], other=0.0
    )
    right = tl.load(
        matrix + column[None, :].to(tl.int64) * SIZE + d[:, None],
        mask=(column < width)[None, :],
        other=0.0,
    )
    scores = tl.dot(left, right, input_precision="tf32x3")
    at = row[:, None].to(tl.int64) * width + column[None, :]
    tl.store(out + at, scores, mask=(row < n_rows)[:, None] & (column < width)[None, :])
