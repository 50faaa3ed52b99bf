"""What a CUDA graph and a resumed run need of a training step on the GPU."""

from __future__ import annotations

import pytest
import torch

from dllm2rec.config.model import StudentConfig
from dllm2rec.distill import authors_objective, losses
from dllm2rec.students import build_student, score_items
from dllm2rec.students.window_offset import keep_real

pytestmark = pytest.mark.gpu
N, L, B, K = 3000, 10, 512, 20


def build(name, sides, dropout):
    torch.manual_seed(1)
    vectors = torch.randn(N, 128)
    return build_student(
        StudentConfig(name=name, tied=sides == "both", dropout=dropout),
        n_items=N,
        max_length=L,
        teacher_embeddings=vectors,
        embedding_weight=1.0,
        embedding_sides=sides,
        variant="default",
    ).cuda()


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(0)
    lengths = torch.randint(0, L + 1, (B,))
    parts = {
        "sequences": keep_real(torch.randint(0, 40, (B, L)), lengths, N),  # many repeats
        "lengths": lengths,
        "targets": torch.randint(N, (B,)),
        "negatives": torch.randint(N, (B, 5)),
        "ranking": torch.stack([torch.randperm(N)[:K] for _ in range(B)]),
        "distance": torch.rand(B, K),
        "propensity": losses.dros_propensity(torch.randint(0, 99, (N,))),
    }
    return {key: value.cuda() for key, value in parts.items()}


def every_loss(student, batch):
    """The mean of all losses at once."""
    table = student.item_table()
    users = student.encode(batch["sequences"], batch["lengths"], table)
    picked = score_items(users, *student.output_items(table), batch["negatives"])
    scores = student(batch["sequences"], batch["lengths"])
    target = scores.gather(1, batch["targets"].unsqueeze(1)).squeeze(1)
    listed = scores.gather(1, batch["ranking"])
    keep = losses.window_keep(batch["ranking"], batch["sequences"])
    q = losses.soft_target_probabilities(batch["distance"], keep, 0.05)
    static = (-batch["distance"]).softmax(1)
    weights = authors_objective.authors_weights(scores, batch["ranking"], static, 0.1)
    rows = authors_objective.authors_losses(
        scores,
        batch["targets"],
        batch["negatives"][:, 0],
        batch["ranking"],
        weights,
        batch["propensity"],
        dro_weight=0.5,
        dro_temperature=1.0,
    ).total(0.5, 0.7)
    rows = rows + losses.bce(target, picked)
    rows = rows + losses.dros(scores, batch["targets"], batch["propensity"], 1.0)
    rows = rows + losses.sampled_softmax(target, picked, torch.zeros_like(target), -3.0)
    rows = rows + losses.ranking_distillation(listed, weights)
    rows = rows + losses.soft_target_cross_entropy(scores.logsumexp(1), target, listed, q, 0.3)
    return rows.mean()


def gradients(student, batch):
    torch.manual_seed(7)
    student.zero_grad(set_to_none=True)
    every_loss(student, batch).backward()
    return [parameter.grad.clone() for parameter in student.parameters()]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


students = pytest.mark.parametrize("name", ["gru4rec", "caser", "sasrec"])
both_sides = pytest.mark.parametrize("sides", ["input", "both"])


@both_sides
@students
def test_gradients_repeat_bit_for_bit(name, sides, batch):
    student = build(name, sides, 0.3)
    first = gradients(student, batch)
    assert all(equal(first, gradients(student, batch)) for _ in range(3))


@both_sides
@students
def test_a_step_runs_in_a_cuda_graph(name, sides, batch):
    """Capture refuses whatever waits for the device."""
    student = build(name, sides, 0.0)
    expected = gradients(student, batch)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            student.zero_grad(set_to_none=True)
            every_loss(student, batch).backward()
    torch.cuda.current_stream().wait_stream(stream)
    student.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        every_loss(student, batch).backward()
    graph.replay()
    assert equal([parameter.grad for parameter in student.parameters()], expected)
