"""What a student learns from: pure functions of tensors, one number per row, (B,).

Each is finite for any scores whose squares are, and its gradient too; none adds with atomics, so
all are deterministic on CUDA. Scores are float32 or float64; half precision is for the caller to
widen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.students.window_offset import in_window


def bce(
    target_scores: Tensor,
    negative_scores: Tensor,
    weights: Tensor | None = None,
    *,
    target_weight: float = 1.0,
) -> Tensor:
    """Binary cross entropy of the target and M negatives: the sum of the 1 + M terms.

    -beta log sigmoid(s_t) - sum_j w_j log(1 - sigmoid(s_j)), as the paper writes it (beta = w = 1):
    the target weighs the same for any M, so M does not move the balance with the teacher's lists.
    With beta = 1 - t (1 - M / (N - 1)) it is gBCE (Petrov and Macdonald, RecSys 2023), which takes
    back that few of the N - 1 other items are drawn.

    Args:
        target_scores: (B,).
        negative_scores: (B, M).
        weights: w, (B, M), or None for 1.
        target_weight: beta.
    """
    terms = softplus(negative_scores)
    if weights is not None:
        terms = terms * weights
    return target_weight * softplus(-target_scores) + terms.sum(1)


def bpr(target_scores: Tensor, negative_scores: Tensor, weights: Tensor | None = None) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., UAI 2009): the target above each negative.

    The mean over the M negatives of -log sigmoid(s_t - s_j), so that M does not move the balance
    with the teacher's lists.

    Args:
        target_scores: (B,).
        negative_scores: (B, M).
        weights: of each negative in the mean, (B, M), or None for 1; some of each row above 0.
    """
    terms = softplus(negative_scores - target_scores.unsqueeze(1))
    if weights is None:
        return terms.mean(1)
    return (terms * weights).sum(1) / weights.sum(1)


def dros(scores: Tensor, targets: Tensor, propensity: Tensor, temperature: float) -> Tensor:
    """Distributionally robust squared error to 1 for the target and 0 for all other items.

    logsumexp_j z_j with z_j = p_j s_j^2 / beta, and z_t = p_t (s_t - 1)^2 / beta at the target: the
    authors' log(A - B + C) in a form that neither overflows nor cancels.

    Args:
        scores: over all items, (B, N), finite.
        targets: (B,) int64.
        propensity: `dros_propensity`, (N,), of the dtype of the scores.
        temperature: the paper's beta of DROS, > 0.
    """
    result: Tensor = _Dros.apply(scores, targets.unsqueeze(1), propensity / temperature)
    return result


class _Dros(torch.autograd.Function):
    """Saves the scores; exponents are made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401
        exponents = _dros_exponents(scores, targets, weight)
        ctx.save_for_backward(scores, targets, weight)
        return exponents.logsumexp(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        scores, targets, weight = ctx.saved_tensors
        # Not the exponential of what is above their logarithm: of large exponents float32 keeps
        # little of it, and these would not add up to 1.
        slope = _dros_exponents(scores, targets, weight).softmax(1)
        slope.mul_(2 * weight).mul_(grad.unsqueeze(1))
        at_target = slope.gather(1, targets) * (scores.gather(1, targets) - 1)
        return slope.mul_(scores).scatter_(1, targets, at_target), None, None


def _dros_exponents(scores: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """z: (B, N), a fresh tensor."""
    at_target = (scores.gather(1, targets) - 1).square() * weight[targets]
    return scores.square().mul_(weight).scatter_(1, targets, at_target)


def dros_propensity(target_counts: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weigh each item by its popularity as a target: p_j = ((n_j + 1) / sum_k (n_k + 1))^0.05.

    Computed in float64. Not normalised after the power, as the authors'.

    Args:
        target_counts: how often each item is a training target, (N,) whole numbers >= 0.
        dtype: of the result.

    Returns:
        (N,), each in 0..1.
    """
    share = (target_counts + 1).double()
    return (share / share.sum()).pow(0.05).to(dtype)


