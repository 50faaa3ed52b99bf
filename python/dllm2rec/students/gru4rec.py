"""GRU4Rec: recurrent layers over the window, oldest item first."""

from __future__ import annotations

import warnings

import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.students.window_offset import last_place


class GRU4Rec(nn.Module):
    """Read the window with stacked GRU layers; the state after the newest item is the user.

    The padding is on the right, so the states of real places never see it: what packing would give,
    without its host synchronisation.

    Args:
        size: D, width of the item vectors and of the state.
        n_layers: how many GRU layers.
        dropout: on what enters each layer and on the result.
    """

    reads_newest_last = False

    def __init__(self, size: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.width = size
        self.dropout = dropout
        # One module a layer: cuDNN's own dropout between layers keeps a state of its own, which
        # neither a checkpoint nor a CUDA graph would see.
        self.layers = nn.ModuleList(nn.GRU(size, size, batch_first=True) for _ in range(n_layers))

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode windows: (B, L, D) right-padded and (B,) -> (B, D)."""
        newest = last_place(self._states(embedded), lengths)
        return F.dropout(newest, self.dropout, self.training)

    def places(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode the history up to each place: (B, L, D) right-padded and (B,) -> (B, L, D)."""
        return F.dropout(self._states(embedded), self.dropout, self.training)

    def _states(self, embedded: Tensor) -> Tensor:
        """What the last layer says at each place, (B, L, D)."""
        states = embedded
        with warnings.catch_warnings():
            # Training on CUDA keeps all weights in one flat tensor: cuDNN copies these out of it.
            warnings.filterwarnings("ignore", "RNN module weights are not part of single")
            for layer in self.layers:
                states, _ = layer(F.dropout(states, self.dropout, self.training))
        return states
