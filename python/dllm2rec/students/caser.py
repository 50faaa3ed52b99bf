"""Caser: convolutions over the window seen as an image of places by features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.students.window_offset import read_lengths


class Caser(nn.Module):
    """Slide filters over h neighbouring items, and weigh all places of each feature.

    Each height h has `n_filters` filters over (h, D), ReLU, and the maximum over places; one
    vertical filter over (L, 1), ReLU, gives D numbers. The user is both side by side.

    Args:
        size: D, width of the item vectors.
        max_length: L.
        n_filters: filters of each height.
        heights: the heights h, each at most L.
        dropout: on the result.
        newest_last: whether the newest item has a fixed place, the last (ours), or the oldest one,
            the first (authors' code).
        drawn_as_convolutions: whether Xavier's rule counts as it does for a convolution, where each
            output reaches h items or L places (authors' code), or as for the matrix that it is:
            the filters of the former start about a fourth as wide.
    """

    def __init__(
        self,
        size: int,
        max_length: int,
        n_filters: int,
        heights: tuple[int, ...],
        dropout: float,
        *,
        newest_last: bool,
        drawn_as_convolutions: bool = False,
    ) -> None:
        super().__init__()
        self.reads_newest_last = newest_last
        self.heights = heights
        self.width = n_filters * len(heights) + size
        self.dropout = dropout
        self.horizontal = nn.ModuleList(nn.Linear(h * size, n_filters) for h in heights)
        self.vertical = nn.Linear(max_length, 1)
        shapes = [*((n_filters, 1, h, size) for h in heights), (1, 1, max_length, 1)]
        for layer, shape in zip((*self.horizontal, self.vertical), shapes, strict=True):
            weight = layer.weight.detach()
            nn.init.xavier_normal_(weight.view(shape) if drawn_as_convolutions else weight)
            nn.init.constant_(layer.bias, 0.1)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode windows: (B, L, D) and (B,) -> (B, n_filters * heights + D)."""
        length = embedded.shape[1]
        places = torch.arange(length, device=embedded.device)
        if self.reads_newest_last:
            places = places.flip(0)
        image = embedded * (places < read_lengths(lengths).unsqueeze(1)).unsqueeze(2)
        parts = []
        # Matrix products of side-by-side slices: cuDNN's convolutions have backward passes that
        # are deterministic only behind a global switch.
        for height, layer in zip(self.heights, self.horizontal, strict=True):
            strips = [image[:, i : length - height + 1 + i] for i in range(height)]
            parts.append(F.relu(layer(torch.cat(strips, dim=2))).amax(1))
        parts.append(F.relu(self.vertical(image.transpose(1, 2)).squeeze(2)))
        return F.dropout(torch.cat(parts, dim=1), self.dropout, self.training)
