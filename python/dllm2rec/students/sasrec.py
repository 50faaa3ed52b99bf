"""SASRec: self-attention over the window, pre-LN, positions counted from the newest item."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.students.window_offset import read_lengths


class SASRec(nn.Module):
    """Let each item attend to those before it; the newest item's vector is the user.

    The window comes with its newest item at the last place, so a position is a fixed distance from
    the target. Only the last vector is used, so the last block computes its query there alone.

    Args:
        size: D.
        max_length: L.
        n_blocks: attention and feed-forward pairs.
        n_heads: heads of each attention; divides D.
        dropout: on embeddings, attention weights and what each half of a block adds.
    """

    reads_newest_last = True

    def __init__(
        self, size: int, max_length: int, n_blocks: int, n_heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = size
        self.dropout = dropout
        self.positions = nn.Embedding(max_length, size)  # the last row is the newest item's
        self.blocks = nn.ModuleList(Block(size, n_heads, dropout) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(size)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode windows: (B, L, D) left-padded and (B,) -> (B, D)."""
        hidden = F.dropout(embedded + self.positions.weight, self.dropout, self.training)
        allowed = attention_mask(hidden.shape[1], lengths)
        for block in self.blocks[:-1]:
            hidden = block(hidden, allowed)
        newest: Tensor = self.blocks[-1](hidden, allowed[:, :, -1:])
        users: Tensor = self.norm(newest.squeeze(1))
        return users

    def places(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encode the history up to each place: (B, L, D) left-padded and (B,) -> (B, L, D)."""
        hidden = F.dropout(embedded + self.positions.weight, self.dropout, self.training)
        allowed = attention_mask(hidden.shape[1], lengths)
        for block in self.blocks:
            hidden = block(hidden, allowed)
        users: Tensor = self.norm(hidden)
        return users


def attention_mask(length: int, lengths: Tensor) -> Tensor:
    """Say which key each query may see, (B, 1, L, L) bool, for windows padded on the left.

    Keys are the real items up to the query. A query in the padding, which has none, sees itself
    (its result is never read), so that no softmax is over nothing.
    """
    places = torch.arange(length, device=lengths.device)
    is_real = places >= (length - read_lengths(lengths)).unsqueeze(1)  # (B, L)
    earlier = places <= places.unsqueeze(1)  # (query, key)
    itself = places == places.unsqueeze(1)
    return ((is_real.unsqueeze(1) & earlier) | itself).unsqueeze(1)


class Block(nn.Module):
    """x + attention(LN x), then x + feed-forward(LN x), at the last Q places."""

    def __init__(self, size: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(size)
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size)
        self.feed_norm = nn.LayerNorm(size)
        self.feed_in = nn.Linear(size, size)
        self.feed_out = nn.Linear(size, size)

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Transform the last Q places, each seeing what it may of all L.

        Args:
            hidden: (B, L, D).
            allowed: which keys each query sees, (B, 1, Q, L) bool.

        Returns:
            (B, Q, D).
        """
        attended = self.output(self._attend(hidden, allowed))
        hidden = hidden[:, -allowed.shape[2] :] + self._drop(attended)
        inner = self._drop(F.gelu(self.feed_in(self.feed_norm(hidden))))
        return hidden + self._drop(self.feed_out(inner))

    def _attend(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        # Plain products: windows are short, and the fused kernels' backward passes use atomics.
        normed = self.attention_norm(hidden)
        query = self._heads(self.query(normed[:, -allowed.shape[2] :]))
        key, value = (self._heads(part) for part in self.key_value(normed).chunk(2, dim=2))
        scores = query @ key.transpose(2, 3) * key.shape[3] ** -0.5  # (B, H, Q, L)
        weights = self._drop(scores.masked_fill(~allowed, -torch.inf).softmax(3))
        attended: Tensor = (weights @ value).transpose(1, 2).flatten(2)
        return attended

    def _drop(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.dropout, self.training)

    def _heads(self, values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], self.n_heads, -1).transpose(
            1, 2
        )  # (B, H, Q or L, D / H)
