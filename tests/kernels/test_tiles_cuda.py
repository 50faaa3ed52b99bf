"""The pass over all items in tiles, on a GPU: against float64, and the same bits twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dllm2rec.distill import catalogue_loss
from dllm2rec.distill.catalogue_loss import can_tile, catalogue_terms_of
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from tests.distill import test_catalogue_loss as plain_form
from tests.distill.test_catalogue_loss import SPECS, plain, results

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
TILED = [name for name, spec in SPECS.items() if can_tile(spec, 64)]


@pytest.fixture(autouse=True)
def many_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_loss, "FEW_SCORES", 0)


def larger(spec: TermSpec, size: int) -> tuple[list[Tensor], TermInputs]:
    """Several blocks of rows and many tiles of items, some partly empty; float32 sees no tie."""
    rng = torch.Generator().manual_seed(5)
    n_rows, n_items, first = 389, 5_003, 1 + spec.n_negatives
    users = torch.randn(n_rows, size, generator=rng) / size**0.25
    matrix = torch.randn(n_items + 1, size, generator=rng) / size**0.25
    n_listed = 7 if spec.list_weight > 0 else 0
    weight = torch.rand(n_rows, n_listed, generator=rng)
    inputs = TermInputs(
        items=torch.randint(n_items, (n_rows, first + n_listed), generator=rng),
        weight=weight,
        kept=torch.ones_like(weight),
        windows=right_padded(torch.randint(n_items, (n_rows, 50), generator=rng), n_items),
        dro_slope=torch.rand(n_items, generator=rng) * 0.3,
        in_softmax=torch.rand(n_items, generator=rng) > 0.3 if spec.sums_all else None,
        n_items=n_items,
    )
    return [users, matrix, torch.randn(n_items, generator=rng) * 0.1, torch.tensor(0.4)], inputs


def right_padded(windows: Tensor, n_items: int) -> Tensor:
    """Windows of every length; an item may stand in one twice."""
    lengths = torch.arange(len(windows)) % (windows.shape[1] + 1)
    windows[:, 1] = windows[:, 0]
    return windows.where(torch.arange(windows.shape[1]) < lengths[:, None], n_items)


def moved(inputs: TermInputs, dtype: torch.dtype, device: str) -> TermInputs:
    tensors = {name: value for name, value in vars(inputs).items() if isinstance(value, Tensor)}
    return replace(
        inputs,
        **{
            name: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for name, value in tensors.items()
        },
    )


@pytest.mark.parametrize(("precision", "close"), [("exact", 4e-6), ("mixed", 3e-3)])
@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("name", TILED)
def test_tiles_agree_with_float64(
    monkeypatch: pytest.MonkeyPatch, name: str, size: int, precision: str, close: float
) -> None:
    spec = SPECS[name]
    leaves, inputs = larger(spec, size)
    monkeypatch.setattr(plain_form, "N", inputs.n_items)
    wide = [leaf.double().requires_grad_() for leaf in leaves]
    expected = results(plain(wide, moved(inputs, torch.float64, "cpu"), spec), wide)
    found = []
    for _ in range(2):
        given = [leaf.to("cuda").requires_grad_() for leaf in leaves]
        terms = catalogue_terms_of(CUDA, precision)
        found.append(results(terms(*given, moved(inputs, torch.float32, "cuda"), spec), given))
    for mine, again, theirs in zip(*found, expected, strict=True):
        scale = theirs.norm() if theirs.ndim else expected[1].norm()
        assert float((mine - theirs).norm() / scale) < close
        assert torch.equal(mine, again)
