"""The kernels that read all scores, or those of a row's sample, in the forward pass."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue import grid
from dllm2rec.kernels.catalogue.backend import ChunkScores, ChunkStatistics
from dllm2rec.kernels.catalogue.grid import N_WARPS, at_once, pieces_of
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch


def statistics(
    scores: ChunkScores,
    chunk: slice,
    inputs: TermInputs,
    listed_scores: Tensor,
    drawn: Tensor | None,
    spec: TermSpec,
) -> ChunkStatistics:
    """Reduce a chunk to what the terms need of it, piece by piece: (pieces, B) and (.., B, K).

    Scores of sampled items are copied into `drawn`.
    """
    values, bias = scores
    n_rows, width = values.shape
    pieces, span = pieces_of(n_rows, width)
    n_candidates = listed_scores.shape[1] - 1 - spec.n_negatives if spec.counts else 0
    log_z = values.new_empty(pieces, n_rows)
    log_d = values.new_empty(pieces, n_rows, dtype=torch.float64)
    if drawn is not None:
        _add_sampled(scores, chunk, inputs, drawn, log_z.fill_(-torch.inf), spec.n_sampled)
        if spec.dro_weight == 0 and not spec.counts:
            return ChunkStatistics(log_z, log_d, None)
    ahead = torch.empty(
        (pieces, n_rows, max(n_candidates, 1)), dtype=torch.int32, device=values.device
    )
    launch(
        _statistics,
        (n_rows, pieces),
        values,
        values if bias is None else bias,
        inputs.dro_slope,
        values if inputs.in_softmax is None else inputs.in_softmax,
        inputs.items,
        listed_scores,
        log_z,
        log_d,
        ahead,
        chunk.start,
        width,
        span,
        listed_scores.shape[1],
        1 + spec.n_negatives,
        spec.top_k,
        HAS_BIAS=bias is not None,
        SOFTMAX=spec.sums_all,
        MASKED=inputs.in_softmax is not None,
        DRO=spec.dro_weight > 0,
        N_COUNTED=n_candidates,
        COUNTED=triton.next_power_of_2(max(n_candidates, 1)),
        BLOCK=grid.COUNTING_BLOCK if n_candidates else grid.BLOCK,
        num_warps=N_WARPS,
    )
    return ChunkStatistics(log_z, log_d, ahead)


def _add_sampled(
    scores: ChunkScores,
    chunk: slice,
    inputs: TermInputs,
    drawn: Tensor,
    log_z: Tensor,
    n_drawn: int,
) -> None:
    """Copy what the chunk has of the sampled items' scores; write the log of their sum, (B,)."""
    values, bias = scores
    launch(
        _sampled,
        (len(values),),
        values,
        values if bias is None else bias,
        inputs.sampled,
        inputs.log_expected,
        drawn,
        log_z,
        chunk.start,
        values.shape[1],
        drawn.shape[1],
        n_drawn,
        HAS_BIAS=bias is not None,
        SAMPLED=at_once(drawn),
        num_warps=4,
    )


@triton.jit
def dro_exponent(score, is_target, weight, inside):
    """The exponent of an item's term of DROS, -inf outside.

    The choice stands between the product and what is subtracted from it: a compiler that joined
    the two would leave out the product's rounding, in one of the two passes and not in the other.
    """
    error = tl.where(is_target, score - 1.0, score)
    return tl.where(inside, weight * (error * error), float("-inf"))


