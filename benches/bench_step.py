"""One training step on the CPU, 17,408 items, batch 256: SASRec, DROS and the teacher's lists.

The peer is the same step in plain eager PyTorch: one tensor of scores, each loss a chain of
operations on it, torch.topk for the student's own list, torch.optim.Adam. Losses and gradients are
compared before anything is timed.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed
from dllm2rec.runtime.device import deterministic
from dllm2rec.students import Student
from dllm2rec.train.loop import Training
from dllm2rec.train.step import Stepper
from step_times import PAPER, random_teacher, world

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ITEMS = int(17_408 * SCALE)
BATCH = 256
CONFIG = changed(PAPER, train={"device": "cpu", "batch_size": BATCH})


def build() -> Stepper:
    """A training of random rows, at its first step."""
    dataset = world(N_ITEMS, 4 * BATCH)
    teacher = random_teacher(dataset, 384)
    torch.manual_seed(0)
    student = make_student(CONFIG, dataset, teacher)
    task = make_training_data(CONFIG, dataset, teacher, torch.device("cpu"))
    stepper = Training(student, task, CONFIG).stepper
    assert stepper.negatives is not None
    assert task.sampler is not None
    stepper.negatives.copy_(task.sampler.epoch(0, 0))
    return stepper


def plain_loss(stepper: Stepper, rows: Tensor) -> Tensor:
    """The mean loss as one would write it down."""
    batch = stepper.rows.batch(rows, stepper.negatives)
    student: Student = stepper.student
    embedding = student.embedding
    assert embedding.projector is not None
    assert embedding.teacher is not None
    projected = torch.nn.functional.pad(embedding.projector(embedding.teacher), (0, 0, 0, 1))
    table = embedding.ids.weight + embedding.weight * projected
    users = student.encode(batch.sequences, batch.lengths, table)
    scores = users @ table[: student.n_items].T + student.bias
    target = scores.gather(1, batch.targets[:, None])
    assert batch.negatives is not None
    negative = scores.gather(1, batch.negatives)
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    base = binary(target, torch.ones_like(target)) + binary(negative, torch.zeros_like(negative))
    goal = torch.zeros_like(scores).scatter_(1, batch.targets[:, None], 1.0)
    loss = CONFIG.loss
    exponents = stepper.propensity * (scores - goal) ** 2 / loss.dro_temperature
    robust = torch.logsumexp(exponents, 1).mean()
    lists, distillation = batch.lists, CONFIG.distillation
    assert lists is not None
    top = scores.topk(distillation.top_k, dim=1).indices
    agreed = (lists.items[:, :, None] == top[:, None, :]).any(2).float()
    weight = lists.weight + distillation.consistency_gamma * agreed * lists.kept
    ranking = (weight * torch.nn.functional.softplus(-scores.gather(1, lists.items))).sum(1).mean()
    (share,) = distillation.ranking_weights
    return base + loss.dro_weight * robust + share * ranking


def plain() -> Callable[[Tensor], None]:
    stepper = build()
    optimizer = torch.optim.Adam(stepper.student.parameters(), lr=CONFIG.train.learning_rate)

    def step(rows: Tensor) -> None:
        optimizer.zero_grad()
        loss = plain_loss(stepper, rows)
        assert torch.isfinite(loss)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


@pytest.mark.parametrize("peer", ["dllm2rec", "eager pytorch"])
def test_step(benchmark, peer: str) -> None:
    rows = torch.arange(BATCH)
    with deterministic():
        mine = build()
        mine.student.eval()  # without dropout both see the same
        batch = mine.rows.batch(rows, mine.negatives)
        ours = mine.objective.terms(mine.student, batch).sum(0).mean()
        theirs = plain_loss(mine, rows)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        first, second = (torch.autograd.grad(x, mine.parameters) for x in (ours, theirs))
        for a, b in zip(first, second, strict=True):
            assert float((a - b).norm()) < 1e-4 * float(b.norm()) + 1e-8
        mine.student.train()
        step = mine.step if peer == "dllm2rec" else plain()
        benchmark.group = "step/games"
        benchmark.extra_info["peer"] = peer
        benchmark.pedantic(step, args=(rows,), warmup_rounds=2, rounds=int(15 * min(SCALE * 10, 1)))
