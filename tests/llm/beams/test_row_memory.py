"""How many rows are searched together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from dllm2rec.llm.beams import row_memory
from dllm2rec.llm.beams.row_memory import row_bytes, rows_at_once


def model(device, n_layers=30):
    """As large as SmolLM2-135M, without its weights."""
    config = SimpleNamespace(
        num_attention_heads=9,
        num_key_value_heads=3,
        hidden_size=576,
        num_hidden_layers=n_layers,
        vocab_size=49152,
    )
    return SimpleNamespace(config=config, dtype=torch.bfloat16, device=torch.device(device))


def test_a_row_takes_its_keys_and_values_and_the_logits_of_its_beams():
    slots = 100 + 8 * 20
    kept = 30 * slots * 2 * 3 * 64 * 2
    taken = row_bytes(model("cpu"), 100, 20)
    assert kept + 20 * 49152 * 2 < taken < 1.5 * (kept + 20 * 49152 * 2)
    assert row_bytes(model("cpu", 60), 100, 20) - taken == kept


@pytest.mark.parametrize(("free_gib", "expected"), [(1000, 4096), (8, None), (0, 1)])
def test_rows_are_as_many_as_memory_holds(monkeypatch, free_gib, expected):
    free = free_gib * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free // 2, 2 * free))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: free)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: free - free // 2)
    held = model("cuda")
    rows = rows_at_once(held, 100, 20)
    if expected is None:
        taken = rows * row_bytes(held, 100, 20)
        assert taken <= row_memory.USED * free < taken + row_bytes(held, 100, 20)
    else:
        assert rows == expected


def test_rows_on_a_cpu_are_few():
    assert rows_at_once(model("cpu"), 100, 20) == row_memory.ON_A_CPU
