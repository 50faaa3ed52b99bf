"""A causal language model and how histories and titles are put to it, in training and in search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.errors import ConfigError
from dllm2rec.llm.packages import check_packages, loading

HISTORY = 10  # titles of a history that a model is shown, the newest
MOST_TOKENS = 32  # of a title; what is behind is left out


@dataclass(frozen=True, eq=False)
class CausalModel:
    """A model of transformers and its tokenizer.

    Attributes:
        model: `AutoModelForCausalLM`, in eval mode, on its device.
        tokenizer: that belongs to it.
        end: the token behind a title.
    """

    model: Any
    tokenizer: Any
    end: int


@dataclass(frozen=True, eq=False)
class TitleTokens:
    """The titles of a catalogue as tokens.

    Attributes:
        of_item: tokens of each item's title, none for an item without one.
        distinct: each distinct row of tokens once.
        items: the items of each distinct title, by rising index.
    """

    of_item: list[list[int]]
    distinct: list[list[int]]
    items: list[list[int]]


def load_causal(model: str, *, device: str, precision: str = "bfloat16") -> CausalModel:
    """Load a causal model from a folder, a GGUF file or the hub.

    Args:
        model: a folder, a `.gguf` file, or a hub's name.
        device: as torch names it.
        precision: "float32" or "bfloat16".

    Raises:
        ConfigError: transformers is not installed, or the model cannot be loaded.
    """
    check_packages("transformers")
    import transformers

    place: str | Path = model
    more: dict[str, Any] = {}
    unpacked: dict[str, Any] = {}
    if model.endswith(".gguf"):
        check_packages("gguf")
        place, more = Path(model).parent, {"gguf_file": Path(model).name}
        # Versions that have it would leave weights in blocks, which can be neither tuned nor saved.
        if hasattr(transformers, "GgufConfig"):
            unpacked = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    with loading(model):
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **more)
        dtype = getattr(torch, precision)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            place, dtype=dtype, **more, **unpacked
        )
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigError(f"model {model!r}: no end token, expected one in its tokenizer")
    return CausalModel(loaded.to(device).eval(), tokenizer, int(end))


def title_tokens(causal: CausalModel, titles: Sequence[str]) -> TitleTokens:
    """Cut titles into tokens; a line break in a title counts as a blank.

    Items whose titles have the same tokens share them: whoever names the title names all of these
    items, in the order of their indices.
    """
    texts = [" ".join(title.split()) for title in titles]
    kept = [number for number, text in enumerate(texts) if text]
    cut = causal.tokenizer([texts[n] for n in kept], add_special_tokens=False)["input_ids"]
    of_item: list[list[int]] = [[] for _ in texts]
    items: dict[tuple[int, ...], list[int]] = {}
    for number, tokens in zip(kept, cut, strict=True):
        plain = [token for token in tokens if token != causal.end][:MOST_TOKENS]
        if plain:
            of_item[number] = plain
            items.setdefault(tuple(plain), []).append(number)
    return TitleTokens(of_item, [list(one) for one in items], list(items.values()))


def prompts_of(
    causal: CausalModel,
    titles: TitleTokens,
    newest_first: npt.NDArray[np.int64],
    n_history: int = HISTORY,
) -> list[list[int]]:
    """The tokens of some histories: each title and the end token, oldest first.

    A history begins with the end token, as the model knows a text to begin.

    Args:
        causal: whose tokens they are.
        titles: of the catalogue.
        newest_first: items, N behind the oldest, (B, L).
        n_history: how many of the newest are shown.
    """
    n_items = len(titles.of_item)
    prompts = []
    for row in newest_first[:, :n_history]:
        prompt = [causal.end]
        for item in row[::-1]:
            if item < n_items and titles.of_item[item]:
                prompt += [*titles.of_item[item], causal.end]
        prompts.append(prompt)
    return prompts


def left_padded(
    prompts: Sequence[Sequence[int]], pad: int, device: str | torch.device
) -> tuple[Tensor, Tensor]:
    """Tokens and their mask, both int64 (B, T), the padding first."""
    width = max(map(len, prompts))
    tokens = np.full((len(prompts), width), pad, dtype=np.int64)
    mask = np.zeros((len(prompts), width), dtype=np.int64)
    for number, prompt in enumerate(prompts):
        tokens[number, width - len(prompt) :] = prompt
        mask[number, width - len(prompt) :] = 1
    return torch.from_numpy(tokens).to(device), torch.from_numpy(mask).to(device)
