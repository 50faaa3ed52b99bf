"""Ranks and lists from vectors, against the product alone and the peers that hold the matrix.

`torch tiled product` only multiplies, tile by tile into one buffer: it counts and selects nothing,
and is the floor of what is built on float32 products of that library.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from dllm2rec import _core

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
CELLS = [
    (width, n_items, max(1, int(n_users * SCALE)))
    for width in (64, 256)
    for n_items, n_users in ((17_408, 10_000), (100_000, 4_000), (1_000_000, 600))
]
CELLS += [(64, 5_000_000, max(1, int(120 * SCALE)))]
N_SEEN = 10


class Cell:
    """The vectors of one size, and what each row has seen."""

    def __init__(self, width, n_items, n_users):
        rng = np.random.default_rng(0)
        self.users = rng.standard_normal((n_users, width), dtype=np.float32)
        self.items = rng.standard_normal((n_items, width), dtype=np.float32)
        self.targets = rng.integers(0, n_items, n_users).astype(np.uint32)
        self.offsets = np.arange(n_users + 1, dtype=np.int64) * N_SEEN
        self.seen = rng.integers(0, n_items, n_users * N_SEEN).astype(np.uint32)
        self.name = f"{width}x{n_items}x{n_users}"

    def ranks(self):
        return _core.fused_rank_counts(self.users, self.items, self.targets)

    def top20(self):
        window = (self.offsets, self.seen, -np.inf)
        return _core.fused_top_n(self.users, self.items, 20, None, window)

    def blocks(self):
        for begin in range(0, len(self.users), 256):
            yield begin, torch.from_numpy(self.users[begin : begin + 256])

    def tiled_product(self, tile_items=2048):
        items, buffer = torch.from_numpy(self.items), torch.empty(256 * tile_items)
        for _, users in self.blocks():
            for begin in range(0, len(items), tile_items):
                tile = items[begin : begin + tile_items]
                out = buffer[: len(users) * len(tile)].view(len(users), len(tile))
                torch.mm(users, tile.T, out=out)

    def torch_top20(self):
        items, parts = torch.from_numpy(self.items), []
        seen = torch.from_numpy(self.seen.astype(np.int64)).view(-1, N_SEEN)
        for begin, users in self.blocks():
            scores = users @ items.T
            scores.scatter_(1, seen[begin : begin + 256], -torch.inf)
            parts.append(scores.topk(20).values)
        return torch.cat(parts).numpy()

    def torch_ranks(self):
        items, parts = torch.from_numpy(self.items), []
        wanted = torch.from_numpy(self.targets.astype(np.int64))
        for begin, users in self.blocks():
            scores = users @ items.T
            own = scores.gather(1, wanted[begin : begin + 256, None])
            parts.append((scores > own).sum(1))
        return torch.cat(parts).numpy()


@pytest.fixture(scope="module", params=CELLS, ids=lambda cell: "x".join(map(str, cell)))
def cell(request):
    return Cell(*request.param)


def faiss_search(cell):
    """Top-20 of all items: the index knows no masks, so it is spared that work."""
    faiss = pytest.importorskip("faiss", reason="faiss is not installed")
    index = faiss.IndexFlatIP(cell.items.shape[1])
    index.add(cell.items)
    return lambda: index.search(cell.users, 20)


@pytest.mark.parametrize("peer", ["dllm2rec", "torch tiled product", "torch matmul + count"])
def test_fused_ranks(benchmark, cell, peer):
    benchmark.group = f"fused-ranks/{cell.name}"
    benchmark.extra_info["peer"] = peer
    work = {
        "dllm2rec": cell.ranks,
        "torch tiled product": cell.tiled_product,
        "torch matmul + count": cell.torch_ranks,
    }
    if peer == "dllm2rec":
        # Sums are rounded in another order there: a rank may move by the few scores that close.
        off = np.abs(cell.ranks()[0].astype(np.int64) - cell.torch_ranks())
        assert off.max() <= 2 + len(cell.items) // 100_000
    benchmark.pedantic(work[peer], rounds=5, warmup_rounds=1)


@pytest.mark.parametrize(
    "peer", ["dllm2rec", "torch tiled product", "faiss IndexFlatIP", "torch matmul + topk"]
)
def test_fused_top_20(benchmark, cell, peer):
    benchmark.group = f"fused-top20/{cell.name}"
    benchmark.extra_info["peer"] = peer
    work = {
        "dllm2rec": cell.top20,
        "torch tiled product": cell.tiled_product,
        "torch matmul + topk": cell.torch_top20,
    }
    if peer == "faiss IndexFlatIP":
        work[peer] = faiss_search(cell)
    if peer == "dllm2rec":
        np.testing.assert_allclose(cell.top20()[1], cell.torch_top20(), rtol=1e-4)
    benchmark.pedantic(work[peer], rounds=5, warmup_rounds=1)
