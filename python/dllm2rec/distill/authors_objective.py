"""The objective of the authors' code, its departures from the paper kept, in a stable form.

    paper:         L = base + lambda_d sum_k w_k softplus(-s_k), w not normalised per row
    authors' code: what `authors_losses` computes. Per candidate it also pushes the sampled negative
                   down, through -log sigmoid(1 - s_n) instead of -log sigmoid(-s_n); it adds the
                   robust loss with that candidate as the only positive, weighed by the batch means
                   of weight and loss; confidence is each candidate's own distance, not the true
                   item's; and weights sum to 1 in each row.

For parity with their figures, not a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.choose_loss import single_ranking_weight
from dllm2rec.distill.losses import bce, softplus
from dllm2rec.distill.scorer import scorer_of
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.students import Student

EPSILON = 1e-8  # added to the consistency weight, as `candidate_confidence` adds it to the others


@dataclass(frozen=True, eq=False)
class AuthorsObjective:
    """The terms of the authors' code; a row's distillation depends on the rest of the batch.

    Attributes:
        config: of `variant = "authors"` and one ranking weight.
        propensity: the item weights of DROS, (N,).
        has_lists: whether batches have the teacher's lists.
        buffers: what every step uses again.
    """

    config: Config
    propensity: Tensor
    has_lists: bool
    buffers: StepBuffers

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        dro = ("dro",) if self.config.loss.dro_weight > 0 else ()
        return ("base", *dro, *(("ranking",) if self.has_lists else ()))

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """As `Objective.terms`."""
        loss = self.config.loss
        scores = scorer_of(student, batch, self.buffers).all_items()
        losses = authors_losses(
            scores,
            batch.targets,
            batch.listed[:, 1],  # the one negative stands behind the target, before the list
            batch.listed[:, 2:],
            self._weights(scores, batch),
            self.propensity,
            dro_weight=loss.dro_weight,
            dro_temperature=loss.dro_temperature,
        )
        terms = [losses.base]
        if loss.dro_weight > 0:
            terms.append(loss.dro_weight * losses.dros)
        if self.has_lists:
            terms.append(single_ranking_weight(self.config) * losses.distillation)
        return torch.stack(terms)

    def _weights(self, scores: Tensor, batch: Batch) -> Tensor:
        """The blend of the three weights, (B, K)."""
        if batch.lists is None:
            return scores.new_zeros(len(batch.targets), 0)
        gamma = self.config.distillation.consistency_gamma
        return authors_weights(scores, batch.lists.items, batch.lists.weight, gamma)


class AuthorsLosses(NamedTuple):
    """The terms per row, (B,); the authors' figures are their means over the batch.

    A row of `distillation` depends on the batch through the mean weights of the robust part.
    """

    base: Tensor
    dros: Tensor
    distillation: Tensor

    def total(self, dro_weight: float, ranking_weight: float) -> Tensor:
        """Base + alpha dros + lambda distillation, (B,); its mean is the authors' loss."""
        return self.base + dro_weight * self.dros + ranking_weight * self.distillation


def authors_weights(
    scores: Tensor, ranking: Tensor, static: Tensor, consistency_gamma: float
) -> Tensor:
    """Weigh the teacher's K items as the authors' code does: (B, K), rows summing to 1.

    Args:
        scores: the student's, over all items, (B, N); no gradient passes.
        ranking: the teacher's items, best first, (B, K) int64.
        static: position and confidence weights, each times its gamma, (B, K).
        consistency_gamma: of whether the item is among the student's K best; not 0 if all of
            `static` is.
    """
    agreed = consistency_from_scores(scores, ranking, ranking.shape[1]).to(scores.dtype)
    blended = static + consistency_gamma * (agreed + EPSILON)
    return blended / blended.sum(1, keepdim=True)


def authors_losses(
    scores: Tensor,
    targets: Tensor,
    negatives: Tensor,
    ranking: Tensor,
    weights: Tensor,
    propensity: Tensor,
    *,
    dro_weight: float,
    dro_temperature: float,
) -> AuthorsLosses:
    """Compute the base loss, DROS and the distillation term of the authors' code, per row.

    Args:
        scores: over all items, (B, N).
        targets: (B,) int64.
        negatives: one sampled item per row, (B,) int64.
        ranking: the teacher's K items, distinct in each row, (B, K) int64.
        weights: `authors_weights`, (B, K).
        propensity: `dros_propensity`, (N,).
        dro_weight: alpha; at 0 the robust parts are not computed, and `dros` is 0.
        dro_temperature: beta.
    """
    negative_scores = scores.gather(1, negatives.unsqueeze(1))
    # authors' code: the mean over targets and negatives, half of the paper's sum
    base = bce(scores.gather(1, targets.unsqueeze(1)).squeeze(1), negative_scores) / 2
    listed = scores.gather(1, ranking)
    # authors' code: 1 - score where 1 - sigmoid(score) is meant, once for every candidate
    pairs = softplus(-listed) + softplus(negative_scores - 1)
    distillation = (weights * pairs).sum(1)
    if dro_weight == 0:
        return AuthorsLosses(base, torch.zeros_like(base), distillation)
    # The target may be listed too. Twice is harmless to a gather's backward pass on CUDA: a sum of
    # two does not depend on their order.
    positives = torch.cat([targets.unsqueeze(1), ranking], dim=1)
    robust = dros_of_each(scores, positives, propensity, dro_temperature)
    # authors' code: a (B, 1) weight times a (B,) loss is (B, B), and its mean the product of means
    distillation = distillation + dro_weight * (weights.mean(0) * robust[:, 1:]).sum(1)
    return AuthorsLosses(base, robust[:, 0], distillation)


def dros_of_each(
    scores: Tensor, positives: Tensor, propensity: Tensor, temperature: float
) -> Tensor:
    """DROS with each of P items in turn as the only positive, in two passes over the catalogue.

    The sum over all other items is the whole sum less the positive's own term. Where that term is
    the largest of all, the difference would cancel: the sum without the largest is kept as well.
    Any other term is at most half of the whole.

    Args:
        scores: (B, N).
        positives: (B, P) int64.
        propensity: (N,).
        temperature: beta, > 0.

    Returns:
        (B, P).
    """
    weight = propensity.to(scores.dtype) / temperature
    exponents = scores.square() * weight
    largest = exponents.argmax(1, keepdim=True)
    shift = exponents.amax(1, keepdim=True).detach()
    terms = (exponents - shift).exp()
    without_largest = _log_sum_exp(exponents.scatter(1, largest, -torch.inf))
    is_largest = positives == largest
    # 0 where the other branch is taken, so that what is left is at least the largest term, 1, and
    # the gradient of the branch not taken is finite
    replaced_terms = terms.gather(1, positives).masked_fill(is_largest, 0)
    rest = shift + (terms.sum(1, keepdim=True) - replaced_terms).log()
    others = torch.where(is_largest, without_largest, rest)
    replaced = (scores.gather(1, positives) - 1).square() * weight[positives]
    return torch.logaddexp(others, replaced)


def _log_sum_exp(values: Tensor) -> Tensor:
    """Over each row, (B, 1), with a gradient that adds up to 1 however large the values are."""
    highest = values.amax(1, keepdim=True).detach()
    return highest + (values - highest).exp().sum(1, keepdim=True).log()
