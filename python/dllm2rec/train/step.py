"""One update, the same in eager mode and in a CUDA graph, that never applies a non-finite loss.

A sticky flag on the device guards the weights: once a loss term or the gradient's norm is not
finite, that update and all later ones are suppressed (the optimizer reads the flag), and the number
of the first bad step is kept until the host looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dllm2rec.batches.training_rows import TrainingRows
from dllm2rec.config.model import Config
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.objective import choose_objective
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.kernels.launch import compiled_together, fork, join
from dllm2rec.runtime.device import check_compiler
from dllm2rec.runtime.distributed import average_gradients, process_rows, size
from dllm2rec.students import Student
from dllm2rec.train.nonfinite.guard import NonFiniteGuard
from dllm2rec.train.optimizer import make_optimizer

# Of every parameter, None where the loss does not reach; and the terms, (n_terms, rows).
Gradients = tuple[Sequence[Tensor | None], Tensor]
WARM_UP_STEPS = 3  # before capture: library handles, compiled kernels, allocator pools


class Stepper:
    """Takes optimizer steps on batches of row numbers.

    Attributes:
        loss_sum: sum over the epoch's rows of each term and of the total, (n_terms + 1,).
        guard: what the device saw.
        objective: what the student is trained on.
        names: the terms in the order of `loss_sum`.
        optimizer: moments, averages, the number of updates.
    """

    def __init__(
        self,
        student: Student,
        rows: TrainingRows,
        config: Config,
        *,
        propensity: Tensor,
        negatives: Tensor | None,
    ) -> None:
        self.student = student
        self.rows = rows
        self.config = config
        self.propensity = propensity
        self.negatives = negatives
        device = rows.rows.end.device
        check_compiler(device)
        self.optimizer = make_optimizer(student, config.train, len(rows.rows))
        self.parameters = list(student.parameters())
        self.guard = NonFiniteGuard.none(device)
        batch_size = min(config.train.batch_size, len(rows.rows))
        self.objective = choose_objective(
            student,
            config,
            propensity,
            rows.in_softmax,
            batch_size,
            has_lists=rows.lists is not None,
            in_passes=rows.passes is not None,
            table_gradient=self.optimizer.gradient_memory(student.embedding.ids.weight),
        )
        self.names = self.objective.names
        self.loss_sum = torch.zeros(len(self.names) + 1, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._graph_rows = torch.empty(0, dtype=torch.int64, device=device)

    @property
    def buffers(self) -> StepBuffers:
        """What every step uses again."""
        return self.objective.buffers

    def terms(self, rows: Tensor) -> dict[str, Tensor]:
        """The terms of the loss of some rows, each (B,)."""
        terms = self.objective.terms(self.student, self.rows.batch(rows, self.negatives))
        return dict(zip(self.names, terms, strict=True))

    def step(self, rows: Tensor) -> None:
        """Update the student on a batch, replaying the graph where one of this size exists."""
        if self._graph is not None and len(rows) == len(self._graph_rows):
            self._graph_rows.copy_(rows)
            self._graph.replay()
        else:
            self._eager(rows)

    def _eager(self, rows: Tensor) -> None:
        self._apply(*self._gradients(process_rows(rows), len(rows)))

    def _gradients(self, rows: Tensor, n_rows: int) -> Gradients:
        """Gradients of the sum of the rows' losses over `n_rows`, and their terms."""
        if len(rows) == 0:  # fewer rows than processes
            return [None] * len(self.parameters), self.loss_sum.new_zeros(len(self.names), 0)
        return self._of_batch(self.rows.batch(rows, self.negatives), n_rows)

    def _of_batch(self, batch: Batch, n_rows: int) -> Gradients:
        fork(self.buffers.side_stream)
        terms = self.objective.terms(self.student, batch)
        loss = _Loss.apply(terms, 1 / n_rows)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        join(self.buffers.side_stream)
        return gradients, terms.detach()

    def _apply(self, gradients: Sequence[Tensor | None], terms: Tensor) -> None:
        gradients, terms = average_gradients(self.parameters, gradients, terms)
        self.optimizer.update(gradients, terms, self.guard, self.loss_sum)
        if self.buffers.noise is not None:
            self.buffers.noise.add_(1)

    def prepare(self, batch_size: int, seed: int) -> None:
        """Compile the step for CUDA and, in a single process, record it in a CUDA graph.

        Weights and random numbers are left as they were: all runs with the flag raised, so that no
        update is applied.
        """
        rows = torch.arange(batch_size, device=self.loss_sum.device)
        noise = None if self.buffers.noise is None else self.buffers.noise.clone()
        self.guard.flag.fill_(1.0)
        if len(process_rows(rows)) > 0:
            self._compile(process_rows(rows), batch_size)
        if size() == 1:  # not tested: a graph that holds NCCL's sum
            self._capture(rows)
        self.guard.clear()
        self.loss_sum.zero_()
        if noise is not None and self.buffers.noise is not None:
            self.buffers.noise.copy_(noise)
        torch.manual_seed(seed)

    def _compile(self, rows: Tensor, n_rows: int) -> None:
        """Compile every kernel of a step at once; none is launched."""
        with compiled_together():
            batch = self.rows.batch(rows, self.negatives).zero_()
            gradients, terms = self._of_batch(batch, n_rows)
            self.optimizer.update(gradients, terms, self.guard, self.loss_sum)

    def _capture(self, rows: Tensor) -> None:
        self._graph_rows = rows
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UP_STEPS):
                self._eager(self._graph_rows)
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        # On a stream of its own, whose workspaces no other training's graph shares; other threads
        # may meanwhile pin memory for the rows of an epoch.
        with torch.cuda.graph(graph, stream=side_stream, capture_error_mode="thread_local"):
            self._eager(self._graph_rows)
        self._graph = graph


class _Loss(torch.autograd.Function):
    """The sum of all terms, each with the same weight; its value is never needed, so it is 0.

    `torch.autograd.grad` of the terms themselves would first import a computer algebra system.
    """

    @staticmethod
    def forward(ctx: Any, terms: Tensor, weight: float) -> Tensor:  # noqa: ANN401
        ctx.shape, ctx.weight = terms.shape, weight
        return terms.new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return grad.new_full(ctx.shape, ctx.weight), None
