"""The arithmetic of `catalogue` in CUDA kernels, each one pass over a chunk of scores.

One program works on a row, or on a piece of one where there are few rows. Sums of pieces are joined
in a fixed order and nothing is added with atomics: a step repeats bit for bit. Nothing waits for
the host, so all of it may run inside a CUDA graph.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.distill.terms import TermInputs, TermSpec
from dllm2rec.launch import launch

BLOCK = 2048
COUNTING_BLOCK = 1024  # each of its lanes' best is compared with a whole list
N_WARPS = 8
SUM_ROWS, SUM_COLUMNS = 32, 128  # a program's share of a sum over rows, at a time
ENOUGH_PROGRAMS = 512  # fewer rows than this are cut into pieces

Part = tuple[Tensor | None, Tensor | None, Tensor | None]


def listed_(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    bias: Tensor | None,
    offset: Tensor | None,
    own: Tensor,
) -> None:
    """Add the offset to a chunk of scores; copy those of the listed items into `own`.

    The bias is not added here: each pass adds it as it reads.
    """
    n_listed, length = inputs.items.shape[1], inputs.windows.shape[1]
    launch(
        _listed,
        (len(scores),),
        scores,
        scores if bias is None else bias,
        scores if offset is None else offset,
        inputs.items,
        inputs.windows,
        own,
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


def statistics(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    bias: Tensor | None,
    own: Tensor,
    spec: TermSpec,
) -> Part:
    """Reduce a chunk to what the terms need of it, piece by piece: (pieces, B) and (.., B, K).

    The last is how many items are ahead of a listed one, or a number from `top_k` on that is at
    most that.
    """
    n_rows, width = scores.shape
    pieces, span = _pieces(n_rows, width)
    n_candidates = own.shape[1] - 1 - spec.n_negatives if spec.counts else 0
    log_z, log_d = scores.new_empty(pieces, n_rows), scores.new_empty(pieces, n_rows)
    ahead = torch.empty(
        (pieces, n_rows, max(n_candidates, 1)), dtype=torch.int32, device=scores.device
    )
    launch(
        _statistics,
        (n_rows, pieces),
        scores,
        scores if bias is None else bias,
        inputs.dro_slope,
        scores if inputs.in_softmax is None else inputs.in_softmax,
        inputs.items,
        own,
        log_z,
        log_d,
        ahead,
        chunk.start,
        width,
        span,
        own.shape[1],
        1 + spec.n_negatives,
        spec.top_k,
        HAS_BIAS=bias is not None,
        SOFTMAX=spec.base != "bce",
        MASKED=inputs.in_softmax is not None,
        DRO=spec.dro_weight > 0,
        N_COUNTED=n_candidates,
        COUNTED=triton.next_power_of_2(max(n_candidates, 1)),
        BLOCK=COUNTING_BLOCK if n_candidates else BLOCK,
        num_warps=N_WARPS,
    )
    return log_z, log_d, ahead


def terms(
    parts: list[Part], inputs: TermInputs, own: Tensor, spec: TermSpec
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join the pieces; what comes back is that of `catalogue_torch.terms`."""
    log_zs, log_ds, aheads = (
        parts[0][n] if len(parts) == 1 else torch.cat([part[n] for part in parts])  # type: ignore[misc]
        for n in range(3)
    )
    n_rows, n_listed = own.shape
    n_candidates = n_listed - 1 - spec.n_negatives
    rows = own.new_empty(len(spec.names), n_rows)
    slopes = torch.empty_like(own)
    log_z, log_d = own.new_empty(n_rows), own.new_empty(n_rows)
    launch(
        _terms,
        (n_rows,),
        log_zs,
        log_ds,
        aheads,
        len(log_zs),  # type: ignore[arg-type]
        own,
        inputs.weight,
        inputs.kept,
        rows,
        slopes,
        log_z,
        log_d,
        n_rows,
        n_listed,
        spec.n_negatives,
        n_candidates,
        spec.dro_weight,
        spec.list_weight,
        spec.consistency,
        spec.top_k,
        SOFTMAX=spec.base != "bce",
        SOFT_TARGETS=spec.base == "soft_targets",
        DRO=spec.dro_weight > 0,
        RANKING=spec.has_ranking,
        COUNT=spec.counts,
        LISTED=triton.next_power_of_2(n_listed),
        num_warps=1,
    )
    return rows, slopes, log_z, log_d


