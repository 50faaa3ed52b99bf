"""One update, the same in eager mode and in a CUDA graph, that never applies a non-finite loss.

A sticky flag on the device guards the weights: once a loss term or the gradient's norm is not
finite, that update and all later ones are suppressed (the fused optimizer reads the flag), and
the number of the first bad step is kept until the host looks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.config import Config
from dllm2rec.students import Student
from dllm2rec.train.batches import TrainingRows
from dllm2rec.train.objective import batch_terms

WARM_UP_STEPS = 3  # before capture: library handles, autotuned algorithms, allocator pools


@dataclass(eq=False)
class Trouble:
    """The device's own record of the first non-finite step."""

    flag: Tensor  # float32 (): 1 once something was not finite
    steps: Tensor  # int64 (): steps taken so far
    first: Tensor  # int64 (): the first bad step, from 0; -1 if none

    @classmethod
    def none(cls, device: torch.device) -> Trouble:
        """A clean record."""
        return cls(
            torch.zeros((), device=device),
            torch.zeros((), dtype=torch.int64, device=device),
            torch.full((), -1, dtype=torch.int64, device=device),
        )

    def note(self, finite: Tensor) -> None:
        """Count a step, and keep its number if it is the first that is not finite."""
        bad = ~finite
        self.first.copy_(torch.where(bad & (self.first < 0), self.steps, self.first))
        self.flag.copy_(torch.maximum(self.flag, bad.to(self.flag.dtype)))
        self.steps.add_(1)

    def clear(self) -> None:
        """Forget everything, in place."""
        self.flag.zero_()
        self.steps.zero_()
        self.first.fill_(-1)


class Stepper:
    """Takes optimizer steps on batches of row numbers.

    Attributes:
        loss_sum: sum over the epoch's rows of each term and of the total, (n_terms + 1,).
        trouble: what the device saw.
        names: the terms in the order of `loss_sum`.
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
        self.optimizer = torch.optim.Adam(
            student.parameters(),
            lr=config.train.learning_rate,
            weight_decay=config.train.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.trouble = Trouble.none(device)
        self.optimizer.found_inf = self.trouble.flag  # type: ignore[attr-defined]
        self.names = tuple(self.terms(torch.zeros(1, dtype=torch.int64, device=device)))
        self.loss_sum = torch.zeros(len(self.names) + 1, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._graph_rows = torch.empty(0, dtype=torch.int64, device=device)

    def terms(self, rows: Tensor) -> dict[str, Tensor]:
        """The terms of the loss of some rows, each (B,)."""
        batch = self.rows.batch(rows, self.negatives)
        return batch_terms(self.student, batch, self.config, self.propensity)

    def step(self, rows: Tensor) -> None:
        """Update the student on a batch, replaying the graph where one of this size exists."""
        if self._graph is not None and len(rows) == len(self._graph_rows):
            self._graph_rows.copy_(rows)
            self._graph.replay()
        else:
            self._eager(rows)

    def _eager(self, rows: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        terms = self.terms(rows)
        total = torch.stack(tuple(terms.values())).sum(dim=0)
        torch.autograd.backward(total.mean())
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        sums = torch.stack(
            [*(term.detach().sum() for term in terms.values()), total.detach().sum()]
        )
        self.trouble.note(torch.isfinite(sums).all() & torch.isfinite(norm))
        self.optimizer.step()
        self.loss_sum.add_(sums)

    def capture(self, batch_size: int, seed: int) -> None:
        """Record the step in a CUDA graph; weights and random numbers are left as they were.

        The warm-up runs with the flag raised, so that no update is applied.
        """
        self._graph_rows = torch.arange(batch_size, device=self.loss_sum.device)
        self.trouble.flag.fill_(1.0)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self._eager(self._graph_rows)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._eager(self._graph_rows)
        self._graph = graph
        self.trouble.clear()
        self.loss_sum.zero_()
        torch.manual_seed(seed)
