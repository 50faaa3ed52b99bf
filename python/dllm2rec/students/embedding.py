"""Item vectors: a learned vector of each item's own, plus the teacher's vector, projected."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dllm2rec.kernels.launch import SIZES


class ItemEmbedding(nn.Module):
    """The vector of each item: e_i = known_i b_i + weight (W z_i + c).

    b_i is the item's own (id) vector, z_i the teacher's frozen vector of its text. Row `n_items`
    is the padding: zero at first, and no gradient ever reaches it.

    The frozen vectors and the known items are buffers outside the state dict: a checkpoint does
    not carry what its dataset and teacher already hold, and a folded student has neither.

    Args:
        n_items: N.
        size: D, the width of the vectors.
        teacher: z, (N, E) float32, or None; E is any width.
        weight: how strongly the projected vector counts, the authors' --ed_weight.
        known: which items have an id vector, (N,) bool, or None for all. The others (never seen
            in training) are known by their text alone.
        mlp: whether a hidden layer of D units stands before the projector: W relu(V z + d) + c.
    """

    teacher: Tensor | None
    known: Tensor | None

    def __init__(
        self,
        n_items: int,
        size: int,
        teacher: Tensor | None,
        weight: float,
        known: Tensor | None,
        *,
        mlp: bool = False,
    ) -> None:
        super().__init__()
        self.n_items = n_items
        self.weight = weight
        self.ids = nn.Embedding(n_items + 1, size, padding_idx=n_items)
        is_deep = mlp and teacher is not None
        width = 0 if teacher is None else teacher.shape[1]
        self.projector = None if teacher is None else nn.Linear(size if is_deep else width, size)
        self.hidden = nn.Linear(width, size) if is_deep else None
        self.register_buffer("teacher", teacher, persistent=False)
        column = None if known is None else F.pad(known.float(), (0, 1)).unsqueeze(1)  # (N + 1, 1)
        self.register_buffer("known", column, persistent=False)

    def id_rows(self) -> Tensor:
        """The items' own vectors, (N + 1, D)."""
        rows: Tensor = self.ids.weight
        return rows if self.known is None else rows * self.known

    def table(self) -> Tensor:
        """All item vectors, (N + 1, D), the teacher's part included: one projection of (N, E)."""
        if self.projector is None:
            return self.id_rows()
        if self.hidden is not None:
            projected = self._projected(self.teacher)
            return torch.add(self.id_rows(), F.pad(projected, (0, 0, 0, 1)), alpha=self.weight)
        table: Tensor = _Table.apply(
            self.id_rows(), self.teacher, self.projector.weight, self.projector.bias, self.weight
        )
        return table

    def forward(self, sequences: Tensor, table: Tensor | None) -> Tensor:
        """Look up each place of the windows.

        Args:
            sequences: items, (B, L) int64 in 0..n_items; the padding is the table's last row.
            table: what `table()` gave, or None to project only the windows' own items, place by
                place (cheaper while B L < N).

        Returns:
            Vectors, (B, L, D).
        """
        # F.embedding's backward is deterministic on CUDA; that of indexing and index_select is not.
        if table is not None or self.projector is None or self.teacher is None:
            rows = self.id_rows() if table is None else table
            return F.embedding(sequences, rows, padding_idx=len(rows) - 1)
        vectors = F.embedding(sequences, self.id_rows(), padding_idx=self.n_items)
        is_item = (sequences < self.n_items).unsqueeze(2)
        texts = F.embedding(sequences.clamp(max=self.n_items - 1), self.teacher)  # (B, L, E)
        return torch.add(vectors, self._projected(texts) * is_item, alpha=self.weight)

    def _projected(self, texts: Tensor | None) -> Tensor:
        """The projector's output for some of the teacher's vectors, (..., D)."""
        assert self.projector is not None  # noqa: S101 - for mypy
        before = texts if self.hidden is None else self.hidden(texts).relu()
        projected: Tensor = self.projector(before)
        return projected


class _Table(torch.autograd.Function):
    """rows + weight (Z W' + c), the padding's row left as it is, in one fresh tensor.

    Both ways without a copy of the table: the gradient of the rows is the table's own.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        rows: Tensor,
        teacher: Tensor,
        matrix: Tensor,
        shift: Tensor,
        weight: float,
    ) -> Tensor:
        ctx.save_for_backward(teacher)
        ctx.weight = weight
        if _has_kernels(rows):
            from dllm2rec.kernels import item_table  # its compiler is there only beside CUDA

            return item_table.project(rows, teacher, matrix.contiguous(), shift, weight)
        table = torch.add(rows, shift, alpha=weight)
        table[-1].copy_(rows[-1])
        table[:-1].addmm_(teacher, matrix.T, alpha=weight)
        return table

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (teacher,) = ctx.saved_tensors
        of_items = grad[:-1]
        to_matrix = torch.mm(of_items.T, teacher).mul_(ctx.weight)
        if _has_kernels(grad):
            from dllm2rec.kernels import item_table

            to_shift = item_table.row_sums(of_items.contiguous()[None])[0]
        else:
            to_shift = of_items.sum(0)
        return grad, None, to_matrix, to_shift.mul_(ctx.weight), None


def _has_kernels(rows: Tensor) -> bool:
    return rows.is_cuda and rows.dtype == torch.float32 and rows.shape[1] in SIZES
