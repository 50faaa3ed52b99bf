"""The terms of the loss over a table in parts, and their gradients.

Every process encodes its share of a batch's rows, all get all users, and each scores its own items
with them. What a row's terms need of the other processes' items are the parts of two sums over all
items and the scores of the listed ones: a few numbers a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import catalogue_terms
from dllm2rec.distill.losses import list_alone, list_share
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.kernels.catalogue.backend import CatalogueBackend, ChunkStatistics, RowTerms
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.runtime.distributed import gathered, process_rows, rank, size
from dllm2rec.students import Student
from dllm2rec.students.sharded import own_places
from dllm2rec.students.window_offset import keep_real


@dataclass(frozen=True, eq=False)
class ShardedObjective:
    """Every term by `catalogue_terms`, of this process's items.

    Attributes:
        spec: which terms there are: a softmax over all items, none that counts items ahead.
        dro_slope: propensity over temperature of the own items, (n_own,).
        in_softmax: which of them the softmax counts, (n_own,) bool, or None for all.
        own: which items they are.
        backend: the arithmetic of one process.
        buffers: none; as other objectives have them.
    """

    spec: TermSpec
    dro_slope: Tensor
    in_softmax: Tensor | None
    own: slice
    backend: CatalogueBackend
    buffers: StepBuffers

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        return self.spec.names

    def terms(self, student: Student, batch: Batch) -> Tensor:
        """As `Objective.terms`, of rows that are the same in all processes; without a gradient."""
        with torch.no_grad():
            mine = _encode(student, batch, _window_vectors(student, batch))
            return self._of_users(student, batch, _of_all_rows(student, mine, len(batch.targets)))

    def gradients(
        self, student: Student, parameters: list[nn.Parameter], batch: Batch
    ) -> tuple[list[Tensor | None], Tensor]:
        """Differentiate the mean of the rows' losses.

        Args:
            student: in train mode.
            parameters: its own, in their order.
            batch: all rows, the same in all processes.

        Returns:
            Of each weight that all processes hold, this process's part of a sum over processes, or
            None; of the own items, all of it. And the terms of all rows, (n_terms, B).
        """
        n_rows = len(batch.targets)
        vectors = _window_vectors(student, batch).requires_grad_()
        mine = _encode(student, batch, vectors)
        users = _of_all_rows(student, mine.detach(), n_rows).requires_grad_()
        terms = self._of_users(student, batch, users)
        loss = terms.sum() / n_rows
        to_users, *scoring = torch.autograd.grad(loss, [users, *parameters], allow_unused=True)
        assert to_users is not None  # noqa: S101 - for mypy
        to_mine = process_rows(gathered(to_users, "gradients of users"))
        encoding: Sequence[Tensor | None] = [None] * len(parameters)
        to_vectors = torch.zeros_like(vectors)
        if len(mine):
            through = (mine * to_mine).sum()
            inputs = [vectors, *parameters]
            found, *encoding = torch.autograd.grad(through, inputs, allow_unused=True)
            to_vectors = to_vectors if found is None else found
        gathered(to_vectors, "gradients of windows")
        gradients: list[Tensor | None] = [
            of_scores if of_encoder is None else of_encoder
            for of_scores, of_encoder in zip(scoring, encoding, strict=True)
        ]
        self._add_windows(student, parameters, gradients, batch, to_vectors)
        return gradients, terms.detach()

    def _add_windows(
        self,
        student: Student,
        parameters: list[nn.Parameter],
        gradients: list[Tensor | None],
        batch: Batch,
        to_vectors: Tensor,
    ) -> None:
        """Add what flows to the own items through the windows: in place, as a table is large."""
        (number,) = (n for n, p in enumerate(parameters) if p is student.embedding.ids.weight)
        to_table = gradients[number]
        assert to_table is not None  # noqa: S101 - for mypy: the items are scored by it
        windows = keep_real(batch.sequences, batch.lengths, student.n_items)
        is_own, places = own_places(windows, self.own)
        # Row by row in the order of the places, so that the same bits come each time.
        to_table.index_add_(0, places[is_own], to_vectors[is_own])

    def _of_users(self, student: Student, batch: Batch, users: Tensor) -> Tensor:
        terms = catalogue_terms(
            users,
            student.embedding.ids.weight,
            student.bias,
            student.window_offset,
            self._inputs(batch),
            self.spec,
            backend=JoinedBackend(self.backend),
        )
        share = self.spec.list_weight if self.spec.base == "soft_targets" else 0.0
        return list_alone(terms, self.names, batch.has_target, share)

    def _inputs(self, batch: Batch) -> TermInputs:
        """What the terms read, items counted from the first of the own: others lie outside."""
        first = self.own.start
        none = self.dro_slope.new_zeros(len(batch.targets), 0)
        share = list_share(self.spec.list_weight, batch.has_target)
        return TermInputs(
            items=batch.listed - first,
            weight=none if batch.lists is None else batch.lists.values,
            kept=none if batch.lists is None else batch.lists.kept,
            windows=batch.sequences - first,
            dro_slope=self.dro_slope,
            in_softmax=self.in_softmax,
            n_items=self.own.stop - first,
            share=share if isinstance(share, Tensor) else None,
        )


class JoinedBackend:
    """A backend whose terms are those of the items of all processes.

    Args:
        inner: does all the arithmetic.
    """

    def __init__(self, inner: CatalogueBackend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what is not joined is the inner one's
        return getattr(self._inner, name)

    def terms(
        self,
        parts: list[ChunkStatistics],
        inputs: TermInputs,
        listed_scores: Tensor,
        spec: TermSpec,
    ) -> RowTerms:
        """As `CatalogueBackend.terms`; the other processes' listed scores are filled in."""
        is_own = (inputs.items >= 0) & (inputs.items < inputs.n_items)
        n_rows, n_listed = listed_scores.shape
        width = n_listed + 2 * size()
        # float64 holds both kinds of numbers as they are, and one sum carries all.
        joined = torch.zeros(n_rows, width, dtype=torch.float64, device=listed_scores.device)
        joined[:, :n_listed] = listed_scores.masked_fill(~is_own, 0)
        kinds = [[part.log_z for part in parts], [part.log_d for part in parts]]
        for kind, pieces in enumerate(kinds):
            whole = [piece.reshape(-1, n_rows) for piece in pieces if piece is not None]
            if whole:
                column = n_listed + kind * size() + rank()
                joined[:, column] = torch.cat(whole).logsumexp(0).double()
        gathered(joined, "sums over all items")
        listed_scores.copy_(joined[:, :n_listed])
        of_all = []
        for number in range(size()):
            log_z, log_d = (
                None if pieces[0] is None else _like(joined[:, n_listed + at + number], pieces[0])
                for at, pieces in zip((0, size()), kinds, strict=True)
            )
            of_all.append(ChunkStatistics(log_z, log_d, None))
        return self._inner.terms(of_all, inputs, listed_scores, spec)


