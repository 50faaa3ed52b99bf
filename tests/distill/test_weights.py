"""Weights: each kernel against its twin, its refusals, its bits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dllm2rec import _core
from dllm2rec.distill import weights
from dllm2rec.errors import InputError, NonFiniteError
from tests.reference import weights as reference

FLOAT32_STEP = 2.0**-23
GAMMAS = (0.3, 0.5, 0.1)

shares = st.sampled_from([0.0, 0.1, 0.3, 1.0, 5.0])
gamma_triples = st.tuples(shares, shares, shares).filter(any)
temperatures = st.floats(1e-3, 1e3)
distances = st.floats(0, 300, width=32) | st.sampled_from([0.0, 3e38, 1e-40, 18.5, 104.0])


def rows_and_columns(max_columns: int = 12) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, 6), st.integers(1, max_columns))


def close(got: Any, want: Any) -> None:
    assert got.dtype == np.float32
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=FLOAT32_STEP, atol=2e-45)


@given(st.integers(1, 300), temperatures)
def test_position_weight_equals_its_twin(k: int, temperature: float) -> None:
    close(weights.position_weight(k, temperature), reference.position_weight(k, temperature))


def test_position_weight_gives_the_papers_numbers() -> None:
    got = weights.position_weight(10, 1.0)
    want = [0.632, 0.233, 0.086, 0.032, 0.012, 0.004, 0.002, 0.001, 0.0, 0.0]
    np.testing.assert_allclose(got, want, atol=6e-4)


@given(hnp.arrays(np.float32, st.integers(0, 30), elements=distances), temperatures)
def test_sequence_confidence_equals_its_twin(distance: Any, temperature: float) -> None:
    got = weights.sequence_confidence(distance, temperature, 10)
    close(got, reference.sequence_confidence(distance, temperature, 10))


def test_sequence_confidence_survives_distances_whose_exponentials_are_all_zero() -> None:
    got = weights.sequence_confidence([5000.0, 5000.0, 9000.0], 0.2, 1)
    np.testing.assert_array_equal(got, np.array([1.5, 1.5, 0.0], np.float32))


def test_sequence_confidence_has_mean_one_over_k() -> None:
    distance = np.random.default_rng(0).random(50_000)
    assert weights.sequence_confidence(distance, 0.2, 10).mean(dtype=np.float64) == pytest.approx(
        0.1, rel=1e-6
    )


@given(rows_and_columns().flatmap(lambda s: hnp.arrays(np.float32, s, elements=distances)))
def test_candidate_confidence_equals_its_twin(distance: Any) -> None:
    close(weights.candidate_confidence(distance), reference.candidate_confidence(distance))


def test_candidate_confidence_is_flat_where_the_authors_floor_drowns_it() -> None:
    got = weights.candidate_confidence([[25.0, 30.0, 35.0], [200.0, 300.0, 400.0]])
    np.testing.assert_allclose(got, [[0.3336, 0.3332, 0.3332], [1 / 3] * 3], atol=5e-5)


def test_candidate_confidence_takes_lists_longer_than_its_buffer() -> None:
    distance = np.random.default_rng(0).random((3, 5000), np.float32)
    close(weights.candidate_confidence(distance), reference.candidate_confidence(distance))


@st.composite
def scored_lists(data: st.DrawFn) -> tuple[Any, Any, int]:
    n_rows, n_items = data(st.integers(0, 4)), data(st.integers(1, 200))
    few = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 1.0, 2.0])
    score = data(st.sampled_from([few, st.floats(-3, 3, width=32)]))
    scores = data(hnp.arrays(np.float32, (n_rows, n_items), elements=score))
    items = hnp.arrays(
        np.int64, (n_rows, data(st.integers(1, 9))), elements=st.integers(0, n_items - 1)
    )
    return scores, data(items), data(st.integers(1, n_items))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(scored_lists())
def test_consistency_from_scores_equals_its_twin(given: tuple[Any, Any, int]) -> None:
    scores, ranking, k = given
    want = reference.consistency_from_scores(scores, ranking, k)
    tensors = torch.from_numpy(scores), torch.from_numpy(ranking)
    got = weights.consistency_from_scores(*tensors, k)
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), want)
    on_device = weights.consistency_on_device(*tensors, k)
    assert on_device.dtype == torch.float32
    np.testing.assert_array_equal(on_device.numpy(), want)


def test_consistency_from_scores_takes_half_precision_and_stops_the_gradient() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    got = weights.consistency_from_scores(scores, torch.tensor([[0, 1, 2, 3]]), 1)
    assert got.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert not got.requires_grad


@pytest.mark.gpu
def test_consistency_from_scores_runs_inside_a_cuda_graph() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    scores = torch.randn((256, 17_408), generator=generator, device="cuda").mul(4).round().div(4)
    ranking = scores.topk(20).indices[:, ::2].contiguous()
    weights.consistency_from_scores(scores, ranking, 10)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = weights.consistency_from_scores(scores, ranking, 10)
    scores.copy_(scores.flip(0))
    graph.replay()
    want = _core.consistency_from_scores(
        scores.cpu().numpy(), ranking.cpu().numpy().astype(np.uint32), 10
    )
    np.testing.assert_array_equal(got.cpu().numpy(), want)


@st.composite
def blends(data: st.DrawFn) -> tuple[Any, ...]:
    n_rows, k = data(rows_and_columns())
    weight = st.sampled_from([0.0, 0.1, 1.0]) | st.floats(0, 10, width=32)
    shape = data(st.sampled_from([(n_rows,), (n_rows, k)]))
    return (
        data(hnp.arrays(np.float32, k, elements=weight)),
        data(hnp.arrays(np.float32, shape, elements=weight)),
        data(st.none() | hnp.arrays(np.float32, (n_rows, k), elements=st.sampled_from([0.0, 1.0]))),
        data(gamma_triples),
        data(st.booleans()),
    )


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(blends())
def test_blend_weights_equals_its_twin(given: tuple[Any, ...]) -> None:
    *values, normalise = given
    got = weights.blend_weights(*values, normalise=normalise)
    close(got, reference.blend_weights(*given))


def test_a_normalised_row_of_zeros_becomes_uniform() -> None:
    got = weights.blend_weights([0.0] * 4, [0.0], None, GAMMAS, normalise=True)
    np.testing.assert_array_equal(got, [[0.25] * 4])


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (700, 10), (333, 100), (3, 5000)])
def test_blending_distances_has_the_bits_of_two_steps(shape: tuple[int, int]) -> None:
    distance = np.random.default_rng(1).random(shape, np.float32) * 30
    position, gammas = weights.position_weight(shape[1]), (0.3, 0.5, 0.0)
    two_steps = weights.blend_weights(
        position, weights.candidate_confidence(distance), None, gammas
    )
    np.testing.assert_array_equal(weights.blend_distances(position, distance, gammas), two_steps)


def large_calls() -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    ranking = rng.integers(0, 500, (20_000, 50), dtype=np.uint32)
    distance = rng.random((20_000, 50), np.float32)
    scores = rng.integers(0, 99, (500, 5_000)).astype(np.float32)
    return {
        "sequence_confidence": lambda: _core.sequence_confidence(distance.ravel(), 0.2, 10),
        "candidate_confidence": lambda: _core.candidate_confidence(distance),
        "blend_distances": lambda: _core.blend_distances(distance[0], distance, (0.3, 0.5, 0.0)),
        "consistency_from_scores": lambda: _core.consistency_from_scores(scores, ranking[:500], 20),
        "blend_weights": lambda: _core.blend_weights(
            distance[0], distance, None, GAMMAS, normalise=True
        ),
    }


@pytest.mark.parametrize("name", large_calls())
def test_weights_give_the_same_bits_for_any_number_of_threads(name: str) -> None:
    call = large_calls()[name]
    digests = set()
    for n_threads in (1, 2, 3, 8):
        _core.set_threads(n_threads)
        digests.add(hashlib.sha256(call().tobytes()).hexdigest())
    _core.set_threads(2)
    assert len(digests) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_distances_that_are_not_finite_are_named(value: float) -> None:
    distance = np.zeros((5000, 2), np.float32)
    distance[4321, 1] = value
    with pytest.raises(NonFiniteError, match="distance row 4321 column 1"):
        weights.candidate_confidence(distance)
    with pytest.raises(NonFiniteError, match="distance row 4321 column 1"):
        weights.blend_distances([0.5, 0.5], distance, GAMMAS)
    with pytest.raises(NonFiniteError, match="target_distance row 4321"):
        weights.sequence_confidence(distance[:, 1], 0.2, 10)
    with pytest.raises(NonFiniteError, match="confidence row 4321 column 1"):
        weights.blend_weights([0.5, 0.5], distance, None, GAMMAS)
    with pytest.raises(NonFiniteError, match="confidence row 4321 column 0"):
        weights.blend_weights([0.5, 0.5], distance[:, 1], None, GAMMAS)
    with pytest.raises(NonFiniteError, match="consistency row 4321 column 1"):
        weights.blend_weights([0.5, 0.5], distance[:, 0], distance, GAMMAS)


def test_negative_distances_are_named() -> None:
    with pytest.raises(InputError, match=r"distance row 1 column 2: -5, expected a distance >= 0"):
        weights.candidate_confidence([[0.0, 1.0, 2.0], [0.0, 1.0, -5.0]])
    with pytest.raises(InputError, match=r"target_distance row 1 column 0: -0\.5, expected a dist"):
        weights.sequence_confidence([0.0, -0.5], 0.2, 10)


@pytest.mark.parametrize("temperature", [9.9e-4, 0.0, -1.0, math.nan, math.inf])
def test_temperatures_out_of_range_are_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="position_temperature = "):
        weights.position_weight(3, temperature)
    with pytest.raises(InputError, match=r"^temperature = "):
        weights.sequence_confidence([1.0], temperature, 10)


@pytest.mark.parametrize(
    ("gammas", "message"),
    [
        ((0, 0, 0), "sum of gammas = 0, expected a number > 0"),
        ((-0.1, 1, 1), "position_gamma = -0.1, expected a number >= 0"),
        ((1, math.nan, 1), "confidence_gamma = NaN"),
        ((1, 1, math.inf), "consistency_gamma = inf"),
    ],
)
def test_gammas_out_of_range_are_refused(gammas: tuple[float, float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        weights.blend_weights([1.0], [1.0], None, gammas)


@pytest.mark.parametrize("k", [0, -1, 3])
def test_a_k_outside_the_list_is_refused(k: int) -> None:
    with pytest.raises(InputError, match=f"k = {k}, expected"):
        weights.consistency_from_scores(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.long), k)
    if k < 1:
        for call in (weights.position_weight, lambda k: weights.sequence_confidence([1.0], 1.0, k)):
            with pytest.raises(InputError, match=f"k = {k}, expected at least 1"):
                call(k)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weights.blend_weights([1.0, 1.0], [[1.0]], None, GAMMAS), "confidence: 1 values"),
        (
            lambda: weights.blend_weights([1.0], [1.0], [[1.0, 1.0]], GAMMAS),
            "consistency: 2 values",
        ),
        (lambda: weights.blend_weights([], [1.0], None, GAMMAS), "k = 0, expected at least 1"),
        (lambda: weights.blend_distances([1.0], [[1.0, 1.0]], GAMMAS), "distance: 2 values"),
        (lambda: weights.candidate_confidence(np.zeros((2, 0))), "k = 0, expected at least 1"),
        (lambda: weights.candidate_confidence([1.0]), "distance: shape"),
        (
            lambda: weights.consistency_from_scores(torch.zeros(2, 3), torch.zeros(1, 1), 1),
            "expected \\(B, N\\), \\(B, K\\)",
        ),
        (
            lambda: weights.consistency_from_scores(torch.zeros(1, 3), torch.tensor([[3]]), 1),
            "ranking\\[0, 0\\]: 3, expected a whole number in 0..2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_no_scores_are_named(value: float) -> None:
    scores = torch.zeros(3, 500)
    scores[2, 321] = value
    with pytest.raises(NonFiniteError, match="scores row 2 column 321"):
        weights.consistency_from_scores(scores, torch.zeros(3, 1, dtype=torch.long), 5)


def test_arrays_of_any_layout_are_taken() -> None:
    distance = np.arange(12, dtype=np.float32).reshape(3, 4)
    want = weights.candidate_confidence(distance)
    layouts = (np.asfortranarray(distance), np.repeat(distance, 2, 1)[:, ::2], distance[::-1][::-1])
    for array in (*layouts, distance.astype(">f4"), distance.astype(np.int8), distance.tolist()):
        np.testing.assert_array_equal(weights.candidate_confidence(array), want)
    with pytest.raises(InputError, match="distance: strided values, expected an array in C order"):
        _core.candidate_confidence(np.asfortranarray(distance))
