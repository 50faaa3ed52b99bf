"""Into how many programs the kernels of `catalogue` cut their work."""

from __future__ import annotations

import triton
from torch import Tensor

BLOCK = 2048
COUNTING_BLOCK = 1024  # each of its lanes' best is compared with a whole list
SAMPLED_BLOCK = 1024
N_WARPS = 8
ENOUGH_PROGRAMS = 512  # fewer rows than this are cut into pieces


def pieces_of(n_rows: int, width: int) -> tuple[int, int]:
    """How many pieces a row is cut into, and how wide they are."""
    wanted = max(1, min(ENOUGH_PROGRAMS // max(n_rows, 1), width // BLOCK))
    span = triton.cdiv(triton.cdiv(width, wanted), BLOCK) * BLOCK
    return triton.cdiv(width, span), span


def at_once(drawn: Tensor) -> int:
    """How many sampled items a program takes at a time."""
    return int(min(SAMPLED_BLOCK, triton.next_power_of_2(drawn.shape[1])))