@triton.jit
def _statistics(
    scores,
    bias,
    dro_slope,
    in_softmax,
    items,
    listed_scores,
    log_z,
    log_d,
    ahead,
    first,
    width,
    span,
    n_listed,
    first_candidate,
    top_k,
    HAS_BIAS: tl.constexpr,
    SOFTMAX: tl.constexpr,
    MASKED: tl.constexpr,
    DRO: tl.constexpr,
    N_COUNTED: tl.constexpr,
    COUNTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    piece = tl.program_id(1)
    out = piece.to(tl.int64) * tl.num_programs(0) + row
    line = scores + row * width
    target = tl.load(items + row * n_listed)
    highest_z = float("-inf")
    highest_d = float("-inf")
    sum_z = tl.zeros([BLOCK], dtype=tl.float32)
    sum_d = tl.zeros([BLOCK], dtype=tl.float32)
    number = tl.arange(0, COUNTED)
    if N_COUNTED > 0:
        listed = row * n_listed + first_candidate + number
        value = tl.load(listed_scores + listed, mask=number < N_COUNTED, other=float("inf"))
        best = tl.full([BLOCK], float("-inf"), dtype=tl.float32)
    end = tl.minimum(piece * span + span, width)
    for begin in range(piece * span, end, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        inside = column < end
        item = (first + column).to(tl.int64)
        score = tl.load(line + column, mask=inside, other=float("-inf"))
        if HAS_BIAS:
            score += tl.load(bias + item, mask=inside, other=0.0)
        if SOFTMAX:
            counted = score
            if MASKED:
                keep = tl.load(in_softmax + item, mask=inside, other=0) != 0
                counted = tl.where(keep, score, float("-inf"))
            top = tl.maximum(highest_z, tl.max(counted, axis=0))
            safe = tl.where(top == float("-inf"), 0.0, top)
            sum_z = sum_z * tl.exp(highest_z - safe) + tl.exp(counted - safe)
            highest_z = top
        if DRO:
            weight = tl.load(dro_slope + item, mask=inside, other=0.0)
            exponent = dro_exponent(score, item == target, weight, inside)
            top = tl.maximum(highest_d, tl.max(exponent, axis=0))
            sum_d = sum_d * tl.exp(highest_d - top) + tl.exp(exponent - top)
            highest_d = top
        if N_COUNTED > 0:
            best = tl.maximum(best, score)  # outside, a score is -inf
    if SOFTMAX:
        safe = tl.where(highest_z == float("-inf"), 0.0, highest_z)
        tl.store(log_z + out, safe + tl.log(tl.sum(sum_z, axis=0)))
    if DRO:
        rest = tl.log(tl.sum(sum_d, axis=0)).to(tl.float64)
        tl.store(log_d + out, rest + highest_d)
    if N_COUNTED > 0:
        # As many lanes' best above a listed score, as many items at least are ahead of it. Only
        # where these are too few to keep it out of the top K are all scores compared with it.
        total = tl.sum((best[:, None] > value[None, :]).to(tl.int32), axis=0)
        for place in range(N_COUNTED):
            if tl.sum(tl.where(number == place, total, 0), axis=0) < top_k:
                one = tl.load(listed_scores + row * n_listed + first_candidate + place)
                own_item = tl.load(items + row * n_listed + first_candidate + place)
                own_column = (own_item - first).to(tl.int32)
                counts = tl.zeros([BLOCK], dtype=tl.int32)
                for begin in range(piece * span, end, BLOCK):
                    column = begin + tl.arange(0, BLOCK)
                    inside = column < end
                    score = tl.load(line + column, mask=inside, other=float("-inf"))
                    if HAS_BIAS:
                        score += tl.load(bias + first + column, mask=inside, other=0.0)
                    is_ahead = (score > one) | ((score == one) & (column < own_column))
                    counts += (is_ahead & inside).to(tl.int32)
                total = tl.where(number == place, tl.sum(counts, axis=0), total)
        tl.store(ahead + out * N_COUNTED + number, total, mask=number < N_COUNTED)


@triton.jit
def _sampled(
    scores,
    bias,
    sampled,
    log_expected,
    drawn,
    log_z,
    first,
    width,
    n_sampled,
    n_drawn,
    HAS_BIAS: tl.constexpr,
    SAMPLED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    line = scores + row * width
    expected = tl.load(log_expected + row)
    highest = float("-inf")
    total = tl.zeros([SAMPLED], dtype=tl.float32)
    for begin in range(0, n_sampled, SAMPLED):
        place = begin + tl.arange(0, SAMPLED)
        at = row * n_sampled + place
        item = tl.load(sampled + at, mask=place < n_sampled, other=-1)
        column = item - first
        inside = (column >= 0) & (column < width)
        score = tl.load(line + column, mask=inside, other=float("-inf"))
        if HAS_BIAS:
            score += tl.load(bias + item, mask=inside, other=0.0)
        # what is subtracted from the drawn items' sum later on: the window's stand for themselves
        score += tl.where(place >= n_drawn, expected, 0.0)
        tl.store(drawn + at, score, mask=inside)
        top = tl.maximum(highest, tl.max(score, axis=0))
        safe = tl.where(top == float("-inf"), 0.0, top)
        total = total * tl.exp(highest - safe) + tl.exp(score - safe)
        highest = top
    safe = tl.where(highest == float("-inf"), 0.0, highest)
    tl.store(log_z + row, safe + tl.log(tl.sum(total, axis=0)))
