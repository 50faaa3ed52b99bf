"""The loss of a batch: the base loss, DROS and the teacher, each term one number per row.

Where a term reads the scores of all items, `catalogue_terms` makes every term in one pass over
them. Elsewhere the few items that a row names (target, negatives, the teacher's list) are scored by
their own dot products.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dllm2rec.config.model import Config
from dllm2rec.distill.authors_objective import authors_losses, authors_weights
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import catalogue_terms
from dllm2rec.distill.losses import (
    bce,
    dros,
    ranking_distillation,
    sampled_softmax,
    soft_target_cross_entropy,
)
from dllm2rec.distill.step_buffers import (
    StepBuffers,
    needs_all_scores,
    single_ranking_weight,
    term_spec,
)
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.errors import NonFiniteError
from dllm2rec.kernels.catalogue.terms import TermInputs
from dllm2rec.students import Student, add_window_offset_, in_window, score_items
from dllm2rec.students.fused_sasrec import encode_fused


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the items of a batch, all of them or a few a row."""

    users: Tensor  # (B, D)
    items: Tensor  # (N, D), or with the padding's row after them
    bias: Tensor | None  # (N,)
    window_offset: Tensor | None  # ()
    sequences: Tensor  # (B, L)
    n_items: int
    scatter_buffer: Tensor | None = None  # memory that `listed` adds in
    side_stream: torch.cuda.Stream | None = None  # where `items` and `bias` may get their gradients

    def all_items(self) -> Tensor:
        """Score every item, (B, N)."""
        items = self.items[: self.n_items]
        scores = F.linear(self.users, items, self.bias)
        if self.window_offset is None:
            return scores
        return add_window_offset_(scores, self.sequences, self.window_offset)

    def listed(self, index: Tensor) -> Tensor:
        """Score the listed items, (B, k)."""
        scores = score_items(self.users, self.items, self.bias, index, self.scatter_buffer)
        if self.window_offset is None:
            return scores
        return scores + self.window_offset * in_window(index, self.sequences)


def scorer(student: Student, sequences: Tensor, lengths: Tensor, buffers: StepBuffers) -> Scorer:
    """Run the student over a batch; the item table is made once for both sides."""
    table = student.item_table()
    if buffers.noise is None or buffers.scatter_buffer is None:
        users = student.encode(sequences, lengths, table)
    else:
        rows = student.embedding.id_rows() if table is None else table
        users, rows = encode_fused(
            student,
            rows,
            sequences,
            lengths,
            buffers.noise,
            buffers.scatter_buffer,
            buffers.side_stream,
        )
        shares = student.output is None and (table is None or student.sides == "both")
        table = rows if shares else table
    if table is not None and student.output is None and student.sides == "both":
        # The padding's row is passed along: cutting it off would copy the gradient of the rest.
        return Scorer(
            users,
            table,
            student.bias,
            student.window_offset,
            sequences,
            student.n_items,
            buffers.scatter_buffer,
            buffers.side_stream,  # the encoder's way back waits for the table's gradient
        )
    items, bias = student.output_items(table)
    return Scorer(
        users,
        items,
        bias,
        student.window_offset,
        sequences,
        student.n_items,
        buffers.scatter_buffer,
    )


def batch_terms(
    student: Student,
    batch: Batch,
    config: Config,
    propensity: Tensor,
    buffers: StepBuffers | None = None,
) -> dict[str, Tensor]:
    """Return the terms of the loss, already weighted, each (B,); their sum's mean is the loss.

    Args:
        student: in train mode.
        batch: B rows.
        config: which terms there are, and their weights.
        propensity: the item weights of DROS, (N,).
        buffers: what `StepBuffers.of` gave; without it the softmax counts all items.
    """
    rows = term_rows(student, batch, config, propensity, buffers)
    names = term_names(config, has_lists=batch.lists is not None)
    return dict(zip(names, rows, strict=True))


def term_names(config: Config, *, has_lists: bool) -> tuple[str, ...]:
    """The terms in their order."""
    dro = ("dro",) if config.loss.dro_weight > 0 else ()
    importance = config.distillation.ranking_form == "importance"
    return ("base", *dro, *(("ranking",) if has_lists and importance else ()))


def term_rows(
    student: Student,
    batch: Batch,
    config: Config,
    propensity: Tensor,
    buffers: StepBuffers | None = None,
) -> Tensor:
    """The terms of `batch_terms` as one tensor, (n_terms, B), in the order of `term_names`."""
    if buffers is None:
        has_lists, device = batch.lists is not None, propensity.device
        spec = term_spec(config, student.n_items, has_lists=has_lists, device=device)
        buffers = StepBuffers(propensity / config.loss.dro_temperature, spec)
    spec = buffers.spec
    scored = scorer(student, batch.sequences, batch.lengths, buffers)
    if spec is None:
        return torch.stack(tuple(plain_terms(scored, batch, config, propensity, buffers).values()))
    none = scored.users.new_zeros(len(batch.targets), 0)
    listed, sampled = batch.listed, None
    if spec.n_sampled > 0:
        sampled = batch.negatives
        listed = torch.cat([listed[:, :1], listed[:, 1 + spec.n_sampled :]], dim=1)
    inputs = TermInputs(
        items=listed,
        weight=none if batch.lists is None else batch.lists.weight,
        kept=none if batch.lists is None else batch.lists.kept,
        windows=batch.sequences,
        dro_slope=buffers.dro_slope,
        in_softmax=buffers.in_softmax,
        n_items=student.n_items,
        sampled=None if sampled is None else sampled.contiguous(),
        log_expected=None if sampled is None else batch.log_expected,
        buffer=buffers.buffer,
        side_stream=scored.side_stream,
    )
    return catalogue_terms(
        scored.users, scored.items, scored.bias, scored.window_offset, inputs, spec
    )


def plain_terms(
    scored: Scorer, batch: Batch, config: Config, propensity: Tensor, buffers: StepBuffers
) -> dict[str, Tensor]:
    """The same terms step by step in torch: for the losses that `catalogue_terms` lacks."""
    if config.variant == "authors":
        return _authors_terms(scored.all_items(), batch, config, propensity)
    all_scores = scored.all_items() if needs_all_scores(config) else None
    listed = scored.listed(batch.listed)
    n_negatives = 0 if batch.negatives is None else batch.negatives.shape[1]
    target, negative, candidate = (
        listed[:, 0],
        listed[:, 1 : 1 + n_negatives],
        listed[:, 1 + n_negatives :],
    )
    counted = all_scores
    if all_scores is not None and buffers.in_softmax is not None:
        counted = all_scores.masked_fill(~buffers.in_softmax, -torch.inf)
    terms = {"base": _base(config, batch, counted, target, negative, candidate)}
    if config.loss.dro_weight > 0:
        assert all_scores is not None  # noqa: S101 - for mypy
        terms["dro"] = config.loss.dro_weight * dros(
            all_scores, batch.targets, propensity, config.loss.dro_temperature
        )
    if batch.lists is not None and config.distillation.ranking_form == "importance":
        weight = _importance(config, batch, scored, all_scores)
        terms["ranking"] = single_ranking_weight(config) * ranking_distillation(candidate, weight)
    return terms


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
        log_normaliser, target, candidate, batch.lists.weight, single_ranking_weight(config)
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
        terms["ranking"] = single_ranking_weight(config) * losses.distillation
    return terms
