"""Memory, a stream and a random number that a training makes once and every step uses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.distill.catalogue_loss import MAX_SCORES
from dllm2rec.students import Student
from dllm2rec.students.item_scores import scatter_buffer_size


@dataclass(frozen=True, eq=False)
class StepBuffers:
    """What a training makes once for all its steps.

    Attributes:
        scores: memory for the scores on a CPU, flat, or None.
        noise: on CUDA, the number that the step's dropout is drawn from, int64 (); None where the
            student's own modules are used.
        scatter_buffer: on CUDA, zeros between steps, int64: `scatter_buffer_size` of them, or one
            for each number of the windows' gradients where that is less and all that is summed.
        side_stream: on CUDA, a second stream for the backward pass: small grids leave most of a
            GPU idle. Gradients are to be read only after `launch.join`.
    """

    scores: Tensor | None = None
    noise: Tensor | None = None
    scatter_buffer: Tensor | None = None
    side_stream: torch.cuda.Stream | None = None

    @classmethod
    def of(
        cls,
        student: Student,
        batch_size: int,
        seed: int,
        *,
        fuses_encoder: bool,
        keeps_scores: bool,
        picks_items: bool,
    ) -> StepBuffers:
        """Prepare for batches of at most this size.

        Args:
            student: on its device.
            batch_size: the most rows of a step.
            seed: of the training.
            fuses_encoder: whether `encode_fused` encodes on CUDA.
            keeps_scores: whether a step makes the scores of all items in memory of its own.
            picks_items: whether a step scores a few items a row by `score_items`.
        """
        weight = student.embedding.ids.weight
        if not weight.is_cuda:
            n_scores = batch_size * student.n_items
            fits = keeps_scores and n_scores <= MAX_SCORES
            return cls(torch.empty(n_scores, dtype=weight.dtype) if fits else None)
        scatter_buffer = None
        if fuses_encoder or picks_items:
            parts = (student.embedding.ids, student.output or student.embedding.ids)
            size = max(part.weight.shape[1] for part in parts)
            n = scatter_buffer_size(student.n_items, size)
            if not picks_items:  # only the windows' items are summed
                n = min(n, batch_size * student.max_length * size)
            scatter_buffer = torch.zeros(n, dtype=torch.int64, device=weight.device)
        if not fuses_encoder:
            return cls(scatter_buffer=scatter_buffer)
        # Seeds of different trainings are far apart, steps next to each other.
        noise = torch.tensor(seed % 2**31 << 32, dtype=torch.int64, device=weight.device)
        side_stream = torch.cuda.Stream(weight.device)  # type: ignore[no-untyped-call]
        return cls(None, noise, scatter_buffer, side_stream)
