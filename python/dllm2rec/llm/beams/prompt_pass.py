"""Prompts read into the cache of their rows: rows of like length together, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dllm2rec.llm.beams.by_level import new_cache
from dllm2rec.llm.beams.tree_attention import TreeCache

TOKENS = 2**14  # of a pass, padding counted


def read_prompts(
    model: Any,  # noqa: ANN401 - a causal model of transformers
    prompts: Sequence[Sequence[int]],
    room: int,
) -> TreeCache:
    """Read the tokens of some prompts, which may have none.

    The padding stands behind: what a causal model reads there is seen by nothing that is real, no
    mask is needed, and whoever adds to a row begins behind its own prompt.

    Args:
        model: in eval mode.
        prompts: the tokens of each.
        room: slots for what will be read behind the longest, at least.

    Returns:
        Keys and values, in the order of the prompts; a multiple of 16 slots, as attention wants.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    order = np.argsort(lengths, kind="stable")[::-1]
    n_slots = -(-(int(lengths.max()) + room) // 16) * 16
    cache = _empty(model, len(prompts), n_slots)
    begin = 0
    while begin < len(order) and lengths[order[begin]]:
        width = int(lengths[order[begin]])
        batch = order[begin : begin + max(1, TOKENS // width)]
        tokens = np.zeros((len(batch), width), dtype=np.int64)
        for row, number in zip(tokens, batch, strict=True):
            row[: lengths[number]] = prompts[number]
        own, named = new_cache(model.base_model)
        model.base_model(
            input_ids=torch.from_numpy(tokens).to(model.device), use_cache=True, **named
        )
        rows = torch.from_numpy(batch.copy()).to(model.device)
        for keys, values, layer in zip(cache.keys, cache.values, own.layers, strict=True):
            keys[rows, :, :width] = layer.keys
            values[rows, :, :width] = layer.values
        begin += len(batch)
    return cache


def _empty(model: Any, n_rows: int, n_slots: int) -> TreeCache:  # noqa: ANN401 - as above
    """Zeros in the shapes that the model's own cache has."""
    own, named = new_cache(model.base_model)
    tokens = torch.zeros(1, 1, dtype=torch.int64, device=model.device)
    model.base_model(input_ids=tokens, use_cache=True, **named)

    def zeros(layer: torch.Tensor) -> torch.Tensor:
        return layer.new_zeros(n_rows, layer.shape[1], n_slots, layer.shape[3])

    return TreeCache(
        [zeros(layer.keys) for layer in own.layers], [zeros(layer.values) for layer in own.layers]
    )
