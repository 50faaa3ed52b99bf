"""The two forms of the optimizer keep one state: a training moves between CPU and GPU."""

from __future__ import annotations

import pytest
import torch

from dllm2rec.config.model import TrainConfig
from dllm2rec.train import private_torch
from dllm2rec.train.nonfinite.guard import NonFiniteGuard
from dllm2rec.train.optimizer import DeviceOptimizer, HostOptimizer, Schedule

SHAPES = [(300, 20), (7,), (1,), ()]
CONFIG = TrainConfig.model_validate({"ema_decay": 0.9})


def both() -> tuple[HostOptimizer, DeviceOptimizer]:
    """Each with weights of its own; the form for CUDA lies on the CPU here."""
    torch.manual_seed(0)
    schedule = Schedule.of(CONFIG, 50)
    weights = [[torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES] for _ in range(2)]
    return (
        HostOptimizer(weights[0], CONFIG, schedule),
        DeviceOptimizer(weights[1], CONFIG, schedule),
    )


def moved(host: HostOptimizer, n_steps: int) -> HostOptimizer:
    guard, sums = NonFiniteGuard.none(torch.device("cpu")), torch.zeros(2)
    for _ in range(n_steps):
        gradients = [torch.randn(shape) for shape in SHAPES]
        host.update(gradients, torch.rand(1, 5), guard, sums)
    return host


def test_a_state_goes_from_one_form_to_the_other_and_back() -> None:
    host, device = both()
    state = moved(host, 3).state()
    device.load(state)
    taken = device.state()
    assert taken.keys() == state.keys()
    assert all(torch.equal(taken[name], state[name]) for name in state)
    assert all(taken[name].shape == state[name].shape for name in state)
    again, _ = both()
    again.load(taken)
    back = again.state()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert [float(steps) for steps in again.steps] == [3.0] * len(SHAPES)


def test_averages_begin_at_the_weights() -> None:
    for optimizer in both():
        weights = (
            optimizer.parameters if isinstance(optimizer, HostOptimizer) else [optimizer.weights]
        )
        with torch.no_grad():
            for weight in weights:
                weight.add_(1.0)
        optimizer.begin_average()
        before = [weight.clone() for weight in weights]
        optimizer.swap_average()
        assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))


def test_flat_memory_between_weights_stays_zero() -> None:
    host, device = both()
    device.load(moved(host, 2).state())
    n_weights = sum(torch.Size(shape).numel() for shape in SHAPES)
    assert int((device.second != 0).sum()) == n_weights
    assert device.second.numel() > n_weights


def test_the_private_functions_of_torch_take_what_they_are_given() -> None:
    adam = {argument.name for argument in torch.ops.aten._fused_adam_.default._schema.arguments}
    assert adam >= {"lr", "beta1", "beta2", "weight_decay", "eps", "amsgrad", "maximize"}
    assert "found_inf" in adam
    copies = torch.ops.aten._foreach_copy_.default._schema.arguments
    assert [argument.name for argument in copies][:2] == ["self", "src"]
    assert all(private_torch._private(name) for name in ("_fused_adam_", "_foreach_copy_"))


def test_without_them_the_updates_are_the_same_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrainConfig.model_validate({"weight_decay": 0.1})
    weights, ends = [torch.randn(shape) for shape in SHAPES], []
    for is_there in (True, False):
        if not is_there:
            monkeypatch.delattr(torch, "_fused_adam_")
            monkeypatch.delattr(torch, "_foreach_copy_")
            private_torch._private.cache_clear()
        torch.manual_seed(1)
        parameters = [torch.nn.Parameter(weight.clone()) for weight in weights]
        host = moved(HostOptimizer(parameters, config, Schedule.of(config, 50)), 3)
        bad = [torch.full(shape, torch.nan) for shape in SHAPES]
        guard = NonFiniteGuard.none(torch.device("cpu"))
        host.update(bad, torch.rand(1, 5), guard, torch.zeros(2))
        assert [float(steps) for steps in host.steps] == [3.0] * len(SHAPES)
        copied = [torch.zeros(3)]
        private_torch.copy_each_(copied, [torch.ones(3)])
        assert copied[0].tolist() == [1.0] * 3
        ends.append([*parameters, *host.first, *host.second])
    private_torch._private.cache_clear()
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert [record.getMessage()[:7] for record in caplog.records] == ["W-TORCH"] * 2
