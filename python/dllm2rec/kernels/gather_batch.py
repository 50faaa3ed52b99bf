"""A batch gathered by one kernel: windows, targets, negatives and lists of some rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.kernels.launch import launch

Lists = tuple[Tensor, Tensor, Tensor]

FEW = 128  # items of a row that one warp gathers


def gather(
    source: DeviceRows, lists: Lists | None, negatives: Tensor | None, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gather rows: windows, lengths, listed items (target, negatives, list), weights and kept.

    `lists` holds items, weights and kept of every row, each (R, K).
    """
    n_rows, length = len(rows), source.max_length
    n_negatives = 0 if negatives is None else negatives.shape[1]
    items, weights, keeps = (None, None, None) if lists is None else lists
    n_candidates = 0 if items is None else items.shape[1]
    n_listed = 1 + n_negatives + n_candidates
    device = source.end.device
    sequences = torch.empty((n_rows, length), dtype=torch.int64, device=device)
    lengths = torch.empty(n_rows, dtype=torch.int64, device=device)
    listed = torch.empty((n_rows, n_listed), dtype=torch.int64, device=device)
    weight = torch.empty((n_rows, n_candidates), device=device)
    kept = torch.empty_like(weight)
    events = source.events
    launch(
        _gather,
        (n_rows,),
        rows,
        events,
        source.start,
        source.end,
        events if negatives is None else negatives,
        events if items is None else items,
        weight if weights is None else weights,
        kept if keeps is None else keeps,
        sequences,
        lengths,
        listed,
        weight,
        kept,
        source.n_items,
        length,
        n_negatives,
        n_candidates,
        PLACES=triton.next_power_of_2(length),
        LISTED=triton.next_power_of_2(n_listed),
        num_warps=1 if n_listed <= FEW else 8,
    )
    return sequences, lengths, listed, weight, kept


@triton.jit
def _gather(
    rows,
    events,
    start,
    end,
    negatives,
    items,
    weights,
    keeps,
    sequences,
    lengths,
    listed,
    weight_out,
    kept_out,
    n_items,
    length,
    n_negatives,
    n_candidates,
    PLACES: tl.constexpr,
    LISTED: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + at)
    stop = tl.load(end + row)
    begin = tl.maximum(tl.load(start + row), stop - length)
    place = tl.arange(0, PLACES)
    inside = place < stop - begin
    item = tl.load(events + begin + place, mask=inside, other=0).to(tl.int64)
    item = tl.where(inside, item, n_items)
    tl.store(sequences + at * length + place, item, mask=place < length)
    tl.store(lengths + at, stop - begin)
    place = tl.arange(0, LISTED)
    is_negative = (place >= 1) & (place <= n_negatives)
    number = place - 1 - n_negatives
    is_candidate = (number >= 0) & (number < n_candidates)
    target = tl.load(events + stop).to(tl.int64)
    other = tl.load(negatives + row * n_negatives + place - 1, mask=is_negative, other=0)
    candidate = tl.load(items + row * n_candidates + number, mask=is_candidate, other=0)
    value = tl.where(place == 0, target, tl.where(is_negative, other, candidate).to(tl.int64))
    n_listed = 1 + n_negatives + n_candidates
    tl.store(listed + at * n_listed + place, value, mask=place < n_listed)
    out = at * n_candidates + number
    weight = tl.load(weights + row * n_candidates + number, mask=is_candidate, other=0.0)
    tl.store(weight_out + out, weight, mask=is_candidate)
    keep = tl.load(keeps + row * n_candidates + number, mask=is_candidate, other=0.0)
    tl.store(kept_out + out, keep, mask=is_candidate)
