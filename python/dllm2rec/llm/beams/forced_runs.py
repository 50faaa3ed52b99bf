"""Where a trie leaves no choice: tokens that are read in one piece, once their beam needs them.

A beam that enters a node with a single edge must take it, at no cost, and so on down to the next
node with a choice, its goal. No logits are wanted on the way. The tokens from a choice to the goal
below it are the goal's run: the chosen token and the forced ones behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.llm.beams.title_trie import TitleTrie


@dataclass(frozen=True, eq=False)
class ForcedRuns:
    """The runs of a trie; the root is the goal of a run of one token, the last of a prompt.

    Attributes:
        goal: the first node at or below each node that leaves a choice or ends, int64 (V,).
        level: tokens behind the root of each node, int64 (V,).
        length: tokens from the last choice above each node down to it, at least 1, int64 (V,).
        begin: where the run of each goal begins in `token`, int64 (V,).
        token: of all runs, one behind the other, int64.
        level_width: how many edges a node of each level has at most, or one of any below it.
    """

    goal: Tensor
    level: Tensor
    length: Tensor
    begin: Tensor
    token: Tensor
    level_width: tuple[int, ...]


def forced_runs(trie: TitleTrie) -> ForcedRuns:
    """Find the runs of a trie; what is returned lies on the trie's device."""
    edges, token = trie.edges.cpu().numpy(), trie.token.cpu().numpy()
    n_nodes = len(edges) - 1
    fan = np.diff(edges)
    parent = np.zeros(n_nodes, dtype=np.int64)
    parent[1:] = np.repeat(np.arange(n_nodes), fan)
    forced = fan == 1
    forced[0] = False  # the search begins there, whatever follows
    level, length = np.zeros(n_nodes, np.int64), np.ones(n_nodes, np.int64)
    levels = _levels(edges)
    for nodes in levels[1:]:
        above = parent[nodes]
        level[nodes] = level[above] + 1
        length[nodes] = np.where(forced[above], length[above] + 1, 1)
    goal = np.arange(n_nodes)
    for nodes in levels[::-1]:
        passed = nodes[forced[nodes]]
        goal[passed] = goal[edges[passed] + 1]
    begin, runs = _written(token, parent, length, np.flatnonzero(~forced))
    widths = np.maximum.accumulate(np.array(trie.level_width)[::-1])[::-1]

    def placed(array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(trie.edges.device)

    return ForcedRuns(
        placed(goal),
        placed(level),
        placed(length),
        placed(begin),
        placed(runs),
        tuple(widths.tolist()),
    )


def _levels(edges: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """The nodes of each level; they are numbered level by level."""
    begin, stop, levels = 0, 1, []
    while begin < stop:
        levels.append(np.arange(begin, stop))
        begin, stop = stop, int(edges[stop]) + 1
    return levels


def _written(
    token: npt.NDArray[np.int64],
    parent: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    goals: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The tokens of all runs, and where those of each goal begin."""
    begin = np.zeros(len(length), dtype=np.int64)
    begin[goals] = np.cumsum(length[goals]) - length[goals]
    runs = np.zeros(int(length[goals].sum()), dtype=np.int64)
    node, place, first = goals, begin[goals] + length[goals] - 1, begin[goals]
    while len(node):
        runs[place] = token[node - 1]  # the root's is each row's own, and never read
        going_on = place > first
        node, place, first = parent[node[going_on]], place[going_on] - 1, first[going_on]
    return begin, runs
