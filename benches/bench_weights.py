"""The weights of the teacher's items as a training takes them.

Static: position and confidence of 150,000 lists, blended, once for all rows. Peers: the authors'
arithmetic in torch in batches of 256, and numba, parallel over rows. Consistency: which of the
teacher's items are among the student's best, for a batch's scores of a whole catalogue. Peer: the
same in torch, as a GPU does it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dllm2rec import _core
from dllm2rec.distill import weights

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS = int(150_000 * SCALE)
N_ITEMS = 17_408
GAMMAS = (0.3, 0.5)
BATCH = 256

Weigh = Callable[[Any], npt.NDArray[np.float32]]


def ours(distance: Any) -> npt.NDArray[np.float32]:
    position = _core.position_weight(distance.shape[1], 1.0)
    return _core.blend_distances(position, distance, (*GAMMAS, 0.0))


def authors() -> Weigh:
    """Exponentials and a normalisation, a batch at a time."""

    def weigh(distance: Any) -> npt.NDArray[np.float32]:
        return torch.cat(list(map(one_batch, torch.from_numpy(distance).split(BATCH)))).numpy()

    def one_batch(distance: Any) -> Any:
        position = torch.exp(-torch.arange(1, distance.shape[1] + 1))
        position = position / position.sum()
        confidence = torch.exp(-distance) + 1e-8
        confidence = confidence / confidence.sum(1, keepdim=True)
        return GAMMAS[0] * position + GAMMAS[1] * confidence

    return weigh


def numba_rows() -> Weigh:
    numba = pytest.importorskip("numba")

    @numba.njit(parallel=True, fastmath=True, nogil=True)
    def weigh(distance: Any) -> Any:
        n_rows, k = distance.shape
        out = np.empty((n_rows, k), np.float32)
        position = np.exp(-np.arange(1, k + 1).astype(np.float32))
        position *= np.float32(GAMMAS[0]) / position.sum()
        for b in numba.prange(n_rows):
            total = np.float32(0)
            for j in range(k):
                out[b, j] = np.exp(-distance[b, j]) + np.float32(1e-8)
                total += out[b, j]
            scale = np.float32(GAMMAS[1]) / total
            for j in range(k):
                out[b, j] = position[j] + scale * out[b, j]
        return out

    return weigh


PEERS: dict[str, Callable[[], Weigh]] = {
    "dllm2rec": lambda: ours,
    "torch (authors' arithmetic)": authors,
    "numba": numba_rows,
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("k", [10, 100])
def test_static_weights(benchmark: Any, peer: str, k: int) -> None:
    if peer == "numba" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    distance = np.random.default_rng(k).random((N_ROWS, k), np.float32) * 2
    weigh = PEERS[peer]()
    np.testing.assert_allclose(weigh(distance), ours(distance), rtol=2e-5, atol=1e-7)
    benchmark.group = f"weights/k{k}"
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["rows"] = N_ROWS
    benchmark.pedantic(weigh, (distance,), rounds=9, warmup_rounds=1)


@pytest.mark.parametrize("peer", ["dllm2rec", "torch"])
@pytest.mark.parametrize("k", [10, 20])
def test_consistency(benchmark: Any, peer: str, k: int) -> None:
    rng = torch.Generator().manual_seed(k)
    scores = torch.randn(BATCH, N_ITEMS, generator=rng)
    lists = torch.stack([torch.randperm(N_ITEMS, generator=rng)[:k] for _ in range(BATCH)])
    lists[:, : k // 3] = scores.topk(k).indices[:, : k // 3]
    of_torch, of_rust = weights.consistency_on_device, weights.consistency_from_scores
    assert torch.equal(of_torch(scores, lists, k), of_rust(scores, lists, k))
    benchmark.group = f"consistency/k{k}"
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["rows"] = BATCH
    weigh = of_rust if peer == "dllm2rec" else of_torch
    benchmark.pedantic(weigh, (scores, lists, k), rounds=15, warmup_rounds=2)
