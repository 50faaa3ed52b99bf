"""The loss of a training, chosen once: one object that makes a batch's terms.

FusedObjective: where a term reads the scores of all items, every term in one pass over them.
TorchObjective: the same terms step by step, for all other losses.
AuthorsObjective: that of the authors' code.
WithEmbeddingLoss: one of these, and a term by which item vectors tell the teacher's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dllm2rec.config.model import Config
from dllm2rec.distill.authors_objective import AuthorsObjective
from dllm2rec.distill.baselines.embedding_losses import loss_of_targets
from dllm2rec.distill.baselines.objective import list_loss
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import backend_of, catalogue_terms_of
from dllm2rec.distill.choose_loss import list_meaning, term_spec
from dllm2rec.distill.fused_objective import FusedObjective
from dllm2rec.distill.losses import list_alone
from dllm2rec.distill.sharded.objective import ShardedObjective
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.distill.torch_objective import TorchObjective
from dllm2rec.kernels.catalogue.terms import TermSpec
from dllm2rec.students import Student
from dllm2rec.students.fused_sasrec import can_fuse
from dllm2rec.students.sharded import is_sharded, own_items


class Objective(Protocol):
    """What a student is trained on."""

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""

    @property
    def buffers(self) -> StepBuffers:
        """What every step uses again."""

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """Compute the terms of B rows, already weighted: (n_terms, B).

        The loss is their sum over all terms and rows, divided by B: by the number of all rows,
        those without a target too, of which each term that is the target's is 0.

        Args:
            student: in train mode.
            batch: with lists of what `list_meaning` says, or without any in the whole training.
        """


@dataclass(frozen=True, eq=False)
class WithEmbeddingLoss:
    """An objective, and the teacher's vectors as one more term.

    Attributes:
        inner: makes the other terms.
        loss: what the student's vectors are put into, a part of the student.
        weight: of the term.
    """

    inner: Objective
    loss: nn.Module
    weight: float

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        return (*self.inner.names, "embedding")

    @property
    def buffers(self) -> StepBuffers:
        """What every step uses again."""
        return self.inner.buffers

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """As `Objective.terms`; a row without a target has no part in the new term."""
        of_targets = loss_of_targets(self.loss, student.embedding.ids, batch.targets)
        added = (self.weight * of_targets).unsqueeze(0)
        added = list_alone(added, ("embedding",), batch.has_target, share=0.0)
        return torch.cat([self.inner.terms(student, batch), added])


def choose_objective(
    student: Student,
    config: Config,
    propensity: Tensor,
    in_softmax: Tensor | None,
    batch_size: int,
    *,
    has_lists: bool,
    in_passes: bool = False,
    table_gradient: Tensor | None = None,
) -> Objective:
    """Choose what makes the terms that a configuration names.

    Args:
        student: on its device.
        config: of one ranking weight.
        propensity: the item weights of DROS, (N,), on that device.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        batch_size: the most rows of a batch.
        has_lists: whether batches have the teacher's lists.
        in_passes: whether batches have windows that several rows share.
        table_gradient: as in `FusedObjective`.
    """
    inner = _of_scores(
        student,
        config,
        propensity,
        in_softmax,
        batch_size,
        has_lists=has_lists,
        in_passes=in_passes,
        table_gradient=table_gradient,
    )
    if student.embedding_loss is None:
        return inner
    return WithEmbeddingLoss(inner, student.embedding_loss, config.distillation.embedding_weight)


def _of_scores(
    student: Student,
    config: Config,
    propensity: Tensor,
    in_softmax: Tensor | None,
    batch_size: int,
    *,
    has_lists: bool,
    in_passes: bool,
    table_gradient: Tensor | None,
) -> Objective:
    seed, meaning = config.train.seed, list_meaning(config)
    fuses = can_fuse(student) and not in_passes
    if meaning == "authors' weight":
        buffers = StepBuffers.of(
            student, batch_size, seed, fuses_encoder=fuses, keeps_scores=False, picks_items=False
        )
        return AuthorsObjective(config, propensity, has_lists, buffers)
    spec = term_spec(config, student.n_items, has_lists=has_lists, device=propensity.device)
    if is_sharded(student):
        return _sharded(student, config, propensity, in_softmax, spec)
    is_fused = spec is not None
    buffers = StepBuffers.of(
        student,
        batch_size,
        seed,
        fuses_encoder=fuses,
        keeps_scores=is_fused,
        picks_items=not is_fused,
    )
    if spec is not None:
        dro_slope = propensity / config.loss.dro_temperature
        terms = catalogue_terms_of(propensity.device, config.train.precision)
        return FusedObjective(spec, dro_slope, in_softmax, buffers, terms, table_gradient)
    has_ranking = has_lists and not config.distillation.takes_share
    other = list_loss(config, propensity) if has_ranking else None
    return TorchObjective(config, propensity, in_softmax, has_ranking, buffers, other)


def _sharded(
    student: Student,
    config: Config,
    propensity: Tensor,
    in_softmax: Tensor | None,
    spec: TermSpec | None,
) -> ShardedObjective:
    """The objective of a table in parts; what has none was refused before the run."""
    own = own_items(student.n_items)
    assert spec is not None  # noqa: S101 - for mypy
    return ShardedObjective(
        spec,
        propensity[own] / config.loss.dro_temperature,
        None if in_softmax is None else in_softmax[own],
        own,
        backend_of(propensity.device),
        StepBuffers(),
    )
