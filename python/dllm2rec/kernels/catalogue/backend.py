"""The contract of the catalogue loss's two implementations: for CPUs and in CUDA kernels.

Both are modules. Between scoring a chunk of items and writing its gradient, only the backend that
made the scores reads them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec


class ChunkScores(NamedTuple):
    """Scores of a chunk of W items: values[:, j] + bias[first + j].

    Attributes:
        values: (B, W), the window offset included.
        bias: what is still to be added, (N,), or None where it is in `values` or there is none. A
            CPU adds it at once; a GPU, for which that is a pass more, as it reads.
    """

    values: Tensor
    bias: Tensor | None


class ChunkStatistics(NamedTuple):
    """What the terms need of a chunk, row by row; a backend may cut rows into pieces.

    Attributes:
        log_z: log of the softmax's sum, or None where there is none.
        log_d: log of the DROS sum, or None where there is none; float64, since its exponents may be
            so large that float32 keeps nothing else of it.
        ahead: of each of the teacher's items, the number of items ahead of it in this chunk, or any
            from `top_k` on that is at most that; float where it is 1 for an item of the student's
            own top-K already, else 0; or None where nothing is counted.
    """

    log_z: Tensor | None
    log_d: Tensor | None
    ahead: Tensor | None


class RowTerms(NamedTuple):
    """The terms, and what their gradient is made of.

    Attributes:
        terms: (n_terms, B).
        slopes: by the listed items' scores, less what flows through the two sums, (B, C).
        log_z: log Z, of sampled items with what is subtracted from their scores, (B,).
        log_d: log of the DROS sum, (B,), float64 where there is one.
    """

    terms: Tensor
    slopes: Tensor
    log_z: Tensor
    log_d: Tensor


class GradientInputs(NamedTuple):
    """What the gradient of a chunk is made of, beside its scores.

    Attributes:
        listed_scores: of target, negatives and list, (B, C).
        drawn: scores of the sampled items, those of the window, which stand for themselves alone,
            raised by `log_expected`, (B, M + L), or None.
        slopes: as in `RowTerms`.
        log_z: as in `RowTerms`.
        log_d: as in `RowTerms`.
        grad: what flows to each term, (n_terms, B).
    """

    listed_scores: Tensor
    drawn: Tensor | None
    slopes: Tensor
    log_z: Tensor
    log_d: Tensor
    grad: Tensor


class CatalogueBackend(Protocol):
    """The arithmetic of `catalogue_terms`, chunk by chunk of the items."""

    def product(self, users: Tensor, matrix: Tensor, buffer: Tensor | None) -> Tensor:
        """Score the chunk's items without bias and offset, (B, W).

        Args:
            users: (B, D).
            matrix: their vectors, (W, D).
            buffer: memory that a backend may use for it.
        """

    def listed_(
        self,
        scores: Tensor,
        chunk: slice,
        inputs: TermInputs,
        bias: Tensor | None,
        offset: Tensor | None,
        listed_scores: Tensor,
    ) -> ChunkScores:
        """Complete what `product` gave, in place; copy the listed items' scores out of it.

        Args:
            scores: of the chunk, (B, W); lost.
            chunk: which items.
            inputs: of the batch.
            bias: of all items, (N,) or None.
            offset: what window items score more, () or None.
            listed_scores: (B, C); those in the chunk are written, bias and offset included.
        """

    def statistics(
        self,
        scores: ChunkScores,
        chunk: slice,
        inputs: TermInputs,
        listed_scores: Tensor,
        drawn: Tensor | None,
        spec: TermSpec,
    ) -> ChunkStatistics:
        """Reduce a chunk to what the terms need; copy the sampled items' scores into `drawn`."""

    def terms(
        self,
        parts: list[ChunkStatistics],
        inputs: TermInputs,
        listed_scores: Tensor,
        spec: TermSpec,
    ) -> RowTerms:
        """Join the chunks."""

    def gradient_(
        self,
        scores: ChunkScores,
        chunk: slice,
        inputs: TermInputs,
        given: GradientInputs,
        spec: TermSpec,
        *,
        has_offset: bool,
    ) -> Tensor | None:
        """Write the gradient over the chunk's values; return the offset's in parts, if any."""

    def column_sums(self, scores: Tensor, out: Tensor) -> None:
        """Sum a chunk over its rows, into (W,)."""
