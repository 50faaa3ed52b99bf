"""What the kernels of `fused_sasrec` read: the block's weights and a batch of windows, by name."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class EncoderWeights(NamedTuple):
    """The weights of SASRec's one block, or their gradients, in the order of the kernels.

    Each matrix is (D, D) as `nn.Linear` has it but for `key_value`, (2 D, D); each bias, norm and
    shift is (D,) but for `key_value_bias`, (2 D,); `positions` is (L, D).
    """

    positions: Tensor
    attention_norm: Tensor
    attention_shift: Tensor
    query: Tensor
    query_bias: Tensor
    key_value: Tensor
    key_value_bias: Tensor
    output: Tensor
    output_bias: Tensor
    feed_norm: Tensor
    feed_shift: Tensor
    feed_in: Tensor
    feed_in_bias: Tensor
    feed_out: Tensor
    feed_out_bias: Tensor
    norm: Tensor
    shift: Tensor


class Windows(NamedTuple):
    """A batch of windows, and the rows of the items in them.

    Attributes:
        table: rows of all items, (N + 1, D).
        sequences: (B, L) int64, right-padded with N.
        lengths: (B,) int64.
        noise: the number that this step's dropout is drawn from, int64 ().
    """

    table: Tensor
    sequences: Tensor
    lengths: Tensor
    noise: Tensor


class EncoderShape(NamedTuple):
    """N, the number of heads, and the share that dropout drops."""

    n_items: int
    n_heads: int
    dropout: float
