"""How many rows are searched together: as many as memory holds, and no more than a shard."""

from __future__ import annotations

from typing import Any

import torch

MOST = 4096  # rows of a shard, by default
ON_A_CPU = 64
USED = 0.6  # of the memory that is free
# Slots behind a prompt per beam. On a catalogue of 16,385 titles an untuned model needs 5.
SLOTS_PER_BEAM = 8


def rows_at_once(model: Any, longest: int, n_beams: int) -> int:  # noqa: ANN401 - of transformers
    """Rows for which there is memory on the model's device.

    Args:
        model: the causal model.
        longest: tokens of the longest prompt.
        n_beams: of the search.
    """
    if model.device.type != "cuda":
        return ON_A_CPU
    free = torch.cuda.mem_get_info(model.device)[0]
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    return max(1, min(MOST, int(USED * free) // row_bytes(model, longest, n_beams)))


def row_bytes(model: Any, longest: int, n_beams: int) -> int:  # noqa: ANN401 - as above
    """What a row takes: keys and values, logits of its beams, and what each beam sees."""
    config, size = model.config, model.dtype.itemsize
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    slots = longest + SLOTS_PER_BEAM * n_beams
    kept = 2 * config.num_hidden_layers * shared * width * slots * size
    logits = 2 * n_beams * config.vocab_size * size
    # The mask once by packed token and once for each head that shares keys, and two of booleans.
    masks = 2 * n_beams * slots * (2 + size * (1 + heads // shared))
    return int(kept + logits + masks)