def _like(column: Tensor, piece: Tensor) -> Tensor:
    """One number a row, of the dtype and with the axes that a backend's statistics have."""
    row = column.to(piece.dtype).contiguous()
    return row.unsqueeze(0) if piece.ndim == 2 else row


def _window_vectors(student: Student, batch: Batch) -> Tensor:
    """The vectors of all rows' windows, (B, L, D), without a gradient."""
    windows = keep_real(batch.sequences, batch.lengths, student.n_items)
    vectors: Tensor = student.embedding(windows, None)
    return vectors


def _encode(student: Student, batch: Batch, vectors: Tensor) -> Tensor:
    """This process's rows of the users, (b, D); none where there are fewer rows than processes."""
    mine, lengths = process_rows(vectors), process_rows(batch.lengths)
    n_rows, length, width = mine.shape
    if n_rows == 0:
        return vectors.new_zeros(0, student.embedding.ids.embedding_dim)
    # A table of the places themselves, and the padding's zeros.
    table = torch.cat([mine.reshape(-1, width), vectors.new_zeros(1, width)])
    places = torch.arange(n_rows * length, device=vectors.device).view(n_rows, length)
    return student.encode(places, lengths, table)


def _of_all_rows(student: Student, mine: Tensor, n_rows: int) -> Tensor:
    """The users of all processes, in the order of the rows, (B, D)."""
    users = mine.new_zeros(n_rows, student.embedding.ids.embedding_dim)
    process_rows(users).copy_(mine)
    return gathered(users, "gathering users")
