"""The weights, one row and one item at a time, in float64."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def position_weight(k: int, temperature: float) -> Array:
    weights = [math.exp(-(rank - 1) / temperature) for rank in range(1, k + 1)]
    return np.array([weight / math.fsum(weights) for weight in weights])


def sequence_confidence(target_distance: npt.NDArray, temperature: float, k: int) -> Array:
    distances = [float(distance) for distance in target_distance]
    weights = [math.exp(-(distance - min(distances)) / temperature) for distance in distances]
    mean = math.fsum(weights) / max(len(weights), 1)
    return np.array([weight / mean / k for weight in weights])


def candidate_confidence(distance: npt.NDArray) -> Array:
    out = np.zeros(distance.shape)
    for b, row in enumerate(distance):
        weights = [math.exp(-float(d)) + 1e-8 for d in row]
        total = math.fsum(weights)
        out[b] = [weight / total for weight in weights]
    return out


def top_items(scores: npt.NDArray, k: int) -> list[int]:
    """The k best candidates of one row: score descending, then index ascending."""
    candidates = [item for item in range(len(scores)) if scores[item] > -math.inf]
    return sorted(candidates, key=lambda item: (-float(scores[item]), item))[:k]


def consistency_from_scores(scores: npt.NDArray, ranking: npt.NDArray, k: int) -> Array:
    out = np.zeros(ranking.shape)
    for b, row in enumerate(ranking):
        best = top_items(scores[b], k)
        out[b] = [float(item in best) for item in row.tolist()]
    return out


def blend_weights(
    position: npt.NDArray,
    confidence: npt.NDArray,
    consistency: npt.NDArray | None,
    gammas: tuple[float, float, float],
    normalise: bool,
) -> Array:
    out = np.zeros((len(confidence), len(position)))
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            own = confidence[b] if confidence.ndim == 1 else confidence[b, k]
            out[b, k] = gammas[0] * float(position[k]) + gammas[1] * float(own)
            if consistency is not None:
                out[b, k] += gammas[2] * float(consistency[b, k])
        if normalise:
            total = math.fsum(out[b])
            out[b] = out[b] / total if total > 0 else 1 / out.shape[1]
    return out
