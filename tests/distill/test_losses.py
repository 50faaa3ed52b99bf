from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from dllm2rec import _core
from dllm2rec.distill import losses
from tests.reference import losses as reference

seeds = st.integers(0, 2**32 - 1)
spreads = st.sampled_from([0.0, 0.1, 3.0, 40.0])


def draw(seed, spread, n_items=17, n_listed=5):
    """A batch of scores, targets, lists without repeats and list weights."""
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(1, 5))
    scores = rng.normal(scale=spread, size=(n_rows, n_items))
    targets = rng.integers(n_items, size=n_rows)
    ranking = np.stack([rng.permutation(n_items)[:n_listed] for _ in range(n_rows)])
    weights = rng.random((n_rows, n_listed))
    return scores, targets, ranking, weights


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


def close(result, expected, rtol=1e-12):
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=rtol, atol=1e-12)


@given(seeds, spreads, st.integers(1, 4))
@settings(deadline=None)
def test_bce_equals_its_twin(seed, spread, n_negatives):
    scores, targets, ranking, _ = draw(seed, spread)
    target = np.take_along_axis(scores, targets[:, None], 1)[:, 0]
    negative = np.take_along_axis(scores, ranking[:, :n_negatives], 1)
    close(losses.bce(*tensors(target, negative)), reference.bce(target, negative))


def test_bce_with_one_negative_is_the_sum_of_both_terms():
    row = losses.bce(torch.tensor([0.0]), torch.tensor([[0.0]]))
    assert row.item() == pytest.approx(2 * np.log(2))


def test_bce_weighs_the_target_alike_for_any_number_of_negatives():
    """So that `loss.n_negatives` does not move the balance with the lists."""
    slopes = []
    for n_negatives in (1, 7):
        target = torch.tensor([0.3], requires_grad=True)
        losses.bce(target, torch.zeros(1, n_negatives)).sum().backward()
        slopes.append(target.grad)
    assert slopes[0] == slopes[1] == pytest.approx(-1 / (1 + np.exp(0.3)))


def test_gbce_weighs_the_target_down_and_bpr_compares_it_with_each_negative():
    target, negative = np.array([0.3, -1.2]), np.array([[0.1, 2.0, -0.4], [0.7, 0.0, 1.1]])
    weights = np.array([[1.0, 0.0, 2.0], [1.0, 1.0, 0.5]])
    log_sigmoid = lambda x: -np.log1p(np.exp(-x))  # noqa: E731
    drawn = (weights * log_sigmoid(-negative)).sum(1)
    found = losses.bce(*tensors(target, negative, weights), target_weight=0.4)
    close(found, -0.4 * log_sigmoid(target) - drawn)
    pairs = -log_sigmoid(target[:, None] - negative)
    close(losses.bpr(*tensors(target, negative)), pairs.mean(1))
    close(losses.bpr(*tensors(target, negative, weights)), np.average(pairs, 1, weights))


def test_bpr_s_extremes_are_finite():
    row = losses.bpr(torch.tensor([-3e4]), torch.tensor([[3e4, -3e4]]))
    assert row.item() == pytest.approx((6e4 + np.log(2)) / 2)


@given(seeds, spreads, st.sampled_from([0.05, 0.5, 1.0, 3.0]))
@settings(deadline=None)
def test_dros_equals_its_twin(seed, spread, temperature):
    scores, targets, _, _ = draw(seed, spread)
    propensity = reference.dros_propensity(np.arange(scores.shape[1]))
    result = losses.dros(*tensors(scores, targets, propensity), temperature)
    close(result, reference.dros(scores, targets, propensity, temperature))
    assert (result >= np.log(scores.shape[1]) - 1e-5).all()  # every exponent is >= 0


