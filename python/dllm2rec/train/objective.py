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

from dllm2rec.config import Config
from dllm2rec.distill.authors import authors_losses, authors_weights
from dllm2rec.distill.catalogue import MAX_LISTED, MAX_SCORES, catalogue_terms
from dllm2rec.distill.losses import (
    bce,
    dros,
    ranking_distillation,
    sampled_softmax,
    soft_target_cross_entropy,
)
from dllm2rec.distill.terms import TermInputs, TermSpec
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.errors import NonFiniteError
from dllm2rec.students import Student, add_window_offset_, in_window, score_items
from dllm2rec.students.fused_sasrec import can_fuse, encode_fused
from dllm2rec.train.batches import Batch


@dataclass(frozen=True, eq=False)
class Aids:
    """What a training makes once for all its steps.

    Attributes:
        dro_slope: propensity over temperature, (N,).
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        buffer: memory for the scores on a CPU, flat, or None.
        noise: on CUDA, the number that the step's dropout is drawn from, int64 (); None where the
            student's own modules are used.
        sums: on CUDA, zeros between steps, (N + 1, D) int64.
        side: on CUDA, a stream for what the way back does beside: small grids leave most of a GPU
            idle. Gradients are to be read only after `launch.join`.
    """

    dro_slope: Tensor
    in_softmax: Tensor | None = None
    buffer: Tensor | None = None
    noise: Tensor | None = None
    sums: Tensor | None = None
    side: torch.cuda.Stream | None = None

    @classmethod
    def of(
        cls,
        student: Student,
        config: Config,
        propensity: Tensor,
        in_softmax: Tensor | None,
        batch_size: int,
    ) -> Aids:
        """Prepare for batches of at most this size."""
        slope = propensity / config.loss.dro_temperature
        device = propensity.device
        if device.type != "cuda":
            n_scores = batch_size * student.n_items
            spec = _spec(config, has_lists=False, device=device)
            buffer = propensity.new_empty(n_scores) if spec and n_scores <= MAX_SCORES else None
            return cls(slope, in_softmax, buffer)
        if not can_fuse(student):
            return cls(slope, in_softmax)
        shape = student.embedding.ids.weight.shape
        # Seeds of different trainings are far apart, steps next to each other.
        noise = torch.tensor(config.train.seed % 2**31 << 32, dtype=torch.int64, device=device)
        sums = torch.zeros(shape, dtype=torch.int64, device=device)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return cls(slope, in_softmax, None, noise, sums, side)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the items of a batch, all of them or a few a row."""

    users: Tensor  # (B, D)
    items: Tensor  # (N, D), or with the padding's row after them
    bias: Tensor | None  # (N,)
    window_offset: Tensor | None  # ()
    sequences: Tensor  # (B, L)
    n_items: int
    side: torch.cuda.Stream | None = None  # where `items` and `bias` may get their gradients

    def all_items(self) -> Tensor:
        """Score every item, (B, N)."""
        items = self.items[: self.n_items]
        scores = F.linear(self.users, items, self.bias)
        if self.window_offset is None:
            return scores
        return add_window_offset_(scores, self.sequences, self.window_offset)

    def listed(self, index: Tensor) -> Tensor:
        """Score the listed items, (B, k)."""
        scores = score_items(self.users, self.items, self.bias, index)
        if self.window_offset is None:
            return scores
        return scores + self.window_offset * in_window(index, self.sequences)


def scorer(student: Student, sequences: Tensor, lengths: Tensor, aids: Aids) -> Scorer:
    """Run the student over a batch; the item table is made once for both sides."""
    table = student.item_table()
    if aids.noise is None or aids.sums is None:
        users = student.encode(sequences, lengths, table)
    else:
        rows = student.embedding.id_rows() if table is None else table
        users, rows = encode_fused(
            student, rows, sequences, lengths, aids.noise, aids.sums, aids.side
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
            aids.side,  # the encoder's way back waits for the table's gradient
        )
    items, bias = student.output_items(table)
    return Scorer(users, items, bias, student.window_offset, sequences, student.n_items)


def batch_terms(
    student: Student,
    batch: Batch,
    config: Config,
    propensity: Tensor,
    aids: Aids | None = None,
) -> dict[str, Tensor]:
    """Return the terms of the loss, already weighted, each (B,); their sum's mean is the loss.

    Args:
        student: in train mode.
        batch: B rows.
        config: which terms there are, and their weights.
        propensity: the item weights of DROS, (N,).
        aids: what `Aids.of` gave; without it the softmax counts all items.
    """
    rows = term_rows(student, batch, config, propensity, aids)
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
    aids: Aids | None = None,
) -> Tensor:
    """The terms of `batch_terms` as one tensor, (n_terms, B), in the order of `term_names`."""
    aids = Aids(propensity / config.loss.dro_temperature) if aids is None else aids
    spec = _spec(config, has_lists=batch.lists is not None, device=propensity.device)
    scored = scorer(student, batch.sequences, batch.lengths, aids)
    if spec is None or batch.listed.shape[1] > MAX_LISTED:
        return torch.stack(tuple(plain_terms(scored, batch, config, propensity, aids).values()))
    none = scored.users.new_zeros(len(batch.targets), 0)
    inputs = TermInputs(
        items=batch.listed,
        weight=none if batch.lists is None else batch.lists.weight,
        kept=none if batch.lists is None else batch.lists.kept,
        windows=batch.sequences,
        dro_slope=aids.dro_slope,
        in_softmax=aids.in_softmax,
        n_items=student.n_items,
        buffer=aids.buffer,
        side=scored.side,
    )
    return catalogue_terms(
        scored.users, scored.items, scored.bias, scored.window_offset, inputs, spec
    )


def _spec(config: Config, *, has_lists: bool, device: torch.device) -> TermSpec | None:
    """What the one pass over all scores computes; None where the plain terms are for the loss."""
    loss, distillation = config.loss, config.distillation
    if config.variant == "authors" or loss.base == "sampled_softmax":
        return None
    if device.type == "cpu" and not _needs_all_scores(config):
        return None  # a gradient of all scores for a few items: cheap on a GPU alone
    importance = distillation.ranking_form == "importance"
    soft = has_lists and not importance
    return TermSpec(
        base="bce" if loss.base == "bce" else "soft_targets" if soft else "softmax",
        n_negatives=loss.n_negatives if loss.base == "bce" else 0,
        dro_weight=loss.dro_weight,
        list_weight=_ranking_weight(config) if has_lists else 0.0,
        has_ranking=has_lists and importance,
        consistency=distillation.consistency_gamma,
        top_k=distillation.top_k,
    )


def plain_terms(
    scored: Scorer, batch: Batch, config: Config, propensity: Tensor, aids: Aids
) -> dict[str, Tensor]:
    """The same terms step by step in torch: for the losses that `catalogue_terms` lacks."""
    if config.variant == "authors":
        return _authors_terms(scored.all_items(), batch, config, propensity)
    all_scores = scored.all_items() if _needs_all_scores(config) else None
    listed = scored.listed(batch.listed)
    n_negatives = 0 if batch.negatives is None else batch.negatives.shape[1]
    target, negative, candidate = (
        listed[:, 0],
        listed[:, 1 : 1 + n_negatives],
        listed[:, 1 + n_negatives :],
    )
    counted = all_scores
    if all_scores is not None and aids.in_softmax is not None:
        counted = all_scores.masked_fill(~aids.in_softmax, -torch.inf)
    terms = {"base": _base(config, batch, counted, target, negative, candidate)}
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
