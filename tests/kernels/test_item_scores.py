"""Scores of picked items on CUDA: the kernels against torch in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dllm2rec.students import score_items
from dllm2rec.students.item_scores import scatter_buffer_size

pytestmark = pytest.mark.gpu
B, N = 300, 500


def problem(n_listed: int, width: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Users, items and biases; picks, of which a third is one item; what flows back."""
    torch.manual_seed(0)
    leaves = [torch.randn(B, width), torch.randn(N + 1, width), torch.randn(N)]
    items = torch.randint(N, (B, n_listed))
    items[:, ::3] = 7
    up = torch.randn(B, n_listed) * torch.logspace(-6, 0, B)[:, None]
    return [leaf.cuda() for leaf in leaves], items.cuda(), up.cuda()


def results(
    parts: list[Tensor], items: Tensor, up: Tensor, scatter_buffer: Tensor | None
) -> list[Tensor]:
    inputs = [part.clone().requires_grad_() for part in parts]
    scores = score_items(
        inputs[0], inputs[1], inputs[2] if inputs[2:] else None, items, scatter_buffer
    )
    return [scores.detach(), *torch.autograd.grad((scores * up.to(scores)).sum(), inputs)]


@pytest.mark.parametrize("width", [16, 50, 64, 112])
@pytest.mark.parametrize("n_listed", [1, 12, 200])
@pytest.mark.parametrize("n_parts", [2, 3], ids=["bare", "biased"])
def test_scores_and_gradients_are_those_of_torch(n_parts: int, n_listed: int, width: int) -> None:
    leaves, items, up = problem(n_listed, width)
    parts = leaves[:n_parts]
    scatter_buffer = torch.zeros(scatter_buffer_size(N, width), dtype=torch.int64, device="cuda")
    got = results(parts, items, up, scatter_buffer)
    assert not scatter_buffer.any()
    expected = results([part.double() for part in parts], items, up, None)
    for mine, theirs in zip(got, expected, strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < 1e-6
    for _ in range(3):
        again = results(parts, items, up, scatter_buffer)
        assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))


def test_what_is_not_finite_reaches_the_gradient_and_leaves_nothing_behind() -> None:
    leaves, items, up = problem(12, 64)
    scatter_buffer = torch.zeros(scatter_buffer_size(N, 64), dtype=torch.int64, device="cuda")
    up[3, 4] = torch.nan
    _, to_users, to_matrix, to_bias = results(leaves, items, up, scatter_buffer)
    assert to_users[3].isnan().all()
    assert to_users[:3].isfinite().all()
    assert to_matrix.isnan().any()
    assert to_bias.isnan().any()
    assert not scatter_buffer.any()
