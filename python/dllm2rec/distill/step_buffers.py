"""What a training makes once for its steps, and which terms one pass over all scores computes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.distill.catalogue_loss import MAX_LISTED, MAX_SCORES
from dllm2rec.kernels.catalogue.terms import TermSpec
from dllm2rec.students import Student
from dllm2rec.students.fused_sasrec import can_fuse
from dllm2rec.students.item_scores import scatter_buffer_size

# Up to so many items of the catalogue for each that a row samples, all scores and their gradient
# (2 products) cost a GPU less than adding up the gradients of the sampled.
ITEMS_A_SAMPLE = 32


@dataclass(frozen=True, eq=False)
class StepBuffers:
    """What a training makes once for all its steps.

    Attributes:
        dro_slope: propensity over temperature, (N,).
        spec: what the one pass over all scores computes; None for the plain terms.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        buffer: memory for the scores on a CPU, flat, or None.
        noise: on CUDA, the number that the step's dropout is drawn from, int64 (); None where the
            student's own modules are used.
        scatter_buffer: on CUDA, zeros between steps, int64: `scatter_buffer_size` of them.
        side_stream: on CUDA, a second stream for the backward pass: small grids leave most of a
            GPU idle. Gradients are to be read only after `launch.join`.
    """

    dro_slope: Tensor
    spec: TermSpec | None
    in_softmax: Tensor | None = None
    buffer: Tensor | None = None
    noise: Tensor | None = None
    scatter_buffer: Tensor | None = None
    side_stream: torch.cuda.Stream | None = None

    @classmethod
    def of(
        cls,
        student: Student,
        config: Config,
        propensity: Tensor,
        in_softmax: Tensor | None,
        batch_size: int,
        *,
        has_lists: bool,
    ) -> StepBuffers:
        """Prepare for batches of at most this size."""
        slope = propensity / config.loss.dro_temperature
        device = propensity.device
        spec = term_spec(config, student.n_items, has_lists=has_lists, device=device)
        if device.type != "cuda":
            n_scores = batch_size * student.n_items
            buffer = propensity.new_empty(n_scores) if spec and n_scores <= MAX_SCORES else None
            return cls(slope, spec, in_softmax, buffer)
        scatter_buffer = None
        if can_fuse(student) or (spec is None and config.variant != "authors"):
            parts = (student.embedding.ids, student.output or student.embedding.ids)
            n = scatter_buffer_size(student.n_items, max(part.weight.shape[1] for part in parts))
            scatter_buffer = torch.zeros(n, dtype=torch.int64, device=device)
        if not can_fuse(student):
            return cls(slope, spec, in_softmax, scatter_buffer=scatter_buffer)
        # Seeds of different trainings are far apart, steps next to each other.
        noise = torch.tensor(config.train.seed % 2**31 << 32, dtype=torch.int64, device=device)
        side_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return cls(slope, spec, in_softmax, None, noise, scatter_buffer, side_stream)


def term_spec(
    config: Config, n_items: int, *, has_lists: bool, device: torch.device
) -> TermSpec | None:
    """What the one pass over all scores computes; None where the plain terms are for the loss."""
    loss, distillation = config.loss, config.distillation
    n_negatives = loss.n_negatives if loss.base == "bce" else 0
    n_listed = 1 + n_negatives + (distillation.top_k if has_lists else 0)
    if config.variant == "authors" or n_listed > MAX_LISTED:
        return None
    importance = distillation.ranking_form == "importance"
    ranks = has_lists and importance and distillation.consistency_gamma > 0
    needed = needs_all_scores(config)
    if device.type != "cpu":  # for its ranks alone a CPU makes the scores without their gradient
        needed = needed or ranks or _samples_densely(config, n_items)
    if not needed:
        return None
    soft = has_lists and not importance
    return TermSpec(
        base="bce" if loss.base == "bce" else "soft_targets" if soft else "softmax",
        n_negatives=n_negatives,
        dro_weight=loss.dro_weight,
        list_weight=single_ranking_weight(config) if has_lists else 0.0,
        has_ranking=has_lists and importance,
        consistency=distillation.consistency_gamma,
        top_k=distillation.top_k,
        n_sampled=loss.n_negatives if loss.base == "sampled_softmax" else 0,
    )


def _samples_densely(config: Config, n_items: int) -> bool:
    """Whether a sampled softmax names so many items that a GPU is faster with all scores."""
    n_scores = config.train.batch_size * n_items
    many = n_items <= ITEMS_A_SAMPLE * config.loss.n_negatives
    return config.loss.base == "sampled_softmax" and many and n_scores <= MAX_SCORES


def single_ranking_weight(config: Config) -> float:
    """The one ranking weight of a training."""
    (weight,) = config.distillation.ranking_weights
    return weight


def needs_all_scores(config: Config) -> bool:
    """Whether a term has a sum over the catalogue."""
    return config.loss.base == "softmax" or config.loss.dro_weight > 0
