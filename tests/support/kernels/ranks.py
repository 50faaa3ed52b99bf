"""The kernels of ranks, run by Triton's interpreter on the CPU, against torch in tiles."""

from __future__ import annotations

import numpy as np
import torch

from dllm2rec.evaluate.on_device import on_chip, ranking_torch
from dllm2rec.kernels import list_candidates, rank_counts
from dllm2rec.students.memory.pair_memory import ItemBonuses
from tests.evaluate.test_fused_scoring import on_tensors


def small_problem(n_users: int, n_items: int, width: int, moves: str):
    """Whole numbers, so that scores are exact in any order and many of them are equal."""
    rng = np.random.default_rng(0)
    problem = {
        "users": rng.integers(-2, 3, (n_users, width)).astype(np.float32),
        "items": rng.integers(-2, 3, (n_items, width)).astype(np.float32),
    }
    targets = rng.integers(0, n_items, n_users)
    if moves != "none":
        problem["bias"] = rng.integers(-1, 2, n_items).astype(np.float32)
        listed = rng.integers(0, n_items, (n_users, 6))
        if moves == "masked":
            problem["bias"][rng.random(n_items) < 0.2] = -np.inf
            problem["bias"][targets] = 1.0
            listed[listed == targets[:, None]] = (targets[0] + 1) % n_items
            listed[(listed == targets[:, None]).any(1)] = -1
            listed = [row[row >= 0] for row in listed]
        offsets = np.cumsum([0, *map(len, listed)])
        problem["window"] = offsets, np.concatenate(listed)
        problem["window_offset"] = -np.inf if moves == "masked" else 2.0
    if moves == "bonuses":
        rows = [np.flatnonzero(rng.random(n_items) < 0.1) for _ in range(n_users)]
        values = rng.integers(-3, 4, sum(map(len, rows))).astype(np.float32)
        items = np.concatenate(rows).astype(np.uint32)
        problem["bonuses"] = ItemBonuses(np.cumsum([0, *map(len, rows)]), items, values)
    return on_tensors(problem), torch.from_numpy(targets)


def check_ranks(n_users: int, n_items: int, width: int, moves: str) -> None:
    """Counts are those in tiles."""
    rank_counts.ROWS = rank_counts.PAIRS = 16
    rank_counts.CELLS, rank_counts.ENOUGH_PROGRAMS = 16 * 32, 7
    laid_out, wanted = small_problem(n_users, n_items, width, moves)
    expected = ranking_torch._count_in_tiles(laid_out, wanted)
    got = on_chip.count(laid_out, wanted)
    assert int(expected[0][1].sum()) > n_users, "no ties, which are to be counted"
    for mine, theirs in zip(got, expected, strict=True):
        assert torch.equal(mine, theirs)


def check_lists(n: int, moves: str, bound: str) -> None:
    """Lists are those in tiles, whatever the bound of a row is."""
    list_candidates.ROWS = list_candidates.TILE = rank_counts.PAIRS = 16
    list_candidates.ENOUGH_PROGRAMS = rank_counts.ENOUGH_PROGRAMS = 7
    on_chip.SAMPLED, on_chip.MOST_FOUND = (24, 32), 1 << 11
    cuts_of = on_chip._cuts

    def cuts(*asked):
        """Some bounds are too high, or too low for the room there is."""
        off = {"good": 0.0, "high": 9.0, "low": -9.0}[bound]
        return cuts_of(*asked) + off * (torch.arange(len(asked[1])) % 2)

    on_chip._cuts = cuts
    laid_out, _ = small_problem(21, 400, 8, moves)
    expected, _ = ranking_torch._best_in_tiles(laid_out, n)
    assert torch.equal(on_chip.best(laid_out, n), expected)
