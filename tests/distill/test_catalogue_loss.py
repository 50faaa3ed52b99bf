"""The one pass over the catalogue against the plain terms, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dllm2rec.distill import losses
from dllm2rec.distill.catalogue_loss import catalogue_terms
from dllm2rec.distill.weights import consistency_from_scores
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec
from dllm2rec.students.window_offset import add_window_offset_, window_items

B, N, D, K, L = 9, 300, 16, 5, 4
SPECS = {
    "bce": TermSpec(
        base="bce",
        n_negatives=2,
        dro_weight=0.5,
        list_weight=0.7,
        has_ranking=True,
        consistency=0.1,
        top_k=K,
    ),
    "bce alone": TermSpec(
        base="bce",
        n_negatives=1,
        dro_weight=0.0,
        list_weight=0.0,
        has_ranking=False,
        consistency=0.0,
        top_k=K,
    ),
    "softmax": TermSpec(
        base="softmax",
        n_negatives=0,
        dro_weight=0.0,
        list_weight=0.0,
        has_ranking=False,
        consistency=0.0,
        top_k=K,
    ),
    "softmax and all": TermSpec(
        base="softmax",
        n_negatives=0,
        dro_weight=0.5,
        list_weight=0.3,
        has_ranking=True,
        consistency=0.1,
        top_k=30,
    ),
    "soft targets": TermSpec(
        base="soft_targets",
        n_negatives=0,
        dro_weight=0.5,
        list_weight=0.3,
        has_ranking=False,
        consistency=0.0,
        top_k=K,
    ),
    "sampled": TermSpec(
        base="softmax",
        n_negatives=0,
        dro_weight=0.0,
        list_weight=0.0,
        has_ranking=False,
        consistency=0.0,
        top_k=K,
        n_sampled=40,
    ),
    "sampled soft targets and dros": TermSpec(
        base="soft_targets",
        n_negatives=0,
        dro_weight=0.5,
        list_weight=0.3,
        has_ranking=False,
        consistency=0.0,
        top_k=K,
        n_sampled=3,
    ),
    "sampled and ranks": TermSpec(
        base="softmax",
        n_negatives=0,
        dro_weight=0.0,
        list_weight=0.3,
        has_ranking=True,
        consistency=0.1,
        top_k=30,
        n_sampled=1,
    ),
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.gpu),
]


def problem(
    spec: TermSpec, device: str, dtype: torch.dtype, *, extras: bool
) -> tuple[list[Tensor | None], TermInputs]:
    """Users, items, bias and offset to differentiate, and the rest; the same numbers each time."""
    rng = torch.Generator().manual_seed(1)
    users, matrix = torch.randn(B, D, generator=rng), torch.randn(N + 1, D, generator=rng) * 0.3
    bias, offset = torch.randn(N, generator=rng) * 0.1, torch.tensor(0.37)
    first = 1 + spec.n_negatives
    items = torch.stack([torch.randperm(N, generator=rng)[: first + K] for _ in range(B)])
    items[1, first] = items[1, 0]  # the target is listed too
    if spec.n_negatives > 1:
        items[0, 2] = items[0, 1]  # a negative is drawn twice
    matrix[items[6, first]] = matrix[items[6, first + 1]]  # two listed items tie
    windows = torch.randint(0, N + 1, (B, L), generator=rng)
    windows[2], windows[3], windows[4, 1] = windows[2, 0], N, items[4, 0]
    weight = torch.rand(B, K, generator=rng)
    weight[5] = 0
    weight /= weight.sum(1, keepdim=True).clamp(min=1e-9)
    counted = torch.rand(N, generator=rng) > 0.3
    counted[items[:, 0]] = True
    sampled, log_expected = None, None
    if spec.n_sampled:
        sampled = torch.stack([_others(items[b, 0], windows[b], rng) for b in range(B)])
        sampled = sampled[:, torch.randint(12, (spec.n_sampled,), generator=rng)]  # with repeats
        if items[1, first + 1] not in windows[1]:
            sampled[1, 0] = items[1, first + 1]  # and an item of the list
        sampled = torch.cat([sampled, window_items(windows, items[:, 0], N)], dim=1)
        log_expected = (torch.randn(B, generator=rng) - 3).to(device, dtype)
    leaves = [users, matrix, bias if extras else None, offset if extras else None]
    moved = [x if x is None else x.to(device, dtype).requires_grad_() for x in leaves]
    inputs = TermInputs(
        items=items.to(device),
        weight=weight.to(device, dtype),
        kept=(weight > 0).to(device, dtype),
        windows=windows.to(device),
        dro_slope=(torch.rand(N, generator=rng) * 0.5 + 0.3).to(device, dtype),
        in_softmax=counted.to(device) if extras and spec.sums_all else None,
        share=torch.rand(B, generator=rng).to(device, dtype) if extras else None,
        n_items=N,
        sampled=None if sampled is None else sampled.to(device),
        log_expected=log_expected,
    )
    return moved, inputs


def _others(target: Tensor, window: Tensor, rng: torch.Generator) -> Tensor:
    """Items that are neither."""
    order = torch.randperm(N, generator=rng)
    return order[~torch.isin(order, torch.cat([target[None], window]))][:12]


def plain(leaves: list[Tensor | None], inputs: TermInputs, spec: TermSpec) -> Tensor:
    """The terms from the full matrix of scores, with `losses`."""
    users, matrix, bias, offset = leaves
    assert users is not None
    assert matrix is not None
    scores = torch.nn.functional.linear(users, matrix[:N], bias)
    if offset is not None:
        scores = add_window_offset_(scores, inputs.windows, offset)
    first = 1 + spec.n_negatives
    own = scores.gather(1, inputs.items)
    target, negative, candidate = own[:, 0], own[:, 1:first], own[:, first:]
    counted = scores
    if inputs.in_softmax is not None:
        counted = scores.masked_fill(~inputs.in_softmax, -torch.inf)
    if spec.base == "bce":
        rows = [losses.bce(target, negative)]
    elif spec.base == "softmax":
        rows = [_log_z(counted, target, inputs) - target]
    else:
        log_z = _log_z(counted, target, inputs)
        soft = losses.soft_target_cross_entropy
        share = spec.list_weight if inputs.share is None else inputs.share
        rows = [soft(log_z, target, candidate, inputs.weight, share)]
    if spec.dro_weight > 0:
        robust = losses.dros(scores, inputs.items[:, 0], inputs.dro_slope, 1.0)
        rows.append(spec.dro_weight * robust)
    if spec.has_ranking:
        agreed = consistency_from_scores(scores, inputs.items[:, first:], spec.top_k).to(scores)
        weight = inputs.weight + spec.consistency * agreed * inputs.kept
        rows.append(spec.list_weight * losses.ranking_distillation(candidate, weight))
    return torch.stack(rows)


def _log_z(counted: Tensor, target: Tensor, inputs: TermInputs) -> Tensor:
    if inputs.sampled is None or inputs.log_expected is None:
        return counted.logsumexp(1)
    scores = counted.gather(1, inputs.sampled.clamp(min=0))
    log_q = inputs.log_expected[:, None].repeat(1, inputs.sampled.shape[1])
    log_q[:, -L:] = torch.where(inputs.sampled[:, -L:] < 0, torch.inf, 0.0)
    return losses.sampled_softmax(target, scores, torch.zeros_like(target), log_q) + target


def results(terms: Tensor, leaves: list[Tensor | None]) -> list[Tensor]:
    """Terms and gradients, every term and row with a factor of its own."""
    factors = torch.linspace(0.5, 1.5, terms.numel(), device=terms.device, dtype=terms.dtype)
    (terms * factors.view_as(terms)).sum().backward()
    gradients = [leaf.grad for leaf in leaves if leaf is not None and leaf.grad is not None]
    return [terms.detach().cpu().double(), *(g.cpu().double() for g in gradients)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("extras", [False, True], ids=["bare", "bias offset mask share"])
@pytest.mark.parametrize("max_scores", [1 << 28, B * 70], ids=["one chunk", "chunks"])
@pytest.mark.parametrize("name", SPECS)
def test_terms_and_gradients_are_those_of_the_plain_form(
    name: str, max_scores: int, extras: bool, device: str
) -> None:
    spec = SPECS[name]
    leaves, inputs = problem(spec, "cpu", torch.float64, extras=extras)
    expected = results(plain(leaves, inputs, spec), leaves)
    for dtype in (torch.float64, torch.float32) if device == "cpu" else (torch.float32,):
        leaves, inputs = problem(spec, device, dtype, extras=extras)
        users, matrix, bias, offset = leaves
        assert users is not None
        assert matrix is not None
        terms = catalogue_terms(users, matrix, bias, offset, inputs, spec, max_scores=max_scores)
        got = results(terms, leaves)
        assert len(got) == len(expected)
        # Gradients go through one more product of 300 terms than the losses, and through exponents
        # of DROS, twice a dozen: as many steps of float32 in their exponentials for one in a score.
        close = (1e-11, 1e-11) if dtype == torch.float64 else (1e-6, 5e-6)
        # The offset's gradient is a sum that nearly cancels: it is held to the size of its parts.
        for n, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
            scale = theirs.norm() if theirs.ndim else expected[1].norm()
            assert float((mine - theirs).norm() / scale) < close[min(n, 1)]


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_but_the_scores_depends_on_the_chunks(device: str) -> None:
    spec = SPECS["softmax and all"]
    found = []
    for max_scores in (1 << 28, B * 70, B):
        leaves, inputs = problem(spec, device, torch.float32, extras=True)
        users, matrix, bias, offset = leaves
        assert users is not None
        assert matrix is not None
        terms = catalogue_terms(users, matrix, bias, offset, inputs, spec, max_scores=max_scores)
        found.append(results(terms, leaves))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_score_that_is_not_finite_reaches_the_terms_and_the_gradient(device: str) -> None:
    spec = SPECS["soft targets"]
    leaves, inputs = problem(spec, device, torch.float32, extras=False)
    users, matrix, bias, offset = leaves
    assert users is not None
    assert matrix is not None
    with torch.no_grad():
        users[4, 0] = torch.nan
    terms = catalogue_terms(users, matrix, bias, offset, inputs, spec)
    bad = ~torch.isfinite(terms).all(0)
    assert bad.nonzero().flatten().tolist() == [4]
    terms.sum().backward()
    assert users.grad is not None
    assert not torch.isfinite(users.grad[4]).all()
    assert torch.isfinite(users.grad[:4]).all()
