"""The loss of a batch: the base loss, DROS and the teacher, each term one number per row.

The scores of all items are computed at most once a step and shared by every term that needs
them; the few items that a row names (target, negatives, the teacher's list) are scored by their
own dot products, so that no gradient has to be scattered into a rows x items matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dllm2rec.config import Config
from dllm2rec.distill.authors import authors_losses, authors_weights
from dllm2rec.distill.losses import (
    bce,
    dros,
    ranking_distillation,
    sampled_softmax,
    soft_target_cross_entropy,
)
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.errors import NonFiniteError
from dllm2rec.students import Student, add_window_offset_, in_window, score_items
from dllm2rec.train.batches import Batch


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the items of a batch, all of them or a few a row."""

    users: Tensor  # (B, D)
    items: Tensor  # (N, D)
    bias: Tensor | None  # (N,)
    window_offset: Tensor | None  # ()
    sequences: Tensor  # (B, L)

    def all_items(self) -> Tensor:
        """Score every item, (B, N)."""
        scores = F.linear(self.users, self.items, self.bias)
        if self.window_offset is None:
            return scores
        return add_window_offset_(scores, self.sequences, self.window_offset)

    def listed(self, index: Tensor) -> Tensor:
        """Score the listed items, (B, k)."""
        scores = score_items(self.users, self.items, self.bias, index)
        if self.window_offset is None:
            return scores
        return scores + self.window_offset * in_window(index, self.sequences)


def scorer(student: Student, sequences: Tensor, lengths: Tensor) -> Scorer:
    """Run the student over a batch; the item table is made once for both sides."""
    table = student.item_table()
    users = student.encode(sequences, lengths, table)
    items, bias = student.output_items(table)
    return Scorer(users, items, bias, student.window_offset, sequences)


def batch_terms(
    student: Student, batch: Batch, config: Config, propensity: Tensor
) -> dict[str, Tensor]:
    """Return the terms of the loss, already weighted, each (B,); their sum's mean is the loss.

    Args:
        student: in train mode.
        batch: B rows.
        config: which terms there are, and their weights.
        propensity: the item weights of DROS, (N,).
    """
    scored = scorer(student, batch.sequences, batch.lengths)
    if config.variant == "authors":
        return _authors_terms(scored.all_items(), batch, config, propensity)
    all_scores = scored.all_items() if _needs_all_scores(config) else None
    listed = scored.listed(_listed_items(batch))
    n_negatives = 0 if batch.negatives is None else batch.negatives.shape[1]
    target, negative, candidate = (
        listed[:, 0],
        listed[:, 1 : 1 + n_negatives],
        listed[:, 1 + n_negatives :],
    )
    terms = {"base": _base(config, batch, all_scores, target, negative, candidate)}
    if config.loss.dro_weight > 0:
        assert all_scores is not None  # noqa: S101 - for mypy
        terms["dro"] = config.loss.dro_weight * dros(
            all_scores, batch.targets, propensity, config.loss.dro_temperature
        )
    if batch.lists is not None and config.distillation.ranking_form == "importance":
        weight = _importance(config, batch, scored, all_scores)
        terms["ranking"] = _ranking_weight(config) * ranking_distillation(candidate, weight)
    return terms


def _ranking_weight(config: Config) -> float:
    """The one ranking weight of a training."""
    (weight,) = config.distillation.ranking_weights
    return weight


def _needs_all_scores(config: Config) -> bool:
    return config.loss.base == "softmax" or config.loss.dro_weight > 0


def _listed_items(batch: Batch) -> Tensor:
    """Target, negatives and the teacher's list side by side, (B, 1 + M + K)."""
    parts = [batch.targets[:, None]]
    if batch.negatives is not None:
        parts.append(batch.negatives)
    if batch.lists is not None:
        parts.append(batch.lists.items)
    return torch.cat(parts, dim=1)


def _base(
    config: Config,
    batch: Batch,
    all_scores: Tensor | None,
    target: Tensor,
    negative: Tensor,
    candidate: Tensor,
) -> Tensor:
    """The loss on interactions; a softmax takes the lists as soft targets if asked."""
    if config.loss.base == "bce":
        return bce(target, negative)
    if config.loss.base == "softmax":
        assert all_scores is not None  # noqa: S101 - for mypy
        log_normaliser = torch.logsumexp(all_scores, dim=1)
    else:
        assert batch.log_expected is not None  # noqa: S101 - for mypy
        loss = sampled_softmax(
            target, negative, torch.zeros_like(target), batch.log_expected[:, None]
        )
        log_normaliser = loss + target
    if batch.lists is None or config.distillation.ranking_form == "importance":
        return log_normaliser - target
    return soft_target_cross_entropy(
        log_normaliser, target, candidate, batch.lists.weight, _ranking_weight(config)
    )


def _importance(config: Config, batch: Batch, scored: Scorer, all_scores: Tensor | None) -> Tensor:
    """The blend of the three weights, (B, K): the static part plus the student's own top-K."""
    assert batch.lists is not None  # noqa: S101 - for mypy
    gamma = config.distillation.consistency_gamma
    if gamma == 0:
        return batch.lists.weight
    with torch.no_grad():
        scores = scored.all_items() if all_scores is None else all_scores.detach()
        try:
            agreed = consistency_from_scores(scores, batch.lists.items, config.distillation.top_k)
        except NonFiniteError:  # for the step to report, which knows the rows and the epoch
            return torch.full_like(batch.lists.weight, torch.nan)
        return batch.lists.weight + gamma * agreed * batch.lists.kept


def _authors_terms(
    scores: Tensor, batch: Batch, config: Config, propensity: Tensor
) -> dict[str, Tensor]:
    """The terms of the authors' code; a row's distillation depends on the rest of the batch."""
    assert batch.negatives is not None  # noqa: S101 - for mypy
    distillation = config.distillation
    if batch.lists is None:
        ranking = batch.targets.new_zeros(len(batch.targets), 0)
        weights = scores.new_zeros(len(batch.targets), 0)
    else:
        ranking = batch.lists.items
        weights = authors_weights(
            scores.detach(),
            ranking,
            batch.lists.weight,
            (
                distillation.position_gamma,
                distillation.confidence_gamma,
                distillation.consistency_gamma,
            ),
            distillation.position_temperature,
        ).blended
    losses = authors_losses(
        scores,
        batch.targets,
        batch.negatives[:, 0],
        ranking,
        weights,
        propensity,
        dro_weight=config.loss.dro_weight,
        dro_temperature=config.loss.dro_temperature,
    )
    terms = {"base": losses.base}
    if config.loss.dro_weight > 0:
        terms["dro"] = config.loss.dro_weight * losses.dros
    if batch.lists is not None:
        terms["ranking"] = _ranking_weight(config) * losses.distillation
    return terms