def sampled_softmax(
    target_scores: Tensor,
    negative_scores: Tensor,
    target_log_q: Tensor,
    negative_log_q: Tensor | float,
) -> Tensor:
    """Softmax cross entropy over the target and M sampled negatives, with the logQ correction.

    -log of e^(s_t - log q_t) / (e^(s_t - log q_t) + sum_j e^(s_j - log q_j)), q being how often an
    item is expected among the terms. Dividing by q makes the sum an unbiased estimate of the full
    denominator. The target is always there once: log q_t = 0. M negatives drawn uniformly from A
    allowed items: log q_j = log(M / A). What is never drawn and still belongs into the sum, such as
    the window's items, is given beside them with log q = 0; log q = inf leaves a place out. A
    negative is never the target, so there is no accidental hit to mask.

    Args:
        target_scores: (B,).
        negative_scores: (B, M).
        target_log_q: (B,).
        negative_log_q: (B, M), (B, 1) or a number.
    """
    target = target_scores - target_log_q
    terms = torch.cat([target.unsqueeze(1), negative_scores - negative_log_q], dim=1)
    return terms.logsumexp(1) - target


def ranking_distillation(candidate_scores: Tensor, weights: Tensor) -> Tensor:
    """Weighted -log sigmoid of the teacher's items: each is a soft positive, there is no negative.

    Args:
        candidate_scores: the student's scores of the teacher's K items, (B, K).
        weights: blended importance weights, (B, K); 0 drops an item.
    """
    return (weights * softplus(-candidate_scores)).sum(1)


def soft_target_probabilities(distance: Tensor, keep: Tensor, temperature: float) -> Tensor:
    """Turn the teacher's distances into probabilities: softmax(-d / tau) over the kept places.

    Args:
        distance: (B, K); what it holds at dropped places does not matter.
        keep: (B, K) bool; False for places without an item and for dropped items.
        temperature: tau, > 0.

    Returns:
        (B, K), each row summing to 1, or all 0 where the row keeps nothing.
    """
    logits = (-distance / temperature).masked_fill(~keep, -torch.inf)
    return logits.softmax(1).masked_fill(~keep, 0)


def soft_target_cross_entropy(
    log_normaliser: Tensor,
    target_scores: Tensor,
    candidate_scores: Tensor,
    candidate_probabilities: Tensor,
    share: float | Tensor,
) -> Tensor:
    """Cross entropy with (1 - share) of the target and share of the teacher's list.

    log Z - (1 - share) s_t - share sum_c q_c s_c. A row whose list is empty (all q = 0) learns from
    its target alone, as if share were 0.

    Args:
        log_normaliser: log Z = logsumexp of all scores (or its sampled estimate), (B,).
        target_scores: (B,).
        candidate_scores: (B, K); ignored, even if infinite, where q = 0.
        candidate_probabilities: q, `soft_target_probabilities`, (B, K).
        share: 0..1, of all rows or of each, (B,).
    """
    is_listed = candidate_probabilities > 0
    listed = candidate_probabilities * candidate_scores.masked_fill(~is_listed, 0)
    shares = share * is_listed.any(1).to(target_scores.dtype)
    return log_normaliser - torch.lerp(target_scores, listed.sum(1), shares)


def list_share(share: float, has_target: Tensor | None) -> float | Tensor:
    """The list's share of each row's soft targets: all of it where a row has no target.

    Args:
        share: of a row with a target.
        has_target: (B,) bool, or None where all rows have one.
    """
    if has_target is None:
        return share
    return torch.ones_like(has_target, dtype=torch.float32).masked_fill(has_target, share)


def list_alone(
    terms: Tensor, names: Sequence[str], has_target: Tensor | None, share: float
) -> Tensor:
    """Leave to rows without a target what their list teaches, at the weight it has in other rows.

    The base loss of such a row counts `share` times: with soft targets it is that of its list
    alone, which is `share` of what a row with a target learns from; without them it is the target's
    and counts 0 times. DROS is the target's. The ranking term is the list's already.

    Args:
        terms: as `Objective.terms`, (n_terms, B).
        names: of the terms: "base", "dro", "ranking", "embedding".
        has_target: (B,) bool, or None where all rows have one.
        share: the list's share of the soft targets; 0 where the base loss has none.
    """
    if has_target is None:
        return terms
    weights = {"base": share, "dro": 0.0, "ranking": 1.0, "embedding": 0.0}
    rows = zip(names, terms, strict=True)
    return torch.stack([torch.where(has_target, row, weights[name] * row) for name, row in rows])


def window_keep(ranking: Tensor, sequences: Tensor) -> Tensor:
    """Mark the teacher's items that are not in the row's window.

    Args:
        ranking: the teacher's lists, (B, K) int64.
        sequences: windows, (B, L) int64.

    Returns:
        (B, K) bool.
    """
    return ~in_window(ranking, sequences)


def softplus(values: Tensor) -> Tensor:
    """log(1 + e^x), exact at both ends (torch's softplus cuts the tail off above 20)."""
    return -F.logsigmoid(-values)
