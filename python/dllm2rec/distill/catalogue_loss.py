"""The terms of a loss that read the scores of the whole catalogue, from one pass over them.

The base loss, DROS, the teacher's items and the student's own top-K share one product users x
items. Its gradient is written over the scores, so that two more products finish the backward pass:
no other tensor of rows x items is ever made. Catalogues whose scores would not fit are taken in
chunks of items, whose products are made again in the backward pass.

The arithmetic stands twice, behind one `CatalogueBackend`: `catalogue_loss_cpu` for the CPU,
`kernels.catalogue.loss` for CUDA. There `kernels.tiles` takes the place of all of it in mixed
precision, and in the exact one where scores are many.

Diary (H200, 17,408 items, batch 256): a chain of torch operations made about ten passes over the
scores and a sort for the top-K. Whether a teacher's item is among the student's K best needs only
the number of items ahead of it, which the same pass counts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dllm2rec.distill import catalogue_loss_cpu
from dllm2rec.kernels.catalogue.backend import CatalogueBackend, ChunkScores, GradientInputs
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.kernels.launch import SIZES, beside

# Scores held at once: 1 GiB. Above it the products are made chunk by chunk, twice.
MAX_SCORES = 1 << 28
# Up to so many a GPU makes them in one product: in tiles they take as long, or longer.
FEW_SCORES = 1 << 27
MAX_LISTED = 64  # target, negatives and list of a row; the kernels compare them pairwise


def catalogue_terms(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    inputs: TermInputs,
    spec: TermSpec,
    *,
    backend: CatalogueBackend | None = None,
    max_scores: int = MAX_SCORES,
) -> Tensor:
    """Compute the terms of each row, already weighted: (n_terms, B), in the order of `spec.names`.

    The backward pass runs only once: it overwrites the scores.

    Args:
        users: (B, D).
        matrix: item vectors, at least N of them, (N.., D).
        bias: (N,) or None.
        offset: what window items score more, () or None.
        inputs: B rows, on the same device.
        spec: which terms there are.
        backend: the arithmetic; without it that of `backend_of` the device.
        max_scores: how many scores to hold at once.
    """
    work = _Work(
        backend or backend_of(users.device),
        inputs,
        spec,
        _chunks(len(users), inputs.n_items, max_scores),
    )
    result: Tensor = _CatalogueTerms.apply(users, matrix, bias, offset, work)
    return result


def catalogue_terms_of(
    device: torch.device, precision: Literal["exact", "mixed"]
) -> CatalogueTerms:
    """The pass over all items for this device.

    Args:
        device: where the student is.
        precision: "mixed" is for CUDA, and for losses that `mixed_faults` lets pass.
    """
    if device.type == "cpu":
        return partial(catalogue_terms, backend=catalogue_loss_cpu)
    return partial(_in_tiles, halves=1) if precision == "mixed" else _exact_on_gpu


def can_tile(spec: TermSpec, size: int) -> bool:
    """Whether `kernels.tiles` makes these terms of vectors of this size."""
    reads_all = spec.sums_all or spec.dro_weight > 0
    return reads_all and spec.n_sampled == 0 and size in SIZES


def _exact_on_gpu(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    inputs: TermInputs,
    spec: TermSpec,
) -> Tensor:
    """As `catalogue_terms`, in tiles where all scores are so many that tiles are faster."""
    few = len(users) * inputs.n_items <= FEW_SCORES
    if few or not can_tile(spec, users.shape[1]):
        backend = backend_of(torch.device("cuda"))
        return catalogue_terms(users, matrix, bias, offset, inputs, spec, backend=backend)
    return _in_tiles(users, matrix, bias, offset, inputs, spec, halves=2)


def _in_tiles(
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    inputs: TermInputs,
    spec: TermSpec,
    *,
    halves: int,
) -> Tensor:
    from dllm2rec.kernels.tiles.loss import tiled_terms  # its compiler is there only beside CUDA
    from dllm2rec.kernels.tiles.shape import shapes_for

    shapes = shapes_for(halves, users.shape[1], has_dro=spec.dro_weight > 0)
    return tiled_terms(users, matrix, bias, offset, inputs, spec, shapes)


def backend_of(device: torch.device) -> CatalogueBackend:
    """The arithmetic for this device."""
    if device.type != "cuda":
        return catalogue_loss_cpu
    from dllm2rec.kernels.catalogue import loss  # its compiler is there only beside CUDA

    return loss


class CatalogueTerms(Protocol):
    """`catalogue_terms` as an objective calls it."""

    def __call__(
        self,
        users: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        offset: Tensor | None,
        inputs: TermInputs,
        spec: TermSpec,
    ) -> Tensor:
        """As `catalogue_terms`."""


class _Work(NamedTuple):
    """The arguments without a gradient."""

    backend: CatalogueBackend
    inputs: TermInputs
    spec: TermSpec
    chunks: list[slice]


class _CatalogueTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        users: Tensor,
        matrix: Tensor,
        bias: Tensor | None,
        offset: Tensor | None,
        work: _Work,
    ) -> Tensor:
        backend, inputs, spec, chunks = work
        listed_scores = users.new_empty(inputs.items.shape)
        drawn = None if inputs.sampled is None else users.new_empty(inputs.sampled.shape)
        parts = []
        # With several chunks, the scores to count against are known only after a first round.
        rounds = ("listed", "counted") if spec.counts and len(chunks) > 1 else ("both",)
        for part in rounds:
            for chunk in chunks:
                scores = _scores(work, chunk, users, matrix, bias, offset, listed_scores)
                if part != "listed":
                    parts.append(
                        backend.statistics(scores, chunk, inputs, listed_scores, drawn, spec)
                    )
        rows = backend.terms(parts, inputs, listed_scores, spec)
        kept = scores if len(chunks) == 1 else (None, None)
        given = (listed_scores, drawn, rows.slopes, rows.log_z, rows.log_d)
        ctx.save_for_backward(users, matrix, bias, offset, *kept, *given)
        ctx.work = work
        return rows.terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        users, matrix, bias, offset, *kept = ctx.saved_tensors[:6]
        listed_scores, drawn, slopes, log_z, log_d = ctx.saved_tensors[6:]
        given = GradientInputs(listed_scores, drawn, slopes, log_z, log_d, grad.contiguous())
        backend, inputs, spec, chunks = ctx.work
        to_matrix = torch.empty_like(matrix) if inputs.to_matrix is None else inputs.to_matrix
        to_matrix[inputs.n_items :].zero_()
        to_bias = None if bias is None else torch.empty_like(bias)
        to_users = torch.empty_like(users)
        to_offset = []
        # Of several chunks, one must let go of its memory before the next takes it.
        side_stream = inputs.side_stream if len(chunks) == 1 else None
        for chunk in chunks:
            scores = ChunkScores(*kept)
            if len(chunks) > 1:
                scores = _scores(ctx.work, chunk, users, matrix, bias, offset, listed_scores)
            moved = backend.gradient_(
                scores, chunk, inputs, given, spec, has_offset=offset is not None
            )
            if moved is not None:
                to_offset.append(moved.view(-1))
            with beside(side_stream, scores.values, users):  # which are the gradient now
                torch.mm(scores.values.T, users, out=to_matrix[chunk])
                if to_bias is not None:
                    backend.column_sums(scores.values, to_bias[chunk])
            if chunk.start == 0:
                torch.mm(scores.values, matrix[chunk], out=to_users)
            else:
                to_users.addmm_(scores.values, matrix[chunk])
        shift = None if offset is None else torch.cat(to_offset).sum()
        return to_users, to_matrix, to_bias, shift, None


def _scores(
    work: _Work,
    chunk: slice,
    users: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    offset: Tensor | None,
    listed_scores: Tensor,
) -> ChunkScores:
    """Score a chunk of items, those that are listed into `listed_scores` too."""
    backend, inputs = work.backend, work.inputs
    product = backend.product(users, matrix[chunk], inputs.buffer)
    return backend.listed_(product, chunk, inputs, bias, offset, listed_scores)


def _chunks(n_rows: int, n_items: int, max_scores: int) -> list[slice]:
    width = max(1, min(n_items, max_scores // max(1, n_rows)))
    return [slice(at, min(at + width, n_items)) for at in range(0, n_items, width)]
