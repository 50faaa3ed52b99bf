"""The loss of a training, chosen once: one object that makes a batch's terms.

FusedObjective: where a term reads the scores of all items, every term in one pass over them.
TorchObjective: the same terms step by step, for all other losses.
AuthorsObjective: that of the authors' code.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.distill.authors_objective import AuthorsObjective
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import backend_of
from dllm2rec.distill.choose_loss import list_meaning, term_spec
from dllm2rec.distill.fused_objective import FusedObjective
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.distill.torch_objective import TorchObjective
from dllm2rec.students import Student


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


def choose_objective(
    student: Student,
    config: Config,
    propensity: Tensor,
    in_softmax: Tensor | None,
    batch_size: int,
    *,
    has_lists: bool,
) -> Objective:
    """Choose what makes the terms that a configuration names.

    Args:
        student: on its device.
        config: of one ranking weight.
        propensity: the item weights of DROS, (N,), on that device.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        batch_size: the most rows of a batch.
        has_lists: whether batches have the teacher's lists.
    """
    seed, meaning = config.train.seed, list_meaning(config)
    if meaning == "authors' weight":
        buffers = StepBuffers.of(student, batch_size, seed, keeps_scores=False, picks_items=False)
        return AuthorsObjective(config, propensity, has_lists, buffers)
    spec = term_spec(config, student.n_items, has_lists=has_lists, device=propensity.device)
    is_fused = spec is not None
    buffers = StepBuffers.of(
        student, batch_size, seed, keeps_scores=is_fused, picks_items=not is_fused
    )
    if spec is not None:
        dro_slope = propensity / config.loss.dro_temperature
        backend = backend_of(propensity.device)
        return FusedObjective(spec, dro_slope, in_softmax, buffers, backend)
    return TorchObjective(
        config, propensity, in_softmax, has_lists and meaning == "weight", buffers
    )
