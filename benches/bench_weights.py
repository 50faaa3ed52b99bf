"""All three weights and their blend from lists and distances, 150,000 rows, normalised per row.

Peers: the authors' arithmetic in torch in batches of 256, and numba, parallel over rows, with a
stamp per item and thread that tells whether the student lists it.
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

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS = int(150_000 * SCALE)
N_ITEMS = 17_408
GAMMAS = (0.3, 0.5, 0.1)
BATCH = 256

Weigh = Callable[[Any, Any, Any], npt.NDArray[np.float32]]


def ours(ranking: Any, distance: Any, student_top: Any) -> npt.NDArray[np.float32]:
    k = ranking.shape[1]
    return _core.ranking_weights_from_distance(
        ranking, distance, student_top, k, 1.0, GAMMAS, normalise=True
    )


def authors() -> Weigh:
    """A K x K comparison, exponentials and two normalisations, a batch at a time."""

    def weigh(ranking: Any, distance: Any, student_top: Any) -> npt.NDArray[np.float32]:
        tensors = [torch.from_numpy(a) for a in (ranking, distance, student_top)]
        batches = zip(*(tensor.split(BATCH) for tensor in tensors), strict=True)
        return torch.cat([one_batch(*batch) for batch in batches]).numpy()

    def one_batch(ranking: Any, distance: Any, student_top: Any) -> Any:
        position = torch.exp(-torch.arange(1, ranking.shape[1] + 1))
        position = position / position.sum()
        common = (ranking.unsqueeze(2) == student_top.unsqueeze(1)).any(2).float() + 1e-8
        confidence = torch.exp(-distance) + 1e-8
        confidence = confidence / confidence.sum(1, keepdim=True)
        weight = GAMMAS[0] * position + GAMMAS[1] * confidence + GAMMAS[2] * common
        return weight / weight.sum(1, keepdim=True)

    return weigh


def numba_stamps() -> Weigh:
    numba = pytest.importorskip("numba")

    @numba.njit(parallel=True, fastmath=True, nogil=True)
    def weigh(ranking: Any, distance: Any, student_top: Any) -> Any:
        n_rows, k = ranking.shape
        out = np.empty((n_rows, k), np.float32)
        position = np.exp(-np.arange(1, k + 1).astype(np.float32))
        position *= np.float32(GAMMAS[0]) / position.sum()
        n_parts = numba.get_num_threads()
        for part in numba.prange(n_parts):
            stamps = np.full(N_ITEMS, -1, np.int32)
            for b in range(part * n_rows // n_parts, (part + 1) * n_rows // n_parts):
                for j in range(student_top.shape[1]):
                    stamps[student_top[b, j]] = b
                total = np.float32(0)
                for j in range(k):
                    out[b, j] = np.exp(-distance[b, j]) + np.float32(1e-8)
                    total += out[b, j]
                scale = np.float32(GAMMAS[1]) / total
                total = np.float32(0)
                for j in range(k):
                    hit = np.float32(GAMMAS[2]) if stamps[ranking[b, j]] == b else np.float32(0)
                    out[b, j] = position[j] + scale * out[b, j] + hit
                    total += out[b, j]
                scale = np.float32(1) / total
                for j in range(k):
                    out[b, j] *= scale
        return out

    return weigh


PEERS: dict[str, Callable[[], Weigh]] = {
    "dllm2rec": lambda: ours,
    "torch (authors' arithmetic)": authors,
    "numba": numba_stamps,
}


def inputs(k: int) -> tuple[Any, Any, Any]:
    """Lists of distinct items of which student and teacher share about a third."""
    rng = np.random.default_rng(k)
    start = rng.integers(0, N_ITEMS, (N_ROWS, 1))
    ranking = ((start + np.arange(k) * 61) % N_ITEMS).astype(np.uint32)
    shift = rng.integers(0, 2 * k, (N_ROWS, 1))
    student_top = ((start + (np.arange(k) + shift) * 61) % N_ITEMS).astype(np.uint32)
    return ranking, rng.random((N_ROWS, k), np.float32) * 2, student_top


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("k", [10, 100])
def test_weights(benchmark: Any, peer: str, k: int) -> None:
    if peer == "numba" and importlib.util.find_spec("numba") is None:
        pytest.skip("numba is not installed")
    given = inputs(k)
    weigh = PEERS[peer]()
    np.testing.assert_allclose(weigh(*given), ours(*given), rtol=2e-5, atol=1e-7)
    benchmark.group = f"weights/k{k}"
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["rows"] = N_ROWS
    # The slowest peer takes 18 s a call.
    slow = "torch" in peer and k > 10
    benchmark.pedantic(weigh, given, rounds=2 if slow else 9, warmup_rounds=0 if slow else 1)
