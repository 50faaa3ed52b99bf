"""Beam search for titles: every beam stays inside the catalogue, and none is finished by luck.

What is searched for: at each level of the trie the `n_beams` best of all that the beams of the
level above lead to are kept; of these, those that reach a title are done and leave the search. The
best `n_beams` of what is done are the result, and a beam no better than the last of them ends. A
beam's score is the sum of the log-probabilities of its tokens where there was a choice; tokens that
the trie forces cost nothing, and no score is divided by a length. Nothing is sampled: the model's
own generation settings are not read.

Here that is done to the letter, one pass of all beams for each level, with the keys and values of a
beam gathered along with it: for any causal model, and as the definition that `packed_search`, which
finds the same with fewer tokens and launches, is tested against.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dllm2rec.errors import ConfigError, NonFiniteError
from dllm2rec.llm.beams.title_trie import TitleTrie


@dataclass(frozen=True, eq=False)
class Found:
    """The best titles of some rows.

    Attributes:
        titles: numbers of distinct titles, best first, int64 (B, n); -1 where there are fewer.
        scores: the log-probability of each, float32 (B, n), falling; -inf where there are fewer.
    """

    titles: Tensor
    scores: Tensor

    @classmethod
    def none(cls, n_rows: int, n_beams: int, device: torch.device) -> Found:
        """Nothing yet."""
        return cls(
            torch.full((n_rows, n_beams), -1, device=device),
            torch.full((n_rows, n_beams), -torch.inf, device=device),
        )


@torch.no_grad()
def search_titles(
    model: Any,  # noqa: ANN401 - a causal model of transformers
    prompts: Tensor,
    mask: Tensor,
    trie: TitleTrie,
    n_beams: int,
) -> Found:
    """Find the titles that a causal model thinks likeliest behind each prompt.

    Args:
        model: in eval mode.
        prompts: tokens, left-padded, int64 (B, T).
        mask: 1 where a token is real, int64 (B, T).
        trie: of the titles, on the device of the prompts.
        n_beams: kept at each level, and titles found.

    Raises:
        NonFiniteError: the model gives NaN.
        ConfigError: n_beams below 1.
    """
    if n_beams < 1:
        raise ConfigError(f"beams = {n_beams}, expected at least 1")
    n_rows, device = len(prompts), prompts.device
    position = (mask.cumsum(1) - 1).clamp(min=0)
    cache, named = new_cache(model)
    logits = model(
        input_ids=prompts,
        attention_mask=mask,
        position_ids=position,
        use_cache=True,
        logits_to_keep=1,
        **named,
    ).logits[:, -1]
    refuse_nan(logits)
    found = Found.none(n_rows, n_beams, device)
    nodes = torch.zeros(n_rows, 1, dtype=torch.int64, device=device)
    scores = torch.zeros(n_rows, 1, device=device)
    next_position = position[:, -1:] + 1
    for depth in range(trie.depth):
        beams = nodes.shape[1]
        gains, children = trie.next_scores(logits, nodes.flatten(), trie.level_width[depth])
        total = (scores.flatten()[:, None] + gains).view(n_rows, -1)
        kept = min(n_beams, total.shape[1])
        best, place = total.topk(kept, dim=1)
        nodes = children.view(n_rows, -1).gather(1, place)
        came_from = place // gains.shape[1]
        best, nodes, found = take_finished(trie, best, nodes, found)
        if depth + 1 == trie.depth or not bool((nodes >= 0).any()):
            break
        # A beam below what is found already in all places cannot come back: scores only fall.
        hopeless = best <= found.scores[:, -1:]
        nodes, scores = nodes.masked_fill(hopeless, -1), best.masked_fill(hopeless, -torch.inf)
        if not bool((nodes >= 0).any()):
            break
        rows = torch.arange(n_rows, device=device)[:, None] * beams + came_from
        cache.reorder_cache(rows.flatten())
        mask = torch.cat([mask.repeat_interleave(beams, 0) if depth == 0 else mask,
                          mask.new_ones(n_rows * beams, 1)], 1)[rows.flatten()]  # fmt: skip
        tokens = trie.token[(nodes - 1).clamp(min=0)]
        logits = model(
            input_ids=tokens.view(-1, 1),
            attention_mask=mask,
            position_ids=(next_position + depth).expand(-1, kept).reshape(-1, 1),
            use_cache=True,
            **named,
        ).logits[:, -1]
    return found


def refuse_nan(logits: Tensor) -> None:
    """Raise NonFiniteError if a model gives NaN."""
    if bool(logits.isnan().any()):
        raise NonFiniteError("the model gives NaN for the next token, expected finite numbers")


def new_cache(model: Any) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - as above
    """An empty cache of keys and values, and how this transformers wants it given."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    # Called `past_key_values` up to transformers 5.23.
    given = inspect.signature(model.forward).parameters
    return cache, {"cache" if "cache" in given else "past_key_values": cache}


def take_finished(
    trie: TitleTrie, scores: Tensor, nodes: Tensor, found: Found
) -> tuple[Tensor, Tensor, Found]:
    """Take the beams that reached a title out of the search."""
    reached = scores > -torch.inf
    nodes = torch.where(reached, nodes, -1)
    title = torch.where(reached, trie.title[nodes.clamp(min=0)], -1)
    ended = title >= 0
    all_scores = torch.cat([found.scores, scores.masked_fill(~ended, -torch.inf)], 1)
    all_titles = torch.cat([found.titles, title], 1)
    best, place = all_scores.topk(found.scores.shape[1], dim=1)
    titles = all_titles.gather(1, place).masked_fill(best == -torch.inf, -1)
    scores = scores.masked_fill(ended | ~reached, -torch.inf)
    return scores, torch.where(ended, -1, nodes), Found(titles, best)
