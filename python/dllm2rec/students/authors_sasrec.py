"""SASRec as the authors' code has it: one block, one head, its unusual residuals kept."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.students.window_offset import last_place, read_lengths


class AuthorsSASRec(nn.Module):
    """One post-normed block over windows padded on the right, computed at the newest item alone.

    Kept: positions count from the oldest item; both residuals add the NORMALISED input; the
    feed-forward ends in a residual and a norm of its own; keys and values are not normed; the
    attention has no output projection and its scale is sqrt(D).
    Not kept: masks read from values. The authors' query mask is the sign of a LayerNorm's sum,
    which is round-off while that norm is fresh; ours come from the lengths.

    Args:
        size: D.
        max_length: L.
        dropout: on embeddings, attention weights and the feed-forward.
    """

    reads_newest_last = False

    def __init__(self, size: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.width = size
        self.dropout = dropout
        self.positions = nn.Embedding(max_length, size)  # N(0, 1), torch's default, as theirs
        self.attention_norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.feed_norm = nn.LayerNorm(size)
        self.feed_in = nn.Linear(size, size)
        self.feed_out = nn.Linear(size, size)
        self.feed_out_norm = nn.LayerNorm(size)
        self.norm = nn.LayerNorm(size)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode windows: (B, L, D) right-padded and (B,) -> (B, D)."""
        hidden = F.dropout(embedded + self.positions.weight, self.dropout, self.training)
        places = torch.arange(hidden.shape[1], device=hidden.device)
        is_real = places < read_lengths(lengths).unsqueeze(1)  # of the newest item: causal as well
        asking = self.attention_norm(last_place(hidden, lengths))
        attended = self.feed_norm(self._attend(asking, hidden, is_real) + asking)
        inner = self.feed_out(F.relu(self.feed_in(attended)))
        fed = F.dropout(inner, self.dropout, self.training) + attended
        users: Tensor = self.norm(self.feed_out_norm(fed))
        return users

    def _attend(self, asking: Tensor, hidden: Tensor, is_real: Tensor) -> Tensor:
        query = self.query(asking).unsqueeze(1)  # (B, 1, D)
        scores = query @ self.key(hidden).transpose(1, 2) * self.width**-0.5  # (B, 1, L)
        weights = scores.masked_fill(~is_real.unsqueeze(1), -torch.inf).softmax(2)
        weights = F.dropout(weights, self.dropout, self.training)
        attended: Tensor = (weights @ self.value(hidden)).squeeze(1)
        return attended