def gradient_(
    scores: Tensor,
    chunk: slice,
    inputs: TermInputs,
    bias: Tensor | None,
    offset: Tensor | None,
    stats: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    spec: TermSpec,
) -> Tensor | None:
    """Write the gradient over a chunk of scores; return the offset's, piece by piece, if any."""
    own, slopes, log_z, log_d, grad = stats
    n_rows, width = scores.shape
    pieces, span = _pieces(n_rows, width)
    n_listed, length = inputs.items.shape[1], inputs.windows.shape[1]
    to_offset = None if offset is None else scores.new_empty(pieces, n_rows)
    launch(
        _gradient,
        (n_rows, pieces),
        scores,
        scores if bias is None else bias,
        inputs.dro_slope,
        scores if inputs.in_softmax is None else inputs.in_softmax,
        inputs.items,
        inputs.windows,
        own,
        slopes,
        log_z,
        log_d,
        grad,
        scores if to_offset is None else to_offset,
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
        HAS_OFFSET=offset is not None,
        SOFTMAX=spec.base != "bce",
        MASKED=inputs.in_softmax is not None,
        DRO=spec.dro_weight > 0,
        LISTED=triton.next_power_of_2(n_listed),
        LENGTH=triton.next_power_of_2(length),
        BLOCK=BLOCK,
        num_warps=N_WARPS,
    )
    return to_offset


def column_sums(scores: Tensor, out: Tensor) -> None:
    """Sum a chunk over its rows, into (width,)."""
    n_rows, width = scores.shape
    grid = (triton.cdiv(width, SUM_COLUMNS),)
    launch(_column_sums, grid, scores, out, n_rows, width, ROWS=SUM_ROWS, COLUMNS=SUM_COLUMNS)


