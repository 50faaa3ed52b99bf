"""One cache for a row: its prompt, and the tokens of all its beams as a tree.

The keys and values of a row stand once, whatever the number of beams: first the prompt, behind it
the beams' tokens in the order in which they were read. A token sees the prompt and its own beam's
tokens, which a mask says (tree attention); nothing is copied where beams change places. The tokens
of a pass are packed: those of all rows stand in one sequence, so that no product is spent on
padding. The model's own forward runs on them; of it only the attention is replaced, through
transformers' `AttentionInterface`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NAME = "dllm2rec_tree"


@dataclass(frozen=True, eq=False)
class TreeCache:
    """Keys and values of some rows.

    Attributes:
        keys: of each layer, (R, heads of keys, slots, width of a head).
        values: likewise.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @property
    def n_slots(self) -> int:
        """Tokens of a row for which there is room."""
        return self.keys[0].shape[2]

    def grown(self, n_slots: int) -> TreeCache:
        """The same with room for more tokens; emptied here, so that no layer lies there twice."""
        made = TreeCache([], [])
        for old, new in ((self.keys, made.keys), (self.values, made.values)):
            while old:
                layer = old.pop(0)
                # Zeros: what is masked still counts with weight 0, and 0 times NaN is NaN.
                new.append(F.pad(layer, (0, 0, 0, n_slots - layer.shape[2])))
        return made

    def rows(self, kept: Tensor) -> TreeCache:
        """Some of the rows; emptied here likewise."""
        made = TreeCache([], [])
        for old, new in ((self.keys, made.keys), (self.values, made.values)):
            while old:
                new.append(old.pop(0)[kept])
        return made


@dataclass(frozen=True, eq=False)
class PackedTokens:
    """Where the tokens of one pass belong.

    Attributes:
        cache: which they are added to.
        rows: of each token, int64 (N,).
        slots: of each token in its row, int64 (N,).
        places: row * width + its number among the row's tokens of this pass, int64 (N,).
        width: the most tokens of a row in this pass.
    """

    cache: TreeCache
    rows: Tensor
    slots: Tensor
    places: Tensor
    width: int


def tree_mask(packed: PackedTokens, visible: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """What each token sees, as it is added to the products, (R, 1, groups * width, slots).

    Args:
        packed: the tokens.
        visible: the slots that each token sees, bool (N, slots).
        groups: heads of queries per head of keys; they stand as further tokens.
        dtype: of the queries.
    """
    n_rows, n_slots = len(packed.cache.keys[0]), packed.cache.n_slots
    mask = visible.new_full((n_rows * packed.width, n_slots), -torch.inf, dtype=dtype)
    mask[packed.places] = torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, -torch.inf)
    mask = mask.view(n_rows, 1, 1, packed.width, n_slots).expand(-1, -1, groups, -1, -1)
    return mask.reshape(n_rows, 1, groups * packed.width, n_slots)


def tree_attention(
    module: Any,  # noqa: ANN401 - an attention of transformers
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float,
    tree: PackedTokens,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend from packed tokens, (1, heads, N, width of a head), to the rows that they belong to.

    Keys and values join the cache. Queries are laid out by row; the heads that share a head of keys
    stand below each other, so that no key is repeated.
    """
    keys, values = tree.cache.keys[module.layer_idx], tree.cache.values[module.layer_idx]
    keys[tree.rows, :, tree.slots] = key[0].transpose(0, 1)
    values[tree.rows, :, tree.slots] = value[0].transpose(0, 1)
    n_rows, shared = keys.shape[:2]
    heads, width = query.shape[1], query.shape[-1]
    padded = query.new_zeros(n_rows * tree.width, heads, width)
    padded[tree.places] = query[0].transpose(0, 1)
    grouped = padded.view(n_rows, tree.width, shared, -1, width).permute(0, 2, 3, 1, 4)
    out = F.scaled_dot_product_attention(
        grouped.flatten(2, 3), keys, values, attn_mask=attention_mask, scale=scaling
    )
    out = out.view(n_rows, shared, -1, tree.width, values.shape[-1]).permute(0, 3, 1, 2, 4)
    return out.reshape(n_rows * tree.width, heads, -1)[tree.places][None], None


def has_tree_attention(model: Any) -> bool:  # noqa: ANN401 - a causal model of transformers
    """Whether a model's attention can be replaced, and every layer sees all tokens before it."""
    config = model.config
    layers = getattr(config, "layer_types", None) or ["full_attention"]
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and set(layers) == {"full_attention"}
        and getattr(config, "sliding_window", None) is None
        and getattr(config, "attn_logit_softcapping", None) is None
    )


@contextmanager
def tree_attention_of(model: Any) -> Iterator[None]:  # noqa: ANN401 - as above
    """Let a model attend by `tree_attention`, and by its own way again afterwards."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, tree_attention)
    before = model.config._attn_implementation  # noqa: SLF001 - it has no public reader
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
