"""Language models of a few kilobytes, made in place: no network, no file of weights."""

from __future__ import annotations

import string
from pathlib import Path

import pytest


def tiny_encoder(folder: Path) -> str:
    """A BERT of random weights as a plain transformers folder, letters as its tokens."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra llm is not installed")
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_lowercase + string.digits
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)
