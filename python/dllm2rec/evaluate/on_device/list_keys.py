"""A score and its item in one whole number: of two candidates the better one has the larger."""

from __future__ import annotations

import torch

MASKED_KEY = torch.iinfo(torch.int64).min  # of what is no candidate


def key_of(scores: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """The keys, int64, of float32 scores and int64 items; -inf is masked, -0 is 0."""
    bits = (scores + 0.0).view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    return torch.where(scores == -torch.inf, MASKED_KEY, (ordered << 32) | (0xFFFFFFFF - items))


def scores_of(keys: torch.Tensor) -> torch.Tensor:
    """The float32 scores of some keys."""
    ordered = (keys >> 32).int()
    scores = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)
    return torch.where(keys == MASKED_KEY, -torch.inf, scores)


def items_of(keys: torch.Tensor) -> torch.Tensor:
    """The items of some keys, int64; those of masked ones mean nothing."""
    return 0xFFFFFFFF - (keys & 0xFFFFFFFF)


def in_rows(row: torch.Tensor, keys: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Keys whose rows rise, as a matrix of as many columns as the longest row has."""
    offsets = torch.searchsorted(row, torch.arange(n_rows + 1, device=row.device))
    place = torch.arange(len(row), device=row.device) - offsets[row]
    filled = keys.new_full((n_rows, int(offsets.diff().amax())), MASKED_KEY)
    filled[row, place] = keys
    return filled
