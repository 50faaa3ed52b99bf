"""Ranks of targets and best items on a GPU, from vectors of 64 numbers.

    dllm2rec bench --gpu --only ranks

Vectors are of eighths, so that scores are exact in any order and all give the same numbers, which
is asserted before anything is timed. Peers work as anyone would write it: a product of some users
and some items, in float32, compared or ordered by torch, tile by tile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from dllm2rec.evaluate.ranking import fused_rank_counts, fused_top_n
from dllm2rec.students.memory.device_memory import DeviceMemory
from dllm2rec.students.memory.pair_memory import MemoryForm, PairMemory

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
WIDTH, PLACES = 64, 100
ROUNDS = 5
USERS, TILE = 4096, 16_384  # of a peer's tile: 256 MiB of scores
RANKS = [(15_000, 17_408), (15_000, int(1_000_000 * SCALE))]
LISTS = [(15_000, 17_408), (8192, int(1_000_000 * SCALE)), (8192, int(10_000_000 * SCALE))]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def eighths(n: int, seed: int) -> Tensor:
    rng = torch.Generator(device="cuda").manual_seed(seed)
    whole = torch.randint(-8, 9, (n, WIDTH), device="cuda", generator=rng, dtype=torch.int8)
    return whole.float() / 8


def tiles(users: Tensor, items: Tensor) -> Iterator[tuple[slice, int, Tensor]]:
    for first in range(0, len(users), USERS):
        rows = slice(first, min(first + USERS, len(users)))
        for begin in range(0, len(items), TILE):
            yield rows, begin, users[rows] @ items[begin : begin + TILE].T


def tiled_ranks(users: Tensor, items: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    found = torch.zeros((2, len(users)), dtype=torch.int64, device="cuda")
    wanted = (users * items[targets]).sum(1, keepdim=True)
    for rows, _, scores in tiles(users, items):
        found[0, rows] += (scores > wanted[rows]).sum(1)
        found[1, rows] += (scores == wanted[rows]).sum(1)
    found[1] -= 1
    greater, equal = found.cpu().numpy()
    return greater, equal


def own_ranks(users: Tensor, items: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    counts = fused_rank_counts(users, items, targets)
    return counts.greater, counts.equal


def tiled_lists(users: Tensor, items: Tensor) -> tuple[np.ndarray, np.ndarray]:
    scores: list[Tensor] = []
    numbers: list[Tensor] = []
    for _, begin, tile in tiles(users, items):
        number = torch.arange(begin, begin + tile.shape[1], device="cuda").expand_as(tile)
        if begin == 0:
            best = tile.topk(PLACES)
            scores.append(best.values)
            numbers.append(best.indices)
            continue
        best = torch.cat([scores[-1], tile], 1).topk(PLACES)
        scores[-1] = best.values
        numbers[-1] = torch.cat([numbers[-1], number], 1).gather(1, best.indices)
    return torch.cat(numbers).cpu().numpy(), torch.cat(scores).cpu().numpy()


def own_lists(users: Tensor, items: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return fused_top_n(users, items, PLACES)


def timed(benchmark, work: Callable[[], object], peer: str) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    benchmark.extra_info.update(peer=peer, device=torch.cuda.get_device_name())
    benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["allocated_gib"] = torch.cuda.max_memory_allocated() / 2**30


@pytest.mark.parametrize("size", RANKS, ids=[f"{rows}x{items}" for rows, items in RANKS])
@pytest.mark.parametrize("peer", ["dllm2rec", "torch in tiles"])
def test_gpu_ranks(benchmark, peer: str, size: tuple[int, int]) -> None:
    users, items = eighths(size[0], 0), eighths(size[1], 1)
    targets = torch.randint(size[1], (size[0],), device="cuda")
    expected = tiled_ranks(users, items, targets)
    for mine, theirs in zip(own_ranks(users, items, targets), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    rank = own_ranks if peer == "dllm2rec" else tiled_ranks
    benchmark.group = f"gpu ranks/{size[0]}x{size[1]}"
    timed(benchmark, lambda: rank(users, items, targets), peer)


@pytest.mark.parametrize("size", LISTS, ids=[f"{rows}x{items}" for rows, items in LISTS])
@pytest.mark.parametrize("peer", ["dllm2rec", "torch in tiles"])
def test_gpu_ranks_of_lists(benchmark, peer: str, size: tuple[int, int]) -> None:
    users, items = eighths(size[0], 0), eighths(size[1], 1)
    np.testing.assert_array_equal(own_lists(users, items)[1], tiled_lists(users, items)[1])
    lists = own_lists if peer == "dllm2rec" else tiled_lists
    benchmark.group = f"gpu top-{PLACES}/{size[0]}x{size[1]}"
    timed(benchmark, lambda: lists(users, items), peer)


def random_memory(n_items: int, followers: int) -> PairMemory:
    """A memory in which every item is followed by as many others."""
    rng = np.random.default_rng(0)
    step = rng.integers(1, 2 * n_items // followers - 1, (n_items, followers))
    items = np.sort((step.cumsum(1) + rng.integers(0, n_items, (n_items, 1))) % n_items, axis=1)
    offsets = np.arange(n_items + 1, dtype=np.int64) * followers
    values = rng.integers(1, 9, n_items * followers).astype(np.float32) / 8
    return PairMemory(MemoryForm(), offsets, items.ravel().astype(np.uint32), values)


@pytest.mark.parametrize("peer", ["dllm2rec", "dllm2rec without the memory"])
def test_gpu_ranks_with_memory(benchmark, peer: str) -> None:
    n_rows, n_items = RANKS[0]
    users, items = eighths(n_rows, 0), eighths(n_items, 1)
    targets = torch.randint(n_items, (n_rows,), device="cuda")
    windows = torch.randint(n_items, (n_rows, 10), device="cuda")
    lengths = torch.full((n_rows,), 10, device="cuda")
    memory = random_memory(n_items, 70)
    there = DeviceMemory.of(memory, users.device)
    bonuses = there.bonuses(windows, lengths)
    on_host = memory.bonuses(
        windows.cpu().numpy().astype(np.uint32), lengths.cpu().numpy().astype(np.uint32)
    )
    for mine, theirs in zip(bonuses.on_host(), on_host, strict=True):
        np.testing.assert_array_equal(mine, theirs)

    def ranks() -> object:
        added = there.bonuses(windows, lengths) if peer == "dllm2rec" else None
        return fused_rank_counts(users, items, targets, bonuses=added)

    benchmark.group = f"gpu ranks with a memory/{n_rows}x{n_items}"
    timed(benchmark, ranks, peer)
