"""Ranks and lists from a score matrix, against one read of it and the peers."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from dllm2rec import _core
from dllm2rec.evaluate.metrics import list_metrics

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS, N_ITEMS = max(1, int(15_000 * SCALE)), 17_408
SHAPE = f"{N_ROWS}x{N_ITEMS}"


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(0).standard_normal((N_ROWS, N_ITEMS), dtype=np.float32)


@pytest.fixture(scope="module")
def targets():
    return np.random.default_rng(1).integers(0, N_ITEMS, N_ROWS).astype(np.uint32)


def torch_counts(scores, targets):
    """(greater, equal) in blocks of rows."""
    matrix, wanted = torch.from_numpy(scores), torch.from_numpy(targets.astype(np.int64))
    parts = []
    for begin in range(0, len(scores), 256):
        block = matrix[begin : begin + 256]
        own = block.gather(1, wanted[begin : begin + 256, None])
        parts.append(torch.stack([(block > own).sum(1), (block == own).sum(1) - 1]))
    return torch.cat(parts, 1).numpy()


def numba_counts():
    numba = pytest.importorskip("numba", reason="numba is not installed")

    @numba.njit(parallel=True)
    def counts(scores, targets):
        out = np.zeros((2, len(targets)), np.int64)
        for row in numba.prange(len(targets)):
            own, greater, equal = scores[row, targets[row]], 0, 0
            for item in range(scores.shape[1]):
                greater += scores[row, item] > own
                equal += scores[row, item] == own
            out[0, row], out[1, row] = greater, equal - 1
        return out

    return counts


@pytest.mark.parametrize("peer", ["dllm2rec", "torch.sum (one read)", "numba", "torch, in blocks"])
def test_ranks(benchmark, scores, targets, peer):
    benchmark.group = f"ranks/{SHAPE}"
    benchmark.extra_info["peer"] = peer
    whole = torch.from_numpy(scores)
    work = {
        "dllm2rec": lambda: _core.rank_counts(scores, targets),
        "torch.sum (one read)": whole.sum,
        "torch, in blocks": lambda: torch_counts(scores, targets),
    }
    if peer == "numba":
        counts = numba_counts()
        work[peer] = lambda: counts(scores, targets)
    if peer != "torch.sum (one read)":
        np.testing.assert_array_equal(work[peer](), torch_counts(scores, targets))
    benchmark(work[peer])


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_ranks_of_other_types(benchmark, scores, targets, dtype):
    benchmark.group = f"ranks-{np.dtype(dtype).name}/{SHAPE}"
    benchmark.extra_info["peer"] = "dllm2rec"
    converted = scores.astype(dtype)
    own = np.take_along_axis(converted, targets[:, None].astype(np.int64), 1)
    greater, _ = _core.rank_counts(converted, targets)
    np.testing.assert_array_equal(greater[:100], (converted[:100] > own[:100]).sum(1))
    benchmark(_core.rank_counts, converted, targets)


@pytest.mark.parametrize("peer", ["dllm2rec", "torch.topk", "torch.sum (one read)"])
def test_top_20(benchmark, scores, peer):
    benchmark.group = f"top20/{SHAPE}"
    benchmark.extra_info["peer"] = peer
    whole = torch.from_numpy(scores)
    work = {
        "dllm2rec": lambda: _core.top_n(scores, 20),
        "torch.topk": lambda: whole.topk(20),
        "torch.sum (one read)": whole.sum,
    }
    np.testing.assert_array_equal(_core.top_n(scores, 20)[1], whole.topk(20).values.numpy())
    benchmark(work[peer])


@pytest.mark.parametrize("peer", ["dllm2rec", "ranx"])
def test_metrics_of_lists(benchmark, peer):
    """Hits, NDCG and MRR of 20 listed items per row; ranx gets its own arrays, made beforehand."""
    rng = np.random.default_rng(2)
    start = rng.integers(0, N_ITEMS, (N_ROWS, 1))
    lists = ((start + np.arange(20) * 61) % N_ITEMS).astype(np.uint32)
    targets = np.where(rng.random(N_ROWS) < 0.5, lists[:, 7], (start[:, 0] + 1) % N_ITEMS)
    benchmark.group = f"metrics of lists/{N_ROWS}x20"
    benchmark.extra_info["peer"] = peer
    names = [f"{name}@{k}" for name in ("hr", "ndcg", "mrr") for k in (10, 20)]
    work = {"dllm2rec": lambda: list_metrics(lists, targets, (10, 20))}
    if peer == "ranx":
        ranx = pytest.importorskip("ranx", reason="ranx is not installed")
        scores = np.broadcast_to(np.arange(20, 0, -1), lists.shape)
        run = np.stack([lists, scores], axis=2).astype(np.float64)
        relevant = np.stack([targets, np.ones(N_ROWS)], axis=1)[:, None, :]
        theirs = [name.replace("hr@", "hit_rate@") for name in names]
        work[peer] = lambda: ranx.evaluate(relevant, run, theirs)
        found = work[peer]()
        for name, other in zip(names, theirs, strict=True):
            np.testing.assert_allclose(found[other], work["dllm2rec"]()[name], rtol=1e-9)
    benchmark(work[peer])
