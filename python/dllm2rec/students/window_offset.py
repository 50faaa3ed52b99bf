"""Operations on windows of items: aligning them, marking their items.

Nothing here waits for the device or has a shape that depends on data, and every backward pass is
deterministic on CUDA: all of it may run inside a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def keep_real(sequences: Tensor, lengths: Tensor, n_items: int) -> Tensor:
    """Put the padding index at every place from the row's length on, whatever was there.

    Args:
        sequences: items, right-padded, (B, L) int64.
        lengths: how many are real, (B,) int64.
        n_items: N, the padding index.
    """
    places = torch.arange(sequences.shape[1], device=sequences.device)
    return sequences.masked_fill(places >= lengths.unsqueeze(1), n_items)


def newest_last(sequences: Tensor, lengths: Tensor, n_items: int) -> Tensor:
    """Move the padding from the right to the left, so that the newest item is at place L - 1.

    Args:
        sequences: items, right-padded, (B, L) int64.
        lengths: how many are real, (B,) int64.
        n_items: N, the padding index.
    """
    length = sequences.shape[1]
    source = torch.arange(length, device=sequences.device) - (length - lengths.unsqueeze(1))
    return sequences.gather(1, source.clamp(min=0)).masked_fill(source < 0, n_items)


def read_lengths(lengths: Tensor) -> Tensor:
    """How many places an encoder reads, (B,): a row without items is read as one padding item."""
    return lengths.clamp(min=1)


def last_place(values: Tensor, lengths: Tensor) -> Tensor:
    """Pick the newest real place of right-padded values: (B, L, D) -> (B, D).

    A product with a 0/1 mask, because the backward pass of a gather adds with atomics.
    """
    places = torch.arange(values.shape[1], device=values.device)
    is_last = places == (read_lengths(lengths) - 1).unsqueeze(1)
    return (values * is_last.unsqueeze(2)).sum(1)


def in_window(items: Tensor, sequences: Tensor) -> Tensor:
    """Mark the picked items that are in their row's window.

    Args:
        items: picked items, (B, k) int64.
        sequences: windows, (B, L) int64, the padding being n_items.

    Returns:
        (B, k) bool. The padding index counts as any other: listed, it is in a window that has some.
    """
    return (items.unsqueeze(2) == sequences.unsqueeze(1)).any(2)


def window_items(sequences: Tensor, targets: Tensor, n_items: int) -> Tensor:
    """List the items of each window once, without the row's target: (B, L), -1 at other places.

    Args:
        sequences: windows, (B, L) int64, the padding being n_items.
        targets: (B,) int64.
        n_items: N.
    """
    is_repeated = (sequences.unsqueeze(2) == sequences.unsqueeze(1)).tril(diagonal=-1).any(2)
    is_other = is_repeated | (sequences == targets.unsqueeze(1)) | (sequences >= n_items)
    return sequences.masked_fill(is_other, -1)


def add_window_offset_(scores: Tensor, sequences: Tensor, offset: Tensor) -> Tensor:
    """Add `offset` to the scores of each row's window items, in place.

    An item that is in the window twice gets it once; a row without items stays as it is.

    Args:
        scores: (B, N); overwritten, so nothing else may need its old values.
        sequences: windows, (B, L) int64, the padding being N.
        offset: ().

    Returns:
        The same tensor.
    """
    result: Tensor = _WindowOffset.apply(scores, sequences, offset)
    return result


class _WindowOffset(torch.autograd.Function):
    """O(B L) work both ways, where adding a dense (B, N) one-hot would pass over the scores twice.

    Duplicate places write the same value, so the scatter is deterministic.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, sequences: Tensor, offset: Tensor) -> Tensor:  # noqa: ANN401
        n_items = scores.shape[1]
        # Padding points at the row's first item, or in a row without items at any, adding nothing.
        places = torch.where(sequences < n_items, sequences, sequences[:, :1])
        has_items = places[:, :1] < n_items
        places = places.clamp(max=n_items - 1)
        scores.scatter_(1, places, scores.gather(1, places) + offset * has_items)
        ctx.mark_dirty(scores)
        ctx.save_for_backward(places, has_items)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:  # noqa: ANN401
        places, has_items = ctx.saved_tensors
        same = places.unsqueeze(2) == places.unsqueeze(1)  # (B, L, L)
        is_repeated = same.tril(diagonal=-1).any(2)
        counted = grad.gather(1, places) * (has_items & ~is_repeated)
        return grad, None, counted.sum()
