"""The kernels that write the gradient over the scores, and sum it over rows."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue import grid
from dllm2rec.kernels.catalogue.backend import ChunkScores, GradientInputs
from dllm2rec.kernels.catalogue.forward import dro_exponent
from dllm2rec.kernels.catalogue.grid import N_WARPS, at_once, pieces_of
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch

SUM_ROWS, SUM_COLUMNS = 32, 128  # a program's share of a sum over rows, at a time


def gradient_(
    scores: ChunkScores,
    chunk: slice,
    inputs: TermInputs,
    given: GradientInputs,
    spec: TermSpec,
    *,
    has_offset: bool,
) -> Tensor | None:
    """Write the gradient over a chunk of scores; return the offset's, piece by piece, if any."""
    values, bias = scores
    listed_scores, drawn, slopes, log_z, log_d, grad = given
    n_rows, width = values.shape
    pieces, span = pieces_of(n_rows, width)
    n_listed, length = inputs.items.shape[1], inputs.windows.shape[1]
    to_offset = values.new_empty(pieces, n_rows) if has_offset else None
    launch(
        _gradient,
        (n_rows, pieces),
        values,
        values if bias is None else bias,
        inputs.dro_slope,
        values if inputs.in_softmax is None else inputs.in_softmax,
        inputs.items,
        inputs.windows,
        listed_scores,
        slopes,
        log_z,
        log_d,
        grad,
        values if to_offset is None else to_offset,
        chunk.start,
        width,
        span,
        n_rows,
        n_listed,
        1 + spec.n_negatives if spec.has_ranking else n_listed,
        len(spec.names) - 1,
        length,
        spec.dro_weight,
        HAS_BIAS=bias is not None,
        HAS_OFFSET=has_offset,
        SOFTMAX=spec.sums_all,
        MASKED=inputs.in_softmax is not None,
        DRO=spec.dro_weight > 0,
        LISTED=triton.next_power_of_2(n_listed),
        LENGTH=triton.next_power_of_2(length),
        BLOCK=grid.BLOCK,
        num_warps=N_WARPS,
    )
    if drawn is not None and inputs.sampled is not None:
        launch(
            _sampled_gradient,
            (n_rows,),
            values,
            inputs.sampled,
            drawn,
            log_z,
            grad,
            values if to_offset is None else to_offset,
            chunk.start,
            width,
            drawn.shape[1],
            spec.n_sampled,
            HAS_OFFSET=has_offset,
            SAMPLED=at_once(drawn),
            num_warps=4,
        )
    return to_offset


def column_sums(scores: Tensor, out: Tensor) -> None:
    """Sum a chunk over its rows, into (width,)."""
    n_rows, width = scores.shape
    grid = (triton.cdiv(width, SUM_COLUMNS),)
    launch(_column_sums, grid, scores, out, n_rows, width, ROWS=SUM_ROWS, COLUMNS=SUM_COLUMNS)


@triton.jit
def _dense(
    score,
    is_target,
    keep,
    weight,
    inside,
    log_z,
    log_d,
    below_log_d,
    by_base,
    by_dro,
    SOFTMAX: tl.constexpr,
    DRO: tl.constexpr,
):
    """What flows to a score through the two sums."""
    slope = score * 0.0  # a score that is not finite makes a gradient that is not
    if SOFTMAX:
        slope += tl.where(keep, by_base * tl.exp(score - log_z), 0.0)
    if DRO:
        error = tl.where(is_target, score - 1.0, score)
        below = (dro_exponent(score, is_target, weight, inside) - log_d) - below_log_d
        slope += by_dro * (2.0 * weight * error) * tl.exp(tl.minimum(below, 0.0))
    return slope


