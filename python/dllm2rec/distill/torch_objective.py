"""The same terms step by step in torch: for the losses that one pass over all scores lacks.

The few items that a row names (target, negatives, the teacher's list) are scored by their own dot
products; all items only where a term has a sum over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.distill.baselines.objective import ListLoss
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.choose_loss import needs_all_scores, single_ranking_weight, weighs_window
from dllm2rec.distill.losses import (
    bce,
    bpr,
    dros,
    list_alone,
    list_share,
    ranking_distillation,
    sampled_softmax,
    soft_target_cross_entropy,
)
from dllm2rec.distill.scorer import Scorer, scorer_of
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.distill.teacher_lists import TeacherLists
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.errors import NonFiniteError
from dllm2rec.students import Student
from dllm2rec.students.window_offset import window_items


@dataclass(frozen=True, eq=False)
class TorchObjective:
    """Each term by torch's own operations.

    Attributes:
        config: of one ranking weight.
        propensity: the item weights of DROS, (N,).
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        has_ranking: whether the lists are a term of their own.
        buffers: what every step uses again.
        list_loss: what makes that term; None for the paper's, with importance weights.
    """

    config: Config
    propensity: Tensor
    in_softmax: Tensor | None
    has_ranking: bool
    buffers: StepBuffers
    list_loss: ListLoss | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        dro = ("dro",) if self.config.loss.dro_weight > 0 else ()
        return ("base", *dro, *(("ranking",) if self.has_ranking else ()))

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """As `Objective.terms`."""
        scored = scorer_of(student, batch, self.buffers)
        if needs_all_scores(self.config) or self.list_loss is not None:
            _ = scored.all_scores  # with its gradient, though the weights below ask without one
        listed, window = batch.listed, self._window(batch)
        if window is not None:
            listed = torch.cat([listed, window.clamp(min=0)], dim=1)
        n_negatives = 0 if batch.negatives is None else batch.negatives.shape[1]
        ends = (1, 1 + n_negatives, batch.listed.shape[1])
        target, negative, candidate, met = scored.listed(listed).tensor_split(ends, dim=1)
        if window is not None:
            negative = torch.cat([negative, met], dim=1)
        terms = [self._base(batch, scored, target.squeeze(1), negative, candidate, window)]
        loss = self.config.loss
        if loss.dro_weight > 0:
            robust = dros(scored.all_scores, batch.targets, self.propensity, loss.dro_temperature)
            terms.append(loss.dro_weight * robust)
        if batch.lists is not None and self.has_ranking:
            if self.list_loss is None:
                weight = self._importance(batch.lists, scored)
                ranking = ranking_distillation(candidate, weight)
            else:
                ranking = self.list_loss(scored.all_scores, batch.lists)
            terms.append(single_ranking_weight(self.config) * ranking)
        is_soft = (
            not loss.takes_negatives_singly and batch.lists is not None and not self.has_ranking
        )
        share = single_ranking_weight(self.config) if is_soft else 0.0
        return list_alone(torch.stack(terms), self.names, batch.has_target, share)

    def _window(self, batch: Batch) -> Tensor | None:
        """The window's items that stand among the negatives, (B, L), -1 at places without one."""
        if not weighs_window(self.config):
            return None
        return window_items(batch.sequences, batch.targets, len(self.propensity))

    def _base(
        self,
        batch: Batch,
        scored: Scorer,
        target: Tensor,
        negative: Tensor,
        candidate: Tensor,
        window: Tensor | None,
    ) -> Tensor:
        """The loss on interactions; a softmax takes the lists as soft targets if asked.

        `negative` holds the scores of the drawn items, then of `window` where there is one.
        """
        loss = self.config.loss
        if loss.takes_negatives_singly:
            weights = _negative_weights(batch, window)
            if loss.base == "bpr":
                return bpr(target, negative, weights)
            sampled = loss.n_negatives / (len(self.propensity) - 1)
            calibration = loss.calibration if loss.base == "gbce" else 0.0
            return bce(target, negative, weights, target_weight=1 - calibration * (1 - sampled))
        if batch.log_expected is None:
            counted = scored.all_scores
            if self.in_softmax is not None:
                counted = counted.masked_fill(~self.in_softmax, -torch.inf)
            log_normaliser = torch.logsumexp(counted, dim=1)
        else:
            log_q = torch.zeros_like(target), _negative_log_q(batch, window)
            log_normaliser = sampled_softmax(target, negative, *log_q) + target
        if batch.lists is None or self.has_ranking:
            return log_normaliser - target
        share = list_share(single_ranking_weight(self.config), batch.has_target)
        return soft_target_cross_entropy(
            log_normaliser, target, candidate, batch.lists.probability, share
        )

    @torch.no_grad()
    def _importance(self, lists: TeacherLists, scored: Scorer) -> Tensor:
        """The blend of the three weights, (B, K): the static part plus the student's own top-K."""
        distillation = self.config.distillation
        gamma = distillation.consistency_gamma
        if gamma == 0:
            return lists.weight
        try:
            scores = scored.all_scores.detach()
            agreed = consistency_from_scores(scores, lists.items, distillation.top_k)
        except NonFiniteError:  # for the step to report, which knows the rows and the epoch
            return torch.full_like(lists.weight, torch.nan)
        return lists.weight + gamma * agreed * lists.kept


def _negative_weights(batch: Batch, window: Tensor | None) -> Tensor | None:
    """1 for a drawn item; for one of the window as often as an item outside it is drawn."""
    if window is None or batch.negatives is None or batch.log_expected is None:
        return None
    expected = batch.log_expected.exp()[:, None]
    return torch.cat([torch.ones_like(batch.negatives) * 1.0, expected * (window >= 0)], dim=1)


def _negative_log_q(batch: Batch, window: Tensor | None) -> Tensor:
    """How often each place stands for an item of the catalogue, as a logarithm, (B, M + L)."""
    assert batch.log_expected is not None  # noqa: S101 - for mypy
    assert batch.negatives is not None  # noqa: S101 - for mypy
    assert window is not None  # noqa: S101 - for mypy
    drawn = batch.log_expected[:, None].expand(-1, batch.negatives.shape[1])
    return torch.cat([drawn, torch.where(window >= 0, 0.0, torch.inf).to(drawn)], dim=1)
