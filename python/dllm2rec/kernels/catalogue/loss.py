"""The `CatalogueBackend` in CUDA kernels, each one pass over a chunk of scores.

One program works on a row, or on a piece of one where there are few rows. Sums of pieces are joined
in a fixed order, and only equal numbers are added with atomics: a step repeats bit for bit. Nothing
waits for the host, so all of it may run inside a CUDA graph.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue import scores_tf32
from dllm2rec.kernels.catalogue.backend import ChunkScores
from dllm2rec.kernels.catalogue.backward import column_sums as column_sums
from dllm2rec.kernels.catalogue.backward import gradient_ as gradient_
from dllm2rec.kernels.catalogue.forward import statistics as statistics
from dllm2rec.kernels.catalogue.row_losses import terms as terms
from dllm2rec.kernels.catalogue.terms import TermInputs
from dllm2rec.kernels.launch import SIZES, launch


def product(users: Tensor, matrix: Tensor, buffer: Tensor | None) -> Tensor:
    """Score items without bias and offset, (B, W); the buffer is for a CPU alone."""
    if users.shape[1] in SIZES:
        return scores_tf32.product(users.contiguous(), matrix.contiguous())
    return torch.mm(users, matrix.T)


def listed_(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    bias: Tensor | None,
    offset: Tensor | None,
    listed_scores: Tensor,
) -> ChunkScores:
    """Add the offset to a chunk of scores; copy those of the listed items into `listed_scores`."""
    n_listed, length = inputs.items.shape[1], inputs.windows.shape[1]
    launch(
        _listed,
        (len(scores),),
        scores,
        scores if bias is None else bias,
        scores if offset is None else offset,
        inputs.items,
        inputs.windows,
        listed_scores,
        chunk.start,
        scores.shape[1],
        n_listed,
        length,
        HAS_BIAS=bias is not None,
        HAS_OFFSET=offset is not None,
        LISTED=triton.next_power_of_2(n_listed),
        LENGTH=triton.next_power_of_2(length),
        num_warps=1,
    )
    return ChunkScores(scores, bias)


@triton.jit
def _listed(
    scores,
    bias,
    offset,
    items,
    windows,
    listed_scores,
    first,
    width,
    n_listed,
    length,
    HAS_BIAS: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    LISTED: tl.constexpr,
    LENGTH: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    line = scores + row * width
    if HAS_OFFSET:
        place = tl.arange(0, LENGTH)
        column = tl.load(windows + row * length + place, mask=place < length, other=-1) - first
        inside = (column >= 0) & (column < width)
        moved = tl.load(line + column, mask=inside, other=0.0) + tl.load(offset)
        tl.debug_barrier()  # an item may stand in two places: read both before either is written
        tl.store(line + column, moved, mask=inside)
        tl.debug_barrier()
    place = tl.arange(0, LISTED)
    item = tl.load(items + row * n_listed + place, mask=place < n_listed, other=-1)
    column = item - first
    inside = (column >= 0) & (column < width)
    score = tl.load(line + column, mask=inside, other=0.0)
    if HAS_BIAS:
        score += tl.load(bias + item, mask=inside, other=0.0)
    tl.store(listed_scores + row * n_listed + place, score, mask=inside)