@triton.jit(do_not_specialize=["n_rows"])
def _gradient(
    scores,
    bias,
    dro_slope,
    in_softmax,
    items,
    windows,
    listed_scores,
    slopes,
    log_z,
    log_d,
    grad,
    to_offset,
    first,
    width,
    span,
    n_rows,
    n_listed,
    first_ranked,
    last_term,
    length,
    dro_weight,
    HAS_BIAS: tl.constexpr,
    HAS_OFFSET: tl.constexpr,
    SOFTMAX: tl.constexpr,
    MASKED: tl.constexpr,
    DRO: tl.constexpr,
    LISTED: tl.constexpr,
    LENGTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    piece = tl.program_id(1)
    line = scores + row * width
    target = tl.load(items + row * n_listed)
    by_base = tl.load(grad + row)
    by_last = tl.load(grad + last_term * n_rows + row)
    by_dro = 0.0
    z = 0.0
    d = 0.0
    below_d = 0.0
    if SOFTMAX:
        z = tl.load(log_z + row)
    if DRO:
        by_dro = dro_weight * tl.load(grad + n_rows + row)
        wide = tl.load(log_d + row)
        d = wide.to(tl.float32)
        below_d = (wide - d.to(tl.float64)).to(tl.float32)
    start = piece * span
    end = tl.minimum(start + span, width)
    for begin in range(start, end, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        inside = column < end
        item = (first + column).to(tl.int64)
        score = tl.load(line + column, mask=inside, other=0.0)
        if HAS_BIAS:
            score += tl.load(bias + item, mask=inside, other=0.0)
        keep = inside
        if MASKED:
            keep = tl.load(in_softmax + item, mask=inside, other=0) != 0
        weight = score
        if DRO:
            weight = tl.load(dro_slope + item, mask=inside, other=0.0)
        slope = _dense(
            score,
            item == target,
            keep,
            weight,
            inside,
            z,
            d,
            below_d,
            by_base,
            by_dro,
            SOFTMAX,
            DRO,
        )
        tl.store(line + column, slope, mask=inside)
    tl.debug_barrier()
    place = tl.arange(0, LISTED)
    is_listed = place < n_listed
    item = tl.load(items + row * n_listed + place, mask=is_listed, other=-1)
    score = tl.load(listed_scores + row * n_listed + place, mask=is_listed, other=0.0)
    # An item that is listed twice takes both slopes; each of its places writes the same number.
    again = tl.arange(0, LISTED)
    other = tl.load(items + row * n_listed + again, mask=again < n_listed, other=-1)
    direct = tl.load(slopes + row * n_listed + again, mask=again < n_listed, other=0.0)
    direct *= tl.where(again < first_ranked, by_base, by_last)
    same = item[:, None] == other[None, :]
    direct = tl.sum(tl.where(same, direct[None, :], 0.0), axis=1)
    column = item - first
    inside = is_listed & (column >= start) & (column < end)
    keep = inside
    if MASKED:
        keep = tl.load(in_softmax + item, mask=inside, other=0) != 0
    weight = score
    if DRO:
        weight = tl.load(dro_slope + item, mask=inside, other=0.0)
    slope = _dense(
        score,
        item == target,
        keep,
        weight,
        inside,
        z,
        d,
        below_d,
        by_base,
        by_dro,
        SOFTMAX,
        DRO,
    )
    tl.store(line + column, slope + direct, mask=inside)
    if HAS_OFFSET:
        tl.debug_barrier()
        place = tl.arange(0, LENGTH)
        again = tl.arange(0, LENGTH)
        item = tl.load(windows + row * length + place, mask=place < length, other=-1)
        other = tl.load(windows + row * length + again, mask=again < length, other=-1)
        same = (item[:, None] == other[None, :]) & (again[None, :] < place[:, None])
        is_first = tl.sum(same.to(tl.int32), axis=1) == 0
        column = item - first
        inside = is_first & (column >= start) & (column < end)
        moved = tl.load(line + column, mask=inside, other=0.0)
        tl.store(to_offset + piece.to(tl.int64) * n_rows + row, tl.sum(moved, axis=0))


@triton.jit
def _sampled_gradient(
    scores,
    sampled,
    drawn,
    log_z,
    grad,
    to_offset,
    first,
    width,
    n_sampled,
    n_drawn,
    HAS_OFFSET: tl.constexpr,
    SAMPLED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    line = scores + row * width
    z = tl.load(log_z + row)
    by_base = tl.load(grad + row)
    moved = tl.zeros([SAMPLED], dtype=tl.float32)
    for begin in range(0, n_sampled, SAMPLED):
        place = begin + tl.arange(0, SAMPLED)
        at = row * n_sampled + place
        column = tl.load(sampled + at, mask=place < n_sampled, other=-1) - first
        inside = (column >= 0) & (column < width)
        slope = by_base * tl.exp(tl.load(drawn + at, mask=inside, other=0.0) - z)
        # An item that is drawn twice adds the same number twice: in whatever order, the same sum.
        tl.atomic_add(line + column, slope, mask=inside, sem="relaxed")
        if HAS_OFFSET:
            moved += tl.where(inside & (place >= n_drawn), slope, 0.0)
    if HAS_OFFSET:  # beside what the row's first piece has of it: this program runs after it
        tl.store(to_offset + row, tl.load(to_offset + row) + tl.sum(moved, axis=0))


@triton.jit(do_not_specialize=["n_rows"])
def _column_sums(scores, out, n_rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    lane = tl.arange(0, ROWS)
    total = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    for begin in range(0, n_rows, ROWS):
        row = (begin + lane).to(tl.int64)
        inside = (row < n_rows)[:, None] & (column < width)[None, :]
        total += tl.load(scores + row[:, None] * width + column[None, :], mask=inside, other=0.0)
    tl.store(out + column, tl.sum(total, axis=0), mask=column < width)