def _pieces(n_rows: int, width: int) -> tuple[int, int]:
    """How many pieces a row is cut into, and how wide they are."""
    wanted = max(1, min(ENOUGH_PROGRAMS // max(n_rows, 1), width // BLOCK))
    span = triton.cdiv(triton.cdiv(width, wanted), BLOCK) * BLOCK
    return triton.cdiv(width, span), span


@triton.jit
def _listed(
    scores,
    bias,
    offset,
    items,
    windows,
    own,
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
    tl.store(own + row * n_listed + place, score, mask=inside)


@triton.jit
def _statistics(
    scores,
    bias,
    dro_slope,
    in_softmax,
    items,
    own,
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
        value = tl.load(own + listed, mask=number < N_COUNTED, other=float("inf"))
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
            error = tl.where(item == target, score - 1.0, score)
            weight = tl.load(dro_slope + item, mask=inside, other=0.0)
            exponent = tl.where(inside, weight * error * error, float("-inf"))
            top = tl.maximum(highest_d, tl.max(exponent, axis=0))
            sum_d = sum_d * tl.exp(highest_d - top) + tl.exp(exponent - top)
            highest_d = top
        if N_COUNTED > 0:
            best = tl.maximum(best, score)  # outside, a score is -inf
    if SOFTMAX:
        safe = tl.where(highest_z == float("-inf"), 0.0, highest_z)
        tl.store(log_z + out, safe + tl.log(tl.sum(sum_z, axis=0)))
    if DRO:
        tl.store(log_d + out, highest_d + tl.log(tl.sum(sum_d, axis=0)))
    if N_COUNTED > 0:
        # As many lanes' best above a listed score, as many items at least are ahead of it. Only
        # where these are too few to keep it out of the top K are all scores compared with it.
        total = tl.sum((best[:, None] > value[None, :]).to(tl.int32), axis=0)
        for place in range(N_COUNTED):
            if tl.sum(tl.where(number == place, total, 0), axis=0) < top_k:
                one = tl.load(own + row * n_listed + first_candidate + place)
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


@triton.jit
def _softplus(value):
    tail = tl.exp(-tl.abs(value))
    whole = 1.0 + tail  # log(1 + e), right to the last bit where 1 + e is rounded
    exact = tl.where(
        whole == 1.0, tail, tl.log(whole) * tail / tl.where(whole == 1.0, 1.0, whole - 1.0)
    )
    return tl.maximum(value, 0.0) + exact


@triton.jit
def _sigmoid(value):
    return 1.0 / (1.0 + tl.exp(-value))


@triton.jit
def _joined(parts, n_parts, n_rows, row):
    """Log of the sum of the pieces' sums, in their order."""
    highest = float("-inf")
    for part in range(n_parts):
        highest = tl.maximum(highest, tl.load(parts + part * n_rows + row))
    safe = tl.where(highest == float("-inf"), 0.0, highest)
    total = 0.0
    for part in range(n_parts):
        total += tl.exp(tl.load(parts + part * n_rows + row) - safe)
    return safe + tl.log(total)


@triton.jit(do_not_specialize=["n_rows"])
def _terms(
    log_zs,
    log_ds,
    aheads,
    n_parts,
    own,
    weight,
    kept,
    rows,
    slopes,
    log_z_out,
    log_d_out,
    n_rows,
    n_listed,
    n_negatives,
    n_candidates,
    dro_weight,
    list_weight,
    consistency,
    top_k,
    SOFTMAX: tl.constexpr,
    SOFT_TARGETS: tl.constexpr,
    DRO: tl.constexpr,
    RANKING: tl.constexpr,
    COUNT: tl.constexpr,
    LISTED: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, LISTED)
    is_target = place == 0
    is_negative = (place >= 1) & (place < 1 + n_negatives)
    number = place - 1 - n_negatives
    is_candidate = (number >= 0) & (place < n_listed)
    score = tl.load(own + row * n_listed + place, mask=place < n_listed, other=0.0)
    target = tl.sum(tl.where(is_target, score, 0.0), axis=0)
    slope = tl.zeros([LISTED], dtype=tl.float32)
    listed = tl.load(weight + row * n_candidates + number, mask=is_candidate, other=0.0)
    if SOFTMAX:
        log_z = _joined(log_zs, n_parts, n_rows, row)
        tl.store(log_z_out + row, log_z)
        if SOFT_TARGETS:
            is_listed = listed > 0
            share = list_weight * tl.max(is_listed.to(tl.float32), axis=0)
            mean = tl.sum(tl.where(is_listed, listed * score, 0.0), axis=0)
            base = log_z - (target + share * (mean - target))
            slope = tl.where(is_target, share - 1.0, tl.where(is_candidate, -share * listed, 0.0))
        else:
            base = log_z - target
            slope = tl.where(is_target, -1.0, 0.0)
    else:
        signed = tl.where(is_target, -score, score)
        counted = is_target | is_negative
        base = tl.sum(tl.where(counted, _softplus(signed), 0.0), axis=0) / (1 + n_negatives)
        steep = _sigmoid(signed) / (1 + n_negatives)
        slope = tl.where(is_target, -steep, tl.where(is_negative, steep, 0.0))
    tl.store(rows + row, base)
    line = 1
    if DRO:
        log_d = _joined(log_ds, n_parts, n_rows, row)
        tl.store(log_d_out + row, log_d)
        tl.store(rows + n_rows + row, dro_weight * log_d)
        line = 2
    if RANKING:
        if COUNT:
            n_ahead = tl.zeros([LISTED], dtype=tl.int32)
            for part in range(n_parts):
                at = (part * n_rows + row) * n_candidates + number
                n_ahead += tl.load(aheads + at, mask=is_candidate, other=0)
            agreed = (n_ahead < top_k) & (score > float("-inf"))
            keep = tl.load(kept + row * n_candidates + number, mask=is_candidate, other=0.0)
            listed += tl.where(agreed, consistency * keep, 0.0)
        one = tl.where(is_candidate, listed * _softplus(-score), 0.0)
        tl.store(rows + line * n_rows + row, list_weight * tl.sum(one, axis=0))
        slope = tl.where(is_candidate, -list_weight * listed * _sigmoid(-score), slope)
    tl.store(slopes + row * n_listed + place, slope, mask=place < n_listed)


@triton.jit
def _dense(
    score,
    is_target,
    keep,
    weight,
    log_z,
    log_d,
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
        slope += by_dro * (2.0 * weight * error) * tl.exp(weight * error * error - log_d)
    return slope


@triton.jit(do_not_specialize=["n_rows"])
def _gradient(
    scores,
    bias,
    dro_slope,
    in_softmax,
    items,
    windows,
    own,
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
    if SOFTMAX:
        z = tl.load(log_z + row)
    if DRO:
        by_dro = dro_weight * tl.load(grad + n_rows + row)
        d = tl.load(log_d + row)
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
        slope = _dense(score, item == target, keep, weight, z, d, by_base, by_dro, SOFTMAX, DRO)
        tl.store(line + column, slope, mask=inside)
    tl.debug_barrier()
    place = tl.arange(0, LISTED)
    is_listed = place < n_listed
    item = tl.load(items + row * n_listed + place, mask=is_listed, other=-1)
    score = tl.load(own + row * n_listed + place, mask=is_listed, other=0.0)
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
    slope = _dense(score, item == target, keep, weight, z, d, by_base, by_dro, SOFTMAX, DRO)
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
