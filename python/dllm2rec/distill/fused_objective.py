"""The terms that read the scores of all items, from one pass over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import CatalogueTerms
from dllm2rec.distill.losses import list_alone, list_share
from dllm2rec.distill.scorer import Scorer, scorer_of
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.students import Student
from dllm2rec.students.window_offset import window_items


@dataclass(frozen=True, eq=False)
class FusedObjective:
    """Every term by `catalogue_terms`.

    Attributes:
        spec: which terms there are.
        dro_slope: propensity over temperature, (N,).
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        buffers: what every step uses again.
        catalogue_terms: the pass over all items, for the device.
        table_gradient: where the optimizer reads the gradient of the items' own vectors, or None:
            a large one is then made there and not copied.
    """

    spec: TermSpec
    dro_slope: Tensor
    in_softmax: Tensor | None
    buffers: StepBuffers
    catalogue_terms: CatalogueTerms
    table_gradient: Tensor | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        return self.spec.names

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """As `Objective.terms`."""
        scored = scorer_of(student, batch, self.buffers)
        terms = self.catalogue_terms(
            scored.users,
            scored.items,
            scored.bias,
            scored.window_offset,
            self._inputs(batch, student, scored),
            self.spec,
        )
        share = self.spec.list_weight if self.spec.base == "soft_targets" else 0.0
        return list_alone(terms, self.names, batch.has_target, share)

    def _memory_for(self, items: Tensor, student: Student) -> Tensor | None:
        """Where the gradient of the scored vectors is made, if they are the items' own."""
        own = student.embedding.ids.weight
        is_own = items.data_ptr() == own.data_ptr() and items.shape == own.shape
        return self.table_gradient if is_own else None

    def _inputs(self, batch: Batch, student: Student, scored: Scorer) -> TermInputs:
        none = self.dro_slope.new_zeros(len(batch.targets), 0)
        listed, sampled = batch.listed, None
        if self.spec.n_sampled > 0 and batch.negatives is not None:
            window = window_items(batch.sequences, batch.targets, student.n_items)
            sampled = torch.cat([batch.negatives, window], dim=1)
            listed = torch.cat([listed[:, :1], listed[:, 1 + self.spec.n_sampled :]], dim=1)
        share = list_share(self.spec.list_weight, batch.has_target)
        return TermInputs(
            items=listed,
            weight=none if batch.lists is None else batch.lists.values,
            kept=none if batch.lists is None else batch.lists.kept,
            windows=batch.sequences,
            dro_slope=self.dro_slope,
            in_softmax=self.in_softmax,
            n_items=student.n_items,
            share=share if isinstance(share, Tensor) else None,
            sampled=sampled,
            log_expected=None if sampled is None else batch.log_expected,
            buffer=self.buffers.scores,
            to_matrix=self._memory_for(scored.items, student),
            side_stream=scored.side_stream,
        )
