"""The weights of the teacher's items in the distillation loss: three of them, and their blend.

Position and confidence depend on the teacher alone and are computed once for all rows. The
consistency weight needs the student's current scores: once a batch, on the scores' device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec import _core
from dllm2rec.arrays import UINT32_MAX, float_array, item_indices
from dllm2rec.errors import InputError

Weights = npt.NDArray[np.float32]


def position_weight(k: int, temperature: float = 1.0) -> Weights:
    """Weigh the teacher's items by their place in its list.

    w[r] = exp(-r / temperature) / sum_j exp(-j / temperature), for ranks r = 1..k.

    Args:
        k: length of the list, at least 1.
        temperature: the paper's beta, at least 0.001; the larger, the flatter.

    Returns:
        Weights, (k,), summing to 1.

    Raises:
        InputError: `k` or `temperature` is out of range.
    """
    return _core.position_weight(_count(k, "k"), temperature)


def sequence_confidence(target_distance: npt.ArrayLike, temperature: float, k: int) -> Weights:
    """Weigh each row by how close the teacher's generation came to the true next item (the paper).

    w[b] = exp(-d[b] / temperature) / mean_c exp(-d[c] / temperature) / k. All rows must be given
    at once, since the mean is over them.

    Args:
        target_distance: distance of the generation to the true next item, (R,), finite, >= 0.
        temperature: at least 0.001; 0.2 suits unit vectors.
        k: length of the teacher's lists, at least 1.

    Returns:
        Weights, (R,), with mean 1/k. The same bits for any number of threads.

    Raises:
        InputError: a distance is negative, or `k` or `temperature` is out of range.
        NonFiniteError: a distance is NaN or infinite; the message names the row.
    """
    distance = _float32(target_distance, "target_distance", ndim=1)
    return _core.sequence_confidence(distance, temperature, _count(k, "k"))


def candidate_confidence(distance: npt.ArrayLike) -> Weights:
    """Weigh the teacher's K items by their own distance, per row (the authors' variant).

    w[b, k] = (exp(-d[b, k]) + 1e-8) / sum_j (exp(-d[b, j]) + 1e-8). Distances above 18 all weigh
    the same: the authors' 1e-8 drowns them.

    Args:
        distance: distance of the generation to each listed item, (R, K), finite, >= 0.

    Returns:
        Weights, (R, K), each row summing to 1.

    Raises:
        InputError: a distance is negative; the message names row and column.
        NonFiniteError: a distance is NaN or infinite; the message names row and column.
    """
    return _core.candidate_confidence(_float32(distance, "distance", ndim=2))


def blend_weights(
    position: npt.ArrayLike,
    confidence: npt.ArrayLike,
    consistency: npt.ArrayLike | None,
    gammas: tuple[float, float, float],
    *,
    normalise: bool = False,
) -> Weights:
    """Add the three weights, each times its gamma.

    Args:
        position: (K,), as of `position_weight`.
        confidence: (R,), one number per row (the paper), or (R, K), one per item (the authors).
        consistency: (R, K); without it its term is left out.
        gammas: of position, confidence and consistency; none negative, not all 0.
        normalise: scale each row to sum to 1 (the authors). A row that sums to 0 becomes 1/K
            each, as the 1e-8 in the authors' consistency weight would make it.

    Returns:
        Weights, (R, K).

    Raises:
        InputError: shapes do not fit, a weight or gamma is negative, or all gammas are 0.
        NonFiniteError: a weight is NaN or infinite; the message names row and column.
    """
    return _core.blend_weights(
        _float32(position, "position", ndim=1),
        _confidence(confidence),
        None if consistency is None else _float32(consistency, "consistency", ndim=2),
        gammas,
        normalise,
    )


def blend_distances(
    position: npt.ArrayLike, distance: npt.ArrayLike, gammas: tuple[float, float, float]
) -> Weights:
    """Add position and the confidence of the distances, each times its gamma.

    The bits of `candidate_confidence` and then `blend_weights`, in one pass.

    Args:
        position: (K,), as of `position_weight`.
        distance: as of `candidate_confidence`, (R, K).
        gammas: of position, confidence and consistency, whose term is left out.

    Returns:
        Weights, (R, K).

    Raises:
        InputError: shapes do not fit, a distance or gamma is negative, or all gammas are 0.
        NonFiniteError: a distance is NaN or infinite; the message names row and column.
    """
    return _core.blend_distances(
        _float32(position, "position", ndim=1), _float32(distance, "distance", ndim=2), gammas
    )


def consistency_from_scores(scores: Tensor, ranking: Tensor, k: int) -> Tensor:
    """Mark the teacher's items that are among the student's k best, from its scores.

    Best is the higher score, then the lower index; an item of score -inf is no candidate. No list
    is compared with a list: the k-th best score decides, and among the items that share it, their
    order. Float32 scores on the CPU are counted by the Rust kernel, which refuses NaN and +inf and
    items outside the catalogue. Elsewhere there is no synchronisation with the host and no shape
    that depends on data, so that it runs inside a CUDA graph; there NaN is for the loss to find.

    Args:
        scores: the student's scores, (B, N); no gradient flows through.
        ranking: the teacher's items, int64 (B, K), each in 0..N-1.
        k: length of the student's list, 1..N.

    Returns:
        1 where the item is among the k best of its row, else 0, float32 (B, K), on `scores.device`.

    Raises:
        InputError: shapes do not fit or `k` is out of range; on the CPU also an item out of range.
        NonFiniteError: on the CPU, a score is NaN or +inf; the message names row and item.
    """
    if scores.ndim != 2 or ranking.ndim != 2 or len(scores) != len(ranking):
        raise InputError(
            f"scores {tuple(scores.shape)}, ranking {tuple(ranking.shape)}: expected (B, N), (B, K)"
        )
    if not 1 <= k <= scores.shape[1]:
        raise InputError(f"k = {k}, expected 1 to the number of items, {scores.shape[1]}")
    scores = scores.detach()
    if scores.device.type == "cpu" and scores.dtype == torch.float32:
        items = item_indices(ranking.numpy(), "ranking", scores.shape[1])
        weights = _core.consistency_from_scores(scores.contiguous().numpy(), items, k)
        return torch.from_numpy(weights)
    return consistency_on_device(scores, ranking, k)


def consistency_on_device(scores: Tensor, ranking: Tensor, k: int) -> Tensor:
    """As `consistency_from_scores`, in torch: for a GPU, and for scores that are not float32."""
    lowest = torch.topk(scores, k, dim=1).values[:, -1:]  # (B, 1), the k-th best score
    ties = scores == lowest  # (B, N)
    n_better = (scores > lowest).sum(1, keepdim=True, dtype=torch.int32)  # (B, 1), below k
    tie_number = ties.cumsum(1, dtype=torch.int32).gather(1, ranking)  # (B, K), from 1
    listed_scores = scores.gather(1, ranking)  # (B, K)
    wins_tie = (listed_scores == lowest) & (n_better + tie_number <= k)
    is_among_best = (listed_scores > lowest) | wins_tie
    return (is_among_best & (listed_scores > -torch.inf)).float()


def _count(value: int, name: str) -> int:
    if value < 1:
        raise InputError(f"{name} = {value}, expected at least 1")
    if value > UINT32_MAX:
        raise InputError(
            f"{name} = {value}, expected at most {UINT32_MAX}: there are no more items"
        )
    return value


def _float32(values: npt.ArrayLike, name: str, *, ndim: int) -> Weights:
    array = float_array(values, name, ndim=ndim)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused as that
        return array.astype(np.float32, copy=False)


def _confidence(values: npt.ArrayLike) -> Weights:
    return _float32(values, "confidence", ndim=1 if np.ndim(values) == 1 else 2)
