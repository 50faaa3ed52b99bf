"""Tuning a causal language model on the title sequences of a dataset: LoRA, or all weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, NonFiniteError, ResourceError
from dllm2rec.llm.causal import CausalModel, prompts_of, title_tokens
from dllm2rec.llm.encode import item_titles
from dllm2rec.llm.next_item import newest_first
from dllm2rec.llm.packages import check_packages

METHODS = ("full", "lora")


@dataclass(frozen=True)
class TuneForm:
    """How a causal model is tuned.

    Attributes:
        method: "lora" (peft) or "full", all weights.
        epochs: passes over the train rows that are used.
        learning_rate: the highest; it rises over the first twentieth and falls to 0 as a cosine.
        batch_size: rows per step.
        n_history: titles of a history that are shown, the newest.
        rows: train rows that are learnt from, drawn once; 0 for all.
        rank: of LoRA's matrices.
        seed: of the rows and their order.
    """

    method: str = "full"
    epochs: int = 1
    learning_rate: float = 3e-4
    batch_size: int = 64
    n_history: int = 10
    rows: int = 0
    rank: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method = {self.method!r}, expected one of {', '.join(METHODS)}")
        for name in ("epochs", "batch_size", "n_history", "rank"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}, expected at least 1")


def tune_causal(
    causal: CausalModel,
    dataset: SequenceDataset,
    form: TuneForm,
    *,
    report: Callable[[str, int, int], None] | None = None,
) -> list[float]:
    """Tune a model in place to write the title of the next item behind those of a history.

    Every title of a row but the first is learnt, so that a row teaches all its prefixes. Weights
    and optimizer are float32; products are bfloat16 on CUDA.

    Args:
        causal: the model; with "lora" its weights have the matrices merged in at the end.
        dataset: with titles; only train rows are read.
        form: how.
        report: told how many rows are learnt, and of how many.

    Returns:
        The mean loss of each twentieth of the work, in nats per token.

    Raises:
        ConfigError: peft is not installed and `method` is "lora", or the model is quantised.
        NonFiniteError: the loss stops being finite.
    """
    if getattr(causal.model, "hf_quantizer", None) is not None:
        raise ConfigError(
            "the model is quantised, expected one with plain weights, which are what is tuned; "
            "give the folder that it was made from, or a .gguf file"
        )
    sequences = _sequences(causal, dataset, form)
    device = causal.model.device
    precision = causal.model.dtype
    # Not the model's own `float`, which refuses what was read from a GGUF file, dequantised or not.
    model: Any = torch.nn.Module.float(causal.model)
    if form.method == "lora":
        check_packages("peft")
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=form.rank, lora_alpha=2 * form.rank, target_modules="all-linear")
        model = get_peft_model(model, config)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=form.learning_rate, weight_decay=0.0)
    batches = _batches(sequences, form)
    losses: list[float] = []
    model.train()
    done = 0
    pending: list[Tensor] = []
    for number, batch in enumerate(batches, start=1):
        part = number / len(batches)
        rate = min(1.0, part * 20) * 0.5 * (1 + math.cos(math.pi * part))
        optimizer.param_groups[0]["lr"] = form.learning_rate * rate
        tokens, wanted = _padded([sequences[row] for row in batch], causal.end, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden = model(input_ids=tokens, use_cache=False).logits
        loss = F.cross_entropy(hidden[:, :-1].flatten(0, 1), wanted[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        pending.append(loss.detach())
        done += len(batch)
        if number * 20 // len(batches) > (number - 1) * 20 // len(batches):
            losses.append(float(torch.stack(pending).mean()))
            pending = []
            if not math.isfinite(losses[-1]):
                raise NonFiniteError(f"loss {losses[-1]} at row {done:,}; lower learning_rate")
        if report is not None:
            report("rows learnt", done, form.epochs * len(sequences))
    if form.method == "lora":
        model.merge_and_unload()
    torch.nn.Module.to(causal.model, precision).eval()
    return losses


def save_causal(causal: CausalModel, folder: str | Path) -> None:
    """Write model and tokenizer as a Hugging Face folder.

    Raises:
        ResourceError: it cannot be written.
    """
    try:
        causal.model.save_pretrained(folder)
        causal.tokenizer.save_pretrained(folder)
    except OSError as err:
        raise ResourceError(f"{folder}: {err.strerror or err}; nothing of use was written") from err


def _sequences(
    causal: CausalModel, dataset: SequenceDataset, form: TuneForm
) -> list[tuple[list[int], int]]:
    """The tokens of each row, target last, and how many of them are not learnt."""
    titles = title_tokens(causal, item_titles(dataset))
    rows = dataset.train
    if form.rows and form.rows < len(rows):
        drawn = np.random.default_rng(form.seed).permutation(len(rows))[: form.rows]
        rows = rows.take(np.sort(drawn))
    windows = dataset.windows(rows)
    prompts = prompts_of(causal, titles, newest_first(windows, dataset.n_items), form.n_history)
    made = []
    for prompt, target in zip(prompts, windows.targets.tolist(), strict=True):
        if titles.of_item[target]:
            first = prompt.index(causal.end, 1) + 1 if causal.end in prompt[1:] else 1
            made.append(([*prompt, *titles.of_item[target], causal.end], first))
    return made


def _batches(sequences: Sequence[tuple[list[int], int]], form: TuneForm) -> list[list[int]]:
    """Rows by batch: shuffled, and of like length within 32 batches, so that little is padding."""
    rng = np.random.default_rng(form.seed)
    lengths = np.array([len(tokens) for tokens, _ in sequences])
    batches: list[list[int]] = []
    for _ in range(form.epochs):
        order = rng.permutation(len(sequences))
        pool = 32 * form.batch_size
        epoch = []
        for begin in range(0, len(order), pool):
            part = order[begin : begin + pool]
            part = part[np.argsort(lengths[part], kind="stable")]
            epoch += [part[b : b + form.batch_size].tolist()
                      for b in range(0, len(part), form.batch_size)]  # fmt: skip
        batches += [epoch[n] for n in rng.permutation(len(epoch))]
    return batches


def _padded(
    rows: Sequence[tuple[list[int], int]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Tokens, padded behind, and what is to be learnt: -100 elsewhere."""
    width = max(len(tokens) for tokens, _ in rows)
    table = np.full((len(rows), width), pad, dtype=np.int64)
    wanted = np.full((len(rows), width), -100, dtype=np.int64)
    for number, (tokens, first) in enumerate(rows):
        table[number, : len(tokens)] = tokens
        wanted[number, first : len(tokens)] = tokens[first:]
    return torch.from_numpy(table).to(device), torch.from_numpy(wanted).to(device)
