"""What the losses read of a batch of rows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from dllm2rec.data.device_rows import PassWindows
from dllm2rec.distill.teacher_lists import TeacherLists


@dataclass(frozen=True, eq=False)
class Batch:
    """What the losses need of B rows.

    Attributes:
        sequences: windows, (B, L), right-padded with `n_items`.
        lengths: real items of each window, (B,).
        targets: the items to predict, (B,).
        negatives: sampled items, (B, M), or None where the loss draws none.
        log_expected: log of how often one non-excluded item is expected among a row's M
            negatives, (B,), or None where the loss does not correct for it.
        lists: the teacher's lists of these rows, or None without ranking distillation.
        listed: target, negatives and the teacher's items side by side, (B, 1 + M + K).
        has_target: which rows have a target, (B,) bool; None where all have. The others, histories
            of the teacher's, learn from their list alone; `targets` holds their last item.
        passes: what the encoder reads instead of the rows' windows; None where it reads those.
    """

    sequences: Tensor
    lengths: Tensor
    targets: Tensor
    negatives: Tensor | None
    log_expected: Tensor | None
    lists: TeacherLists | None
    listed: Tensor
    has_target: Tensor | None = None
    passes: PassWindows | None = None

    def zero_(self) -> Batch:
        """Set it to empty windows and item 0, in place: unfilled memory may hold anything."""
        for part in (self.sequences, self.lengths, self.targets, self.negatives, self.listed):
            if part is not None:
                part.zero_()
        if self.lists is not None:
            for part in (self.lists.items, self.lists.values, self.lists.kept):
                part.zero_()
        if self.passes is not None:
            self.passes.zero_()
        return self