def test_dros_equals_the_authors_form_and_its_gradient():
    scores, targets, _, _ = draw(3, 1.0)
    s, t, p = tensors(scores, targets, reference.dros_propensity(np.arange(17)))
    s.requires_grad_()
    column = t.unsqueeze(1)
    powers = (p * s.square() / 0.7).exp()
    replaced = (p[column] * (s.gather(1, column) - 1).square() / 0.7).exp()
    naive = (powers.sum(1, keepdim=True) - powers.gather(1, column) + replaced).log().squeeze(1)
    weight = torch.rand(len(naive), dtype=torch.float64)
    (expected,) = torch.autograd.grad((naive * weight).sum(), s)
    ours = losses.dros(s, t, p, 0.7)
    (gradient,) = torch.autograd.grad((ours * weight).sum(), s)
    torch.testing.assert_close(ours, naive, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_dros_passes_gradcheck():
    scores, targets, _, _ = draw(5, 1.0)
    s, t, p = tensors(scores, targets, reference.dros_propensity(np.arange(17)))
    assert torch.autograd.gradcheck(lambda x: losses.dros(x, t, p, 0.5), s.requires_grad_())


@pytest.mark.parametrize("scale", [1.0, 300.0, 3e4])
@pytest.mark.parametrize("temperature", [1.0, 0.001])
def test_dros_weighs_the_items_of_a_row_by_numbers_that_add_up_to_one(scale, temperature):
    """In float32, in the loss by itself and in the pass over the catalogue, on scores that tie."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(5, 40, generator=rng) * scale
    scores = torch.cat([scores, scores, scores], dim=1).requires_grad_()
    targets, p = torch.arange(5), torch.rand(120, generator=rng) * 0.3 + 0.5
    p[40:] = p[:40].repeat(2)
    (by_torch,) = torch.autograd.grad(losses.dros(scores, targets, p, temperature).sum(), scores)
    values, slope = scores.detach().numpy().copy(), (p / temperature).numpy()
    sums = _core.log_sums(values, targets.numpy(), slope, None, softmax=False)
    flows = np.stack([sums[:, 0], sums[:, 0], sums[:, 1], np.ones(5)], axis=1)
    _core.score_gradient_(values, targets.numpy(), slope, None, flows, softmax=False)
    error = scores.detach().double() - torch.nn.functional.one_hot(targets, 120)
    for gradient in (by_torch, torch.from_numpy(values)):
        weights = gradient.double() / (2 * error * torch.from_numpy(slope).double())
        # Exponents reach 1e12, whose last bit in float64 is 1e-4.
        torch.testing.assert_close(weights.sum(1), torch.ones(5).double(), rtol=1e-3, atol=0)
        assert (weights >= 0).all()


def test_dros_leaves_the_scores_as_they_were():
    scores = torch.randn(3, 9, requires_grad=True)
    before = scores.detach().clone()
    losses.dros(scores, torch.tensor([0, 4, 8]), torch.full((9,), 0.6), 1.0).sum().backward()
    assert torch.equal(scores.detach(), before)


def test_dros_in_float32_stays_close_to_float64():
    scores, targets, _, _ = draw(6, 20.0)
    propensity = reference.dros_propensity(np.arange(17))
    for temperature in (1.0, 0.1, 0.01):
        single = [torch.from_numpy(a) for a in (scores.astype("f4"), targets)]
        weights = torch.from_numpy(propensity.astype("f4"))
        result = losses.dros(*single, weights, temperature)
        expected = reference.dros(scores, targets, propensity, temperature)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
@settings(deadline=None)
def test_dros_propensity_equals_its_twin(counts):
    result = losses.dros_propensity(torch.tensor(counts), torch.float64)
    close(result, reference.dros_propensity(counts))
    assert losses.dros_propensity(torch.tensor(counts)).dtype == torch.float32


@given(seeds, spreads)
@settings(deadline=None)
def test_sampled_softmax_equals_its_twin(seed, spread):
    scores, targets, ranking, weights = draw(seed, spread)
    target = np.take_along_axis(scores, targets[:, None], 1)[:, 0]
    negative = np.take_along_axis(scores, ranking, 1)
    arguments = (target, negative, weights[:, 0], np.log(weights + 0.1))
    close(losses.sampled_softmax(*tensors(*arguments)), reference.sampled_softmax(*arguments))


def test_sampled_softmax_over_all_items_is_the_full_softmax():
    scores, targets, _, _ = draw(8, 3.0)
    n_items = scores.shape[1]
    others = np.stack([[i for i in range(n_items) if i != t] for t in targets])
    target = np.take_along_axis(scores, targets[:, None], 1)[:, 0]
    negative = np.take_along_axis(scores, others, 1)
    log_q = np.log((n_items - 1) / (n_items - 1))
    result = losses.sampled_softmax(*tensors(target, negative, np.zeros_like(target)), log_q)
    close(result, reference.softmax_cross_entropy(scores, targets))


def test_sampled_softmax_estimates_the_full_denominator():
    rng = np.random.default_rng(0)
    scores, n_negatives, n_items = rng.normal(size=400), 20, 400
    draws = rng.integers(1, n_items, size=(20_000, n_negatives))  # item 0 is the target
    target = torch.full((20_000,), scores[0], dtype=torch.float64)
    negative = torch.from_numpy(scores[draws])
    log_q = float(np.log(n_negatives / (n_items - 1)))
    rows = losses.sampled_softmax(target, negative, torch.zeros_like(target), log_q)
    denominator = (rows + scores[0]).exp().mean().item()
    assert denominator == pytest.approx(np.exp(scores).sum(), rel=0.01)


@given(seeds, spreads)
@settings(deadline=None)
def test_ranking_distillation_equals_its_twin(seed, spread):
    scores, _, ranking, weights = draw(seed, spread)
    candidates = np.take_along_axis(scores, ranking, 1)
    result = losses.ranking_distillation(*tensors(candidates, weights))
    close(result, reference.ranking_distillation(candidates, weights))


@given(seeds, st.sampled_from([0.01, 0.05, 1.0]), st.floats(0, 1))
@settings(deadline=None)
def test_soft_target_probabilities_equal_their_twin(seed, temperature, kept):
    rng = np.random.default_rng(seed)
    distance, keep = rng.random((4, 6)), rng.random((4, 6)) < kept
    result = losses.soft_target_probabilities(*tensors(distance, keep), temperature)
    close(result, reference.soft_target_probabilities(distance, keep, temperature))


def test_soft_target_probabilities_ignore_what_dropped_places_hold():
    distance = torch.tensor([[0.1, torch.nan, torch.inf], [torch.nan, torch.inf, 0.0]])
    keep = torch.tensor([[True, False, False], [False, False, False]])
    result = losses.soft_target_probabilities(distance, keep, 0.05)
    assert result.tolist() == [[1, 0, 0], [0, 0, 0]]


@given(seeds, spreads, st.sampled_from([0.0, 0.3, 1.0]), st.floats(0, 1))
@settings(deadline=None)
def test_soft_target_cross_entropy_equals_its_twin(seed, spread, share, kept):
    scores, targets, ranking, weights = draw(seed, spread)
    probabilities = reference.soft_target_probabilities(weights, weights < kept, 0.05)
    s, t, c, q = tensors(scores, targets, ranking, probabilities)
    picked = s.gather(1, t.unsqueeze(1)).squeeze(1)
    result = losses.soft_target_cross_entropy(s.logsumexp(1), picked, s.gather(1, c), q, share)
    expected = reference.soft_target_cross_entropy(scores, targets, ranking, probabilities, share)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_soft_target_cross_entropy_of_an_empty_list_is_the_target_alone():
    scores = torch.randn(1, 9, dtype=torch.float64)
    q = torch.zeros(1, 3, dtype=torch.float64)
    row = losses.soft_target_cross_entropy(scores.logsumexp(1), scores[:, 4], scores[:, :3], q, 0.5)
    torch.testing.assert_close(row, cross_entropy(scores, torch.tensor([4]), reduction="none"))


def test_soft_target_cross_entropy_ignores_masked_scores_it_does_not_need():
    candidates = torch.tensor([[-torch.inf, 1.0]], requires_grad=True)
    q = torch.tensor([[0.0, 1.0]])
    row = losses.soft_target_cross_entropy(
        torch.tensor([2.0]), torch.tensor([1.0]), candidates, q, 0.5
    )
    row.sum().backward()
    assert row.item() == 1.0
    assert candidates.grad is not None
    assert candidates.grad.tolist() == [[0.0, -0.5]]


def test_window_keep_drops_the_windows_items():
    ranking = torch.tensor([[3, 1, 0], [2, 4, 3]])
    sequences = torch.tensor([[1, 1, 5, 5], [4, 3, 2, 5]])
    assert losses.window_keep(ranking, sequences).tolist() == [
        [True, False, True],
        [False, False, False],
    ]


EXTREME = torch.tensor([-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4])


def every_loss(scores):
    """Each loss of a (B, 7) batch whose lists are all seven items."""
    n_rows, n_items = scores.shape
    targets = torch.arange(n_rows) % n_items
    target = scores.gather(1, targets.unsqueeze(1)).squeeze(1)
    even = torch.full_like(scores, 1 / n_items)
    total = scores.logsumexp(1)
    return {
        "bce": losses.bce(target, scores),
        "dros": losses.dros(scores, targets, torch.full((n_items,), 0.6), 0.1),
        "sampled": losses.sampled_softmax(target, scores, torch.zeros(n_rows), -2.0),
        "ranking": losses.ranking_distillation(scores, even),
        "soft": losses.soft_target_cross_entropy(total, target, scores, even, 0.3),
    }


@pytest.mark.parametrize("name", ["bce", "dros", "sampled", "ranking", "soft"])
def test_losses_are_finite_at_extreme_scores(name):
    scores = torch.stack([EXTREME.roll(shift) for shift in range(7)])
    scores = torch.cat([scores, torch.full((1, 7), 1e4), torch.full((1, 7), -1e4)]).requires_grad_()
    row = every_loss(scores)[name]
    assert row.shape == (9,)
    assert row.isfinite().all()
    (gradient,) = torch.autograd.grad(row.sum(), scores)
    assert gradient.isfinite().all()
    assert (gradient != 0).any()


def test_losses_are_rows_of_their_own():
    scores = torch.randn(6, 7)
    whole, part = every_loss(scores), every_loss(scores[:2])
    for name, rows in part.items():
        torch.testing.assert_close(whole[name][:2], rows, msg=name)
