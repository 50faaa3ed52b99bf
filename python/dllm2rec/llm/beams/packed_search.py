"""The beam search of `by_level`, with no token read that decides nothing.

Three things are left out, none of which changes what is found. A beam waits at the next node that
leaves a choice (`forced_runs`): levels between cost nothing and give no logits, and the tokens of
the run are read in one piece when the beam's turn comes, if it is alive then. Its turn comes with
the level: of a row's beams those of the lowest level go on, the others compete with what these lead
to as they are. Rows do not wait for each other: each does its own next level in every pass. Beams
that ended, and rows that have no other, take no place in a pass: its tokens are packed.

A pass needs one answer of the device: how many tokens there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from dllm2rec.errors import ConfigError
from dllm2rec.llm.beams.by_level import Found, refuse_nan, take_finished
from dllm2rec.llm.beams.forced_runs import ForcedRuns
from dllm2rec.llm.beams.prompt_pass import read_prompts
from dllm2rec.llm.beams.title_trie import TitleTrie
from dllm2rec.llm.beams.tree_attention import (
    PackedTokens,
    TreeCache,
    tree_attention_of,
    tree_mask,
)

ROOM = 64  # slots that a cache gains when it is full
# Not cuDNN's, which plans anew for each shape: every pass has another.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
_LATE = torch.iinfo(torch.int64).max


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows that have beams yet.

    Attributes:
        number: of each row in what was asked, int64 (R,).
        last: the last token of each prompt, int64 (R,).
        length: tokens of each prompt, int64 (R,).
        used: slots of the cache, int64 (R,).
        nodes: where each beam waits, int64 (R, b); -1 for none.
        scores: of the beams, float32 (R, b); -inf for none.
        seen: the slots that each beam sees, bool (R, b, slots).
    """

    number: Tensor
    last: Tensor
    length: Tensor
    used: Tensor
    nodes: Tensor
    scores: Tensor
    seen: Tensor

    def rows(self, kept: Tensor) -> _Rows:
        """Some of them."""
        return _Rows(*(getattr(self, field.name)[kept] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class _Turn:
    """Whose turn it is, and how much is to be read.

    Attributes:
        beams: bool (R, b).
        tokens: to be read for each beam, int64 (R, b).
        n_tokens: in all.
        width: the most of a row.
        slots: the most that a row will have used.
        rows: how many have beams.
    """

    beams: Tensor
    tokens: Tensor
    n_tokens: int
    width: int
    slots: int
    rows: int


@torch.no_grad()
def search_packed(
    model: Any,  # noqa: ANN401 - a causal model of transformers
    prompts: Sequence[Sequence[int]],
    trie: TitleTrie,
    runs: ForcedRuns,
    n_beams: int,
) -> Found:
    """Find the titles that `by_level.search_titles` finds behind each prompt.

    Args:
        model: in eval mode; one that `has_tree_attention`.
        prompts: the tokens of each, at least one.
        trie: of the titles, on the model's device.
        runs: of the trie.
        n_beams: kept at each level, and titles found.

    Raises:
        NonFiniteError: the model gives NaN.
        ConfigError: n_beams below 1.
    """
    if n_beams < 1:
        raise ConfigError(f"beams = {n_beams}, expected at least 1")
    with sdpa_kernel(BACKENDS):
        return _searched(model, prompts, (trie, runs), n_beams)


def _searched(
    model: Any,  # noqa: ANN401 - as above
    prompts: Sequence[Sequence[int]],
    tries: tuple[TitleTrie, ForcedRuns],
    n_beams: int,
) -> Found:
    runs = tries[1]
    cache = read_prompts(model, [prompt[:-1] for prompt in prompts], ROOM)
    found = Found.none(len(prompts), n_beams, model.device)
    rows = _begun(prompts, cache.n_slots, model.device)
    passes = 0
    with tree_attention_of(model):
        while (turn := _turn(rows, runs)).rows:
            if turn.rows < 0.75 * len(rows.number):
                kept = (rows.nodes >= 0).any(1).nonzero()[:, 0]
                rows, cache = rows.rows(kept), cache.rows(kept)
                continue
            if turn.slots > cache.n_slots:
                more = -(-(turn.slots - cache.n_slots) // ROOM) * ROOM
                cache = cache.grown(cache.n_slots + more)
                rows = _Rows(**{**vars(rows), "seen": F.pad(rows.seen, (0, more))})
            beams, logits, rows = _read(model, rows, turn, runs, cache)
            if not passes:
                refuse_nan(logits)
            # The pass with number n is of no level above the n-th, in any row.
            rows = _gone_on(rows, found, tries, (beams, logits, runs.level_width[passes]))
            passes += 1
    return found


def _begun(prompts: Sequence[Sequence[int]], n_slots: int, device: torch.device) -> _Rows:
    """Each row with one beam, at the root."""
    length = torch.tensor([len(prompt) for prompt in prompts], device=device)
    used = length - 1
    return _Rows(
        number=torch.arange(len(prompts), device=device),
        last=torch.tensor([prompt[-1] for prompt in prompts], device=device),
        length=length,
        used=used,
        nodes=torch.zeros(len(prompts), 1, dtype=torch.int64, device=device),
        scores=torch.zeros(len(prompts), 1, device=device),
        seen=torch.arange(n_slots, device=device)[None, None] < used[:, None, None],
    )


def _turn(rows: _Rows, runs: ForcedRuns) -> _Turn:
    """The beams of the lowest level of each row."""
    alive = rows.nodes >= 0
    at = rows.nodes.clamp(min=0)
    level = torch.where(alive, runs.level[at], _LATE)
    beams = alive & (level == level.amin(1, keepdim=True))
    tokens = torch.where(beams, runs.length[at], 0)
    of_row = tokens.sum(1)
    numbers = [of_row.sum(), of_row.amax(), (rows.used + of_row).amax(), alive.any(1).sum()]
    n_tokens, width, slots, n_rows = torch.stack(numbers).tolist()
    return _Turn(beams, tokens, n_tokens, width, slots, n_rows)


def _read(
    model: Any,  # noqa: ANN401 - as above
    rows: _Rows,
    turn: _Turn,
    runs: ForcedRuns,
    cache: TreeCache,
) -> tuple[Tensor, Tensor, _Rows]:
    """Run the model on the runs of the beams whose turn it is.

    Returns:
        The beams, as numbers in the flat (R * b,), the logits behind each, and the rows with what
        was read.
    """
    device, n_beams = rows.nodes.device, rows.nodes.shape[1]
    beams = turn.beams.flatten().nonzero()[:, 0]
    length = turn.tokens.flatten()[beams]
    ends = length.cumsum(0) - 1
    of = torch.repeat_interleave(length, output_size=turn.n_tokens)  # a token's beam
    place = torch.arange(turn.n_tokens, device=device)
    offset = place - (ends - length + 1)[of]
    row, node = beams[of] // n_beams, rows.nodes.flatten()[beams[of]]
    of_row = turn.tokens.sum(1)
    number = place - (of_row.cumsum(0) - of_row)[row]
    slot = rows.used[row] + number
    tokens = torch.where(node == 0, rows.last[row], runs.token[runs.begin[node] + offset])
    behind = runs.level[node] - length[of] + offset  # the last token of the prompt is -1 behind it
    slots = torch.arange(cache.n_slots, device=device)
    visible = (slots >= (slot - offset)[:, None]) & (slots <= slot[:, None])
    visible |= rows.seen.flatten(0, 1)[beams[of]]
    packed = PackedTokens(cache, row, slot, row * turn.width + number, turn.width)
    groups = model.config.num_attention_heads // cache.keys[0].shape[1]
    logits = model(
        input_ids=tokens[None],
        attention_mask=tree_mask(packed, visible, groups, model.dtype),
        position_ids=(rows.length[row] + behind)[None],
        use_cache=False,
        logits_to_keep=ends,
        tree=packed,
    ).logits[0]
    seen = rows.seen.flatten(0, 1).index_copy(0, beams, visible[ends]).view(rows.seen.shape)
    return beams, logits, _Rows(**{**vars(rows), "used": rows.used + of_row, "seen": seen})


def _gone_on(
    rows: _Rows,
    found: Found,
    tries: tuple[TitleTrie, ForcedRuns],
    read: tuple[Tensor, Tensor, int],
) -> _Rows:
    """Let the beams that were read branch, and keep the best; titles reached join `found`."""
    (trie, runs), (beams, logits, width) = tries, read
    nodes = rows.nodes.flatten()
    gains = torch.full((len(nodes), width), -torch.inf, device=nodes.device)
    gains[:, 0] = 0.0  # of a beam that waits
    below = nodes[:, None].repeat(1, width)
    gains[beams], below[beams] = trie.next_scores(logits, nodes[beams], width)
    n_rows, n_beams = len(rows.number), found.titles.shape[1]
    total = (rows.scores.flatten()[:, None] + gains).view(n_rows, -1)
    best, place = total.topk(min(n_beams, total.shape[1]), dim=1)
    there = below.view(n_rows, -1).gather(1, place)
    now = Found(found.titles[rows.number], found.scores[rows.number])
    best, there, now = take_finished(trie, best, there, now)
    found.titles[rows.number], found.scores[rows.number] = now.titles, now.scores
    # A beam below what is found already in all places cannot come back: scores only fall.
    hopeless = best <= now.scores[:, -1:]
    came_from = (place // width)[:, :, None].expand(-1, -1, rows.seen.shape[2])
    changed = {
        "nodes": torch.where(hopeless | (there < 0), -1, runs.goal[there.clamp(min=0)]),
        "scores": best.masked_fill(hopeless, -torch.inf),
        "seen": rows.seen.gather(1, came_from),
    }
    return _Rows(**{**vars(rows), **changed})
