"""The kernel that makes each row's terms, and their slopes, of its statistics and its few items."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.kernels.catalogue.backend import ChunkStatistics, RowTerms
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import launch


def terms(
    parts: list[ChunkStatistics], inputs: TermInputs, listed_scores: Tensor, spec: TermSpec
) -> RowTerms:
    """Join the chunks and their pieces."""
    log_zs = _stacked([part.log_z for part in parts], listed_scores)
    log_ds = _stacked([part.log_d for part in parts], listed_scores)
    aheads = _stacked([part.ahead for part in parts], log_zs)
    n_rows, n_listed = listed_scores.shape
    n_candidates = n_listed - 1 - spec.n_negatives
    rows = listed_scores.new_empty(len(spec.names), n_rows)
    slopes = torch.empty_like(listed_scores)
    log_z = listed_scores.new_empty(n_rows)
    log_d = listed_scores.new_empty(n_rows, dtype=torch.float64)
    launch(
        _terms,
        (n_rows,),
        log_zs,
        log_ds,
        aheads,
        len(log_zs),
        listed_scores,
        inputs.weight,
        inputs.kept,
        listed_scores if inputs.log_expected is None else inputs.log_expected,
        listed_scores if inputs.share is None else inputs.share,
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
        SAMPLED=spec.n_sampled > 0,
        SOFT_TARGETS=spec.base == "soft_targets",
        SHARES=inputs.share is not None,
        DRO=spec.dro_weight > 0,
        RANKING=spec.has_ranking,
        COUNT=spec.counts,
        LISTED=triton.next_power_of_2(n_listed),
        num_warps=1,
    )
    return RowTerms(rows, slopes, log_z, log_d)


def _stacked(parts: list[Tensor | None], otherwise: Tensor) -> Tensor:
    """The pieces of all chunks in one tensor; `otherwise` where there are none."""
    there = [part for part in parts if part is not None]
    return otherwise if not there else there[0] if len(there) == 1 else torch.cat(there)


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


@triton.jit
def _joined_wide(parts, n_parts, n_rows, row):
    """As `_joined`, of pieces and to a result in float64."""
    highest = tl.full([], float("-inf"), dtype=tl.float64)
    for part in range(n_parts):
        highest = tl.maximum(highest, tl.load(parts + part * n_rows + row))
    total = 0.0
    for part in range(n_parts):
        total += tl.exp((tl.load(parts + part * n_rows + row) - highest).to(tl.float32))
    return highest + tl.log(total).to(tl.float64)


@triton.jit(do_not_specialize=["n_rows", "n_parts"])
def _terms(
    log_zs,
    log_ds,
    aheads,
    n_parts,
    listed_scores,
    weight,
    kept,
    log_expected,
    shares,
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
    SAMPLED: tl.constexpr,
    SOFT_TARGETS: tl.constexpr,
    SHARES: tl.constexpr,
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
    score = tl.load(listed_scores + row * n_listed + place, mask=place < n_listed, other=0.0)
    target = tl.sum(tl.where(is_target, score, 0.0), axis=0)
    slope = tl.zeros([LISTED], dtype=tl.float32)
    listed = tl.load(weight + row * n_candidates + number, mask=is_candidate, other=0.0)
    if SOFTMAX:
        log_z = _joined(log_zs, n_parts, n_rows, row)
        at_target = 0.0
        expected = 0.0
        if SAMPLED:  # the target counts once, each sampled item for as many as it stands for
            expected = tl.load(log_expected + row)
            others = log_z - expected
            top = tl.maximum(target, others)
            log_z = top + tl.log(tl.exp(target - top) + tl.exp(others - top))
            at_target = tl.exp(target - log_z)
        tl.store(log_z_out + row, log_z + expected)
        if SOFT_TARGETS:
            is_listed = listed > 0
            share = list_weight
            if SHARES:
                share = tl.load(shares + row)
            share = share * tl.max(is_listed.to(tl.float32), axis=0)
            mean = tl.sum(tl.where(is_listed, listed * score, 0.0), axis=0)
            base = log_z - (target + share * (mean - target))
            slope = tl.where(is_candidate, -share * listed, 0.0)
            slope = tl.where(is_target, share - 1.0 + at_target, slope)
        else:
            base = log_z - target
            slope = tl.where(is_target, at_target - 1.0, 0.0)
    else:
        signed = tl.where(is_target, -score, score)
        counted = is_target | is_negative
        base = tl.sum(tl.where(counted, _softplus(signed), 0.0), axis=0)
        steep = _sigmoid(signed)
        slope = tl.where(is_target, -steep, tl.where(is_negative, steep, 0.0))
    tl.store(rows + row, base)
    line = 1
    if DRO:
        log_d = _joined_wide(log_ds, n_parts, n_rows, row)
        tl.store(log_d_out + row, log_d)
        tl.store(rows + n_rows + row, dro_weight * log_d.to(tl.float32))
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
