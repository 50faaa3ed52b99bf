"""Which terms a loss over the whole catalogue has, and what they read of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class TermSpec:
    """Which terms there are.

    Attributes:
        base: "bce", "softmax", or "soft_targets": a softmax with the lists as a share of its
            targets.
        n_negatives: M, for "bce".
        n_sampled: M, the drawn items of a sampled softmax; 0 where the softmax counts all items.
        dro_weight: 0 leaves DROS out.
        list_weight: the share of the soft targets, or the weight of the ranking term.
        has_ranking: whether there is a ranking term with importance weights.
        consistency: what is added to the weight of an item in the student's own top-K.
        top_k: K of that list.
    """

    base: Literal["bce", "softmax", "soft_targets"]
    n_negatives: int
    dro_weight: float
    list_weight: float
    has_ranking: bool
    consistency: float
    top_k: int
    n_sampled: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The terms in their order."""
        dro = ("dro",) if self.dro_weight > 0 else ()
        return ("base", *dro, *(("ranking",) if self.has_ranking else ()))

    @property
    def sums_all(self) -> bool:
        """Whether the softmax's sum is that over all items."""
        return self.base != "bce" and self.n_sampled == 0

    @property
    def counts(self) -> bool:
        """Whether the items ahead of the teacher's are counted."""
        return self.has_ranking and self.consistency > 0


@dataclass(frozen=True, eq=False)
class TermInputs:
    """What the terms read besides the student.

    Attributes:
        items: target, M negatives of "bce" and K listed items of each row, (B, 1 + M + K) int64.
        weight: static weights or probabilities of the lists, (B, K) float32.
        kept: 1 where a place of the list holds an item, else 0, (B, K) float32.
        windows: right-padded with N, (B, L) int64; read where there is an offset.
        dro_slope: propensity over temperature, (N,); read where DROS is.
        in_softmax: which items the softmax counts, (N,) bool, or None for all.
        n_items: N; the matrix may have more rows, which get no gradient.
        share: the list's share of each row's soft targets, (B,) float32, where it is not
            `list_weight` in all; or None.
        sampled: what stands for all items but the target in a sampled softmax, int64, or None: M
            drawn items, none of them the row's target or in its window, then the window's items
            once each and -1 at the places that are left, (B, M + L).
        log_expected: log of how often an item is expected among the drawn ones, (B,), or None.
        buffer: memory for the scores, flat, at least B N long, or None: on a CPU fresh pages cost
            more than the product. What it holds is lost.
        to_matrix: memory for the matrix's gradient, shaped as it is, or None.
        side_stream: a stream for the gradients of matrix and bias in the backward pass, or None;
            they are then to be read only after `launch.join`.
    """

    items: Tensor
    weight: Tensor
    kept: Tensor
    windows: Tensor
    dro_slope: Tensor
    in_softmax: Tensor | None
    n_items: int
    share: Tensor | None = None
    sampled: Tensor | None = None
    log_expected: Tensor | None = None
    buffer: Tensor | None = None
    to_matrix: Tensor | None = None
    side_stream: torch.cuda.Stream | None = None
