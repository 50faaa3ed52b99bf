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


def tiny_causal(folder: Path) -> str:
    """A Llama of random weights whose tokens are letters, digits and the blank."""
    transformers = pytest.importorskip("transformers", reason="the extra llm is not installed")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = [*string.ascii_letters, *string.digits, " ", "-", "<end>"]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="-"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",  # noqa: S106
        unk_token="-",  # noqa: S106
    ).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=vocabulary["<end>"],
        bos_token_id=vocabulary["<end>"],
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    # What would make a search by transformers' own `generate` a matter of luck.
    transformers.GenerationConfig(do_sample=True, temperature=5.0, top_k=3).save_pretrained(folder)
    return str(folder)
