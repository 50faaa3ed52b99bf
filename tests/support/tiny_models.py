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


def tiny_gguf(path: Path) -> str:
    """A Llama of random weights as a GGUF file, its products' weights in blocks of 8 bits."""
    pytest.importorskip("transformers", reason="the extra llm is not installed")
    gguf = pytest.importorskip("gguf", reason="the extra llm is not installed")
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    width, inner, n_heads = 32, 64, 4
    # The blank as GPT-2 writes it, what the two merges make, and the end.
    tokens = [*string.ascii_letters, *string.digits, "Ġ", "zz", "qq", "<end>"]
    file = gguf.GGUFWriter(path, "llama")
    file.add_block_count(1)
    file.add_context_length(512)
    file.add_embedding_length(width)
    file.add_feed_forward_length(inner)
    file.add_head_count(n_heads)
    file.add_head_count_kv(n_heads)
    file.add_rope_dimension_count(width // n_heads)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_token_list(tokens)
    file.add_token_merges(["z z", "q q"])
    file.add_eos_token_id(len(tokens) - 1)
    file.add_bos_token_id(len(tokens) - 1)
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), width), "blk.0.ffn_down": (width, inner)}
    shapes |= {f"blk.0.ffn_{name}": (inner, width) for name in ("gate", "up")}
    shapes |= {f"blk.0.attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
    eight_bits = gguf.GGMLQuantizationType.Q8_0
    for name, shape in shapes.items():
        weights = rng.standard_normal(shape, dtype=np.float32)
        blocks = gguf.quants.quantize(weights, eight_bits)
        file.add_tensor(f"{name}.weight", blocks, raw_dtype=eight_bits)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        file.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return str(path)
