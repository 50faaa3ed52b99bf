"""Which tokens may follow: the titles of a catalogue as a trie in flat arrays.

Node 0 is the root. The edges of node v are `edges[v]:edges[v + 1]`, by rising token; edge e carries
`token[e]` and leads to node e + 1: nodes are numbered in the order of the edges that lead to them,
level by level. A title ends with the end token, so that no title is the beginning of another. It
ends in the trie where no other title goes on: the tokens behind are forced, and what is forced
costs nothing. The node there has no edges and stands for one distinct title.

A step of the search asks for the scores of the edges of many nodes at once: a gather from the
logits at `token`, over at most `width` edges a node. It is one product of index arithmetic on the
device, without Python for a beam and without a mask of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.errors import InputError

AT_ONCE = 8192  # rows of logits that are made float32 together


@dataclass(frozen=True, eq=False)
class TitleTrie:
    """The trie of some titles.

    Attributes:
        edges: where the edges of each node begin, int64 (V + 1,).
        token: of each edge, int64 (V - 1,).
        title: the distinct title that ends at each node, -1 elsewhere, int64 (V,).
        depth: tokens that tell any title from all others, the end token included.
        level_width: how many edges a node has at most, by its depth, `depth` numbers.
    """

    edges: Tensor
    token: Tensor
    title: Tensor
    depth: int
    level_width: tuple[int, ...]

    def to(self, device: str | torch.device) -> TitleTrie:
        """The same on a device."""
        arrays = (one.to(device) for one in (self.edges, self.token, self.title))
        edges, token, title = arrays
        return TitleTrie(edges, token, title, self.depth, self.level_width)

    def next_scores(self, logits: Tensor, nodes: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """What may follow each node, and how likely it is.

        Args:
            logits: of the next token, (M, vocabulary).
            nodes: int64 (M,); -1 for a beam that is none.
            width: W, at least the edges of any of the nodes.

        Returns:
            Log-probabilities of the edges, float32 (M, W), -inf where a node has fewer, and the
            nodes that they lead to, (M, W). The probabilities are those of the whole vocabulary; a
            node with a single edge costs nothing, as nothing is chosen there.
        """
        first = self.edges[nodes.clamp(min=0)]
        count = self.edges[nodes.clamp(min=0) + 1] - first
        places = torch.arange(width, device=nodes.device)
        there = (places < count[:, None]) & (nodes >= 0)[:, None]
        edge = torch.where(there, first[:, None] + places, 0)
        tokens = self.token[edge]
        # One kernel each; sums of exponentials step by step would write all of it five times.
        chosen = [
            logits[begin : begin + AT_ONCE]
            .log_softmax(1, dtype=torch.float32)
            .gather(1, tokens[begin : begin + AT_ONCE])
            for begin in range(0, len(logits), AT_ONCE)
        ]
        scores = torch.cat(chosen)
        scores = scores.masked_fill((count == 1)[:, None], 0.0)
        return scores.masked_fill(~there, -torch.inf), edge + 1


def _told_apart(
    table: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cut sorted titles behind the first token that no other has there; two alike stay whole."""
    same = np.cumprod(table[1:] == table[:-1], axis=1).sum(axis=1)
    needed = np.ones(len(table), dtype=np.int64)
    needed[1:] = same + 1
    needed[:-1] = np.maximum(needed[:-1], same + 1)
    lengths = np.minimum(lengths, needed)
    depth = int(lengths.max())
    return table[:, :depth], lengths


def build_trie(titles: Sequence[Sequence[int]], end: int) -> TitleTrie:
    """Build the trie of distinct titles.

    Args:
        titles: the tokens of each, without the end token; no two alike and none empty.
        end: the end token, which no title holds.

    Raises:
        InputError: two titles have the same tokens, one has none, or holds the end token.
    """
    lengths = np.array([len(one) + 1 for one in titles], dtype=np.int64)
    if not len(lengths) or lengths.min() < 2:
        raise InputError("trie: a title without tokens, expected some in each")
    depth = int(lengths.max())
    table = np.full((len(titles), depth), -1, dtype=np.int64)
    for row, one in zip(table, titles, strict=True):
        row[: len(one)] = one
        row[len(one)] = end
    if int((table == end).sum()) != len(titles):
        raise InputError("trie: a title holds the end token, expected it behind each only")
    order = np.lexsort(table.T[::-1])
    table, lengths = _told_apart(table[order], lengths[order])
    # Titles that are alike up to a token share a node; sorted, they stand together.
    tokens: list[npt.NDArray[np.int64]] = []
    widths: list[int] = []
    node_of_title = np.zeros(len(table), dtype=np.int64)  # of the level above, counted from there
    n_above = 1
    parts: list[npt.NDArray[np.int64]] = []
    ends = [np.full(1, -1, np.int64)]
    for level in range(table.shape[1]):
        column, alive = table[:, level], lengths > level
        new = np.ones(len(table), dtype=np.bool_)
        new[1:] = (column[1:] != column[:-1]) | (node_of_title[1:] != node_of_title[:-1])
        new &= alive
        fan = np.bincount(node_of_title[new], minlength=n_above)
        parts.append(fan)
        tokens.append(column[new])
        widths.append(int(fan.max(initial=0)))
        numbers = np.cumsum(new) - 1
        ended = np.full(int(new.sum()), -1, np.int64)
        closing = alive & (lengths == level + 1)
        if int(new[closing].sum()) != int(closing.sum()):
            raise InputError("trie: two titles with the same tokens, expected distinct ones")
        ended[numbers[closing]] = order[closing]
        ends.append(ended)
        node_of_title = np.where(alive, numbers, -1)
        keep = lengths > level + 1
        table, lengths, order, node_of_title = (
            table[keep], lengths[keep], order[keep], node_of_title[keep],
        )  # fmt: skip
        n_above = int(new.sum())
    fans = np.concatenate([*parts, np.zeros(n_above, np.int64)])
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(fans)])
    return TitleTrie(
        torch.from_numpy(edges),
        torch.from_numpy(np.concatenate(tokens)),
        torch.from_numpy(np.concatenate(ends)),
        len(widths),
        tuple(widths),
    )
