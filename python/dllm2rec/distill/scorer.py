"""The scores of a batch, from one run of the student: of all items, or of a few per row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from dllm2rec.distill.batch import Batch
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.students import Student, add_window_offset_, in_window, score_items
from dllm2rec.students.fused_sasrec import encode_fused


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the items of a batch, all of them or a few per row."""

    users: Tensor  # (B, D)
    items: Tensor  # (N, D), or with the padding's row after them
    bias: Tensor | None  # (N,)
    window_offset: Tensor | None  # ()
    sequences: Tensor  # (B, L)
    n_items: int
    scatter_buffer: Tensor | None = None  # memory that `listed` adds in
    side_stream: torch.cuda.Stream | None = None  # where `items` and `bias` may get their gradients

    @cached_property
    def all_scores(self) -> Tensor:
        """The score of every item, (B, N), made where it is first asked for."""
        return self.all_items()

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


def scorer_of(student: Student, batch: Batch, buffers: StepBuffers) -> Scorer:
    """Run the student over a batch; the item table is made once for both sides."""
    sequences, lengths = batch.sequences, batch.lengths
    table = student.item_table()
    if buffers.noise is None or buffers.scatter_buffer is None:
        users = (
            student.encode(sequences, lengths, table)
            if batch.passes is None
            else student.encode_places(batch.passes, table)
        )
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
        table = rows if student.ties_table else table
    if table is not None and student.ties_table:
        # The padding's row is passed along: cutting it off would copy the gradient of the rest.
        return Scorer(
            users,
            table,
            student.bias,
            student.window_offset,
            sequences,
            student.n_items,
            buffers.scatter_buffer,
            buffers.side_stream,  # the encoder's backward pass waits for the table's gradient
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
