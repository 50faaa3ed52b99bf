"""The kernels of a training step on CUDA against the modules they stand for."""

from __future__ import annotations

import pytest
import torch

from dllm2rec.config.model import StudentConfig, TrainConfig
from dllm2rec.students import Student, build_student
from dllm2rec.students.fused_sasrec import can_fuse, encode_fused
from dllm2rec.students.window_offset import keep_real
from dllm2rec.train.nonfinite.guard import NonFiniteGuard
from dllm2rec.train.optimizer import DeviceOptimizer, HostOptimizer, Schedule

pytestmark = pytest.mark.gpu
B, N, L, D = 300, 60, 10, 64


def student_of(n_heads: int, dropout: float, size: int = D) -> Student:
    torch.manual_seed(1)
    student = build_student(
        StudentConfig(hidden_size=size, n_heads=n_heads, dropout=dropout),
        n_items=N,
        max_length=L,
        teacher_embeddings=torch.randn(N, 7),
        embedding_weight=1.0,
        embedding_sides="both",
        variant="default",
    )
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return student.cuda()


def windows() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    lengths = torch.arange(B) % (L + 1)
    sequences = keep_real(torch.randint(0, N, (B, L)), lengths, N)
    return sequences.cuda(), lengths.cuda()


def fused(student: Student, table: torch.Tensor, noise: int) -> tuple[torch.Tensor, torch.Tensor]:
    scatter_buffer = torch.zeros(N + 1, table.shape[1], dtype=torch.int64, device="cuda")
    seed = torch.tensor(noise, device="cuda")
    users, rows = encode_fused(student, table, *windows(), seed, scatter_buffer)
    return users, rows


@pytest.mark.parametrize("size", [16, 64, 128])
@pytest.mark.parametrize("n_heads", [1, 2])
def test_encoder_and_its_gradients_are_those_of_the_module(n_heads: int, size: int) -> None:
    student = student_of(n_heads, 0.0, size)
    assert can_fuse(student)
    upward = torch.randn(B, size, device="cuda")
    both = torch.randn(N + 1, size, device="cuda")
    got, expected = [], []
    for result, is_fused in ((got, True), (expected, False)):
        student.zero_grad(set_to_none=True)
        model = student if is_fused else student.double()
        table = model.item_table()
        assert table is not None
        table = table.detach().requires_grad_()
        if is_fused:
            users, rows = fused(student, table, 3)
        else:
            users, rows = model.encode(*windows(), table), table
        ((users * upward).sum() + (rows * both).sum()).backward()
        assert table.grad is not None
        result += [users.detach(), table.grad]
        result += [p.grad for n, p in model.encoder.named_parameters() if "key_value.bias" not in n]
    for mine, theirs in zip(got, expected, strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < 2e-6


def test_dropout_repeats_and_its_gradient_is_that_of_its_own_masks() -> None:
    student = student_of(2, 0.3)
    table = student.item_table()
    assert table is not None
    table = table.detach().requires_grad_()
    upward = torch.randn(B, D, device="cuda")

    def loss(noise: int) -> torch.Tensor:
        return (fused(student, table, noise)[0].double() * upward).sum()

    assert float(loss(5).detach()) == float(loss(5).detach())
    assert float(loss(5).detach()) != float(loss(6).detach())
    student.zero_grad(set_to_none=True)
    loss(5).backward()
    for name, parameter in [*student.encoder.named_parameters(), ("table", table)]:
        assert parameter.grad is not None
        slope = float(parameter.grad.norm())
        direction = parameter.grad / max(slope, 1e-9)
        with torch.no_grad():
            step = 1e-2 * direction
            parameter += step
            above = float(loss(5).detach())
            parameter -= 2 * step
            below = float(loss(5).detach())
            parameter += step
        assert abs((above - below) / 2e-2 - slope) < 0.02 * slope + 0.01, name


def test_gradients_of_popular_items_repeat_bit_for_bit() -> None:
    student = student_of(1, 0.3)
    found = []
    for _ in range(5):
        table = student.item_table()
        assert table is not None
        table = table.detach().requires_grad_()
        fused(student, table, 3)[0].square().sum().backward()
        found.append(table.grad)
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"weight_decay": 0.1},
        {"max_gradient_norm": 0.5},
        {"ema_decay": 0.9},
        {"schedule": "cosine", "warmup_steps": 3, "max_epochs": 2, "batch_size": 10},
    ],
)
def test_an_update_is_that_of_the_cpu(change: dict[str, object]) -> None:
    torch.manual_seed(0)
    config = TrainConfig.model_validate({"learning_rate": 0.01, **change})
    schedule = Schedule.of(config, 50)
    shapes = [(300, 20), (7,), (1,), ()]
    host = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    device = [torch.nn.Parameter(p.detach().clone().cuda()) for p in host]
    optimizers = (
        HostOptimizer(host, config, schedule),
        DeviceOptimizer(device, config, schedule),
    )
    troubles = [NonFiniteGuard.none(p[0].device) for p in (host, device)]
    scatter_buffer = [torch.zeros(3), torch.zeros(3, device="cuda")]
    for step in range(12):
        gradients = [torch.randn(shape) * (step + 1) for shape in shapes]
        terms = torch.rand(2, 40)
        for n, place in enumerate(("cpu", "cuda")):
            moved = [None if i == 1 else g.to(place) for i, g in enumerate(gradients)]
            if step == 11:
                moved[0] = moved[0] * torch.nan  # type: ignore[operator]
            optimizers[n].update(moved, terms.to(place), troubles[n], scatter_buffer[n])
    for optimizer in optimizers:
        optimizer.swap_average()
    for mine, theirs in zip(device, host, strict=True):
        torch.testing.assert_close(mine.cpu(), theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scatter_buffer[1].cpu(), scatter_buffer[0])
    assert [int(t.first) for t in troubles] == [11, 11]
    assert [float(t.flag) for t in troubles] == [1.0, 1.0]
