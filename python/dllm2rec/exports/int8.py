"""Eight bits instead of 32: how numbers are rounded, and what that costs in lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dllm2rec.serve.encoder import FloatMatrix, Windows
from dllm2rec.serve.scorer import ItemScorer

_LARGEST = 127
LISTED = 20  # places of the lists that are compared


def rounded_rows(table: FloatMatrix) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round each row to whole numbers in -127..127, (N, D), times a scale of its own, (N,)."""
    scales = (np.abs(table).max(axis=1) / _LARGEST).astype(np.float32)
    steps = table / np.where(scales > 0, scales, np.float32(1))[:, None]
    return np.rint(steps).astype(np.int8), scales


def full_rows(rows: npt.NDArray[np.int8], scales: npt.NDArray[np.float32]) -> FloatMatrix:
    """The float32 rows that rounded ones stand for."""
    full: FloatMatrix = rows * scales[:, None]
    return full


@dataclass(frozen=True)
class Probe:
    """Windows to compare lists on, and what came after them, where that is known."""

    windows: Windows
    targets: npt.NDArray[np.uint32] | None


def random_probe(n_items: int, max_length: int, n_rows: int = 1000) -> Probe:
    """Windows of items drawn at random, the same at each call."""
    rng = np.random.default_rng(0)
    sequences = rng.integers(0, n_items, (n_rows, max_length), dtype=np.uint32)
    lengths = rng.integers(1, max_length + 1, n_rows, dtype=np.uint32)
    sequences[np.arange(max_length) >= lengths[:, None]] = n_items
    return Probe(Windows(sequences, lengths), None)


def loss_of(full: ItemScorer, rounded: ItemScorer, probe: Probe) -> dict[str, float]:
    """What rounding costs.

    Returns:
        `kept@20`, the share of the places of the lists that both have; where targets are known also
        HR@20 and NDCG@20 of both, `hr@20`, `hr@20 int8` and so on.
    """
    k = min(LISTED, full.n_items)
    before, after = (_lists(scorer, probe.windows, k) for scorer in (full, rounded))
    n_kept = sum(len({*a} & {*b}) for a, b in zip(before.tolist(), after.tolist(), strict=True))
    found = {f"kept@{LISTED}": n_kept / before.size}
    if probe.targets is not None:
        for name, lists in (("", before), (" int8", after)):
            hits = lists == probe.targets[:, None]
            gains = 1 / np.log2(np.arange(2, k + 2))
            found[f"hr@{LISTED}{name}"] = float(hits.any(1).mean())
            found[f"ndcg@{LISTED}{name}"] = float((hits @ gains).mean())
    return found


def _lists(scorer: ItemScorer, windows: Windows, k: int) -> npt.NDArray[np.uint32]:
    listed = windows.lists(), scorer.window_offset
    users, bonuses = scorer.users(windows), scorer.bonuses(windows)
    return scorer.encoder.top_n(users, k, scorer.items.bias, listed, bonuses)[0]
