"""Ranks and lists from a score matrix, against the slow twin."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dllm2rec import _core
from dllm2rec.errors import InputError, InternalError, NonFiniteError
from dllm2rec.evaluate import ranking
from dllm2rec.evaluate.on_device import ranking_torch
from dllm2rec.evaluate.ranking import rank_counts, top_n
from tests.reference import ranking as reference

SMALL = st.sampled_from([-np.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0])


@st.composite
def matrices(draw, dtypes=(np.float16, np.float32, np.float64)):
    shape = draw(st.tuples(st.integers(0, 6), st.integers(1, 90)))
    scores = draw(hnp.arrays(draw(st.sampled_from(dtypes)), shape, elements=SMALL, fill=SMALL))
    targets = draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    scores[np.arange(shape[0]), targets] = draw(st.sampled_from([-1.0, 0.0, 2.0]))
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed", "tensor"]))
    wide = np.zeros((shape[0], 2 * shape[1]), scores.dtype)
    wide[:, ::2] = scores
    laid = {
        "C": scores,
        "F": np.asfortranarray(scores),
        "strided": wide[:, ::2],
        "reversed": scores[::-1].copy()[::-1],
        "tensor": torch.from_numpy(scores),
    }[layout]
    return laid, targets


@settings(deadline=None)  # machines are shared
@given(matrices())
def test_rank_counts_agrees_with_the_twin(case):
    scores, targets = case
    counts = rank_counts(scores, targets)
    greater, equal = reference.rank_counts(scores, targets)
    assert counts.greater.shape == counts.equal.shape == targets.shape
    assert counts.greater.dtype == counts.equal.dtype == np.int64
    np.testing.assert_array_equal(counts.greater, greater)
    np.testing.assert_array_equal(counts.equal, equal)


@settings(deadline=None)  # machines are shared
@given(matrices(), st.data())
def test_top_n_agrees_with_the_twin(case, data):
    scores, _ = case
    n = data.draw(st.integers(1, scores.shape[1]))
    items, values = top_n(scores, n)
    assert (items.dtype, values.dtype) == (np.uint32, np.float32)
    expected_items, expected_values = reference.top_n(scores, n)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(values, expected_values)


@settings(deadline=None)  # machines are shared
@given(matrices(), st.data())
def test_torch_tiles_agree_with_the_kernel_on_a_matrix(case, data):
    scores, targets = case
    n = data.draw(st.integers(1, scores.shape[1]))
    tensor = scores if isinstance(scores, torch.Tensor) else torch.from_numpy(scores.copy())
    counts = rank_counts(scores, targets)
    greater, equal = ranking_torch.count_matrix(tensor, torch.from_numpy(targets))
    np.testing.assert_array_equal(greater, counts.greater)
    np.testing.assert_array_equal(equal, counts.equal)
    items, values = ranking_torch.list_matrix(tensor, n)
    np.testing.assert_array_equal(items, top_n(scores, n)[0])
    np.testing.assert_array_equal(values, top_n(scores, n)[1])


@pytest.fixture(scope="module")
def long_rows():
    """Rows longer than the kernels' blocks, with ties."""
    rng = np.random.default_rng(3)
    return rng.integers(-300, 300, (40, 20_011)).astype(np.float32), rng.integers(0, 20_011, 40)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, ">f4"])
def test_all_number_types_agree_on_long_rows(long_rows, dtype):
    scores, targets = long_rows
    counts = rank_counts(scores.astype(dtype), targets)
    greater, equal = reference.rank_counts(scores, targets)
    np.testing.assert_array_equal(counts.greater, greater)
    np.testing.assert_array_equal(counts.equal, equal)
    assert equal.max() > 0
    items, values = top_n(scores.astype(dtype), 100)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, 1))


def test_bfloat16_tensors_are_taken_as_float32(long_rows):
    scores, targets = torch.from_numpy(long_rows[0]).bfloat16(), long_rows[1]
    counts = rank_counts(scores, targets)
    greater, _ = reference.rank_counts(scores.float().numpy(), targets)
    np.testing.assert_array_equal(counts.greater, greater)


def test_float64_is_not_narrowed():
    scores = np.array([[1.0, 1.0 + 1e-12, 1.0 - 1e-12]])
    counts = rank_counts(scores, [0])
    assert (counts.greater[0], counts.equal[0]) == (1, 0)
    assert top_n(scores, 3)[0].tolist() == [[1, 0, 2]]


def test_a_tensor_with_gradients_is_detached():
    scores = torch.tensor([[1.0, 2.0]], requires_grad=True)
    assert rank_counts(scores, torch.tensor([0])).greater.tolist() == [1]


def test_the_inputs_stay_as_they_are(long_rows):
    scores, targets = long_rows[0].copy(), long_rows[1].copy()
    scores.flags.writeable = targets.flags.writeable = False
    rank_counts(scores, targets)
    top_n(scores, 10)
    np.testing.assert_array_equal(scores, long_rows[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("place", [(0, 0), (1, 4999), (2, 4096)])
def test_nan_and_infinity_are_refused_wherever_they_stand(value, dtype, place):
    scores = np.ones((3, 5000), dtype)
    scores[place] = value
    scores[2, 4999] = np.nan
    where = f"scores row {place[0]} column {place[1]}"
    for call in (lambda: rank_counts(scores, [1, 1, 1]), lambda: top_n(scores, 1)):
        with pytest.raises(NonFiniteError, match=where):
            call()
    tensor = torch.from_numpy(scores)
    with pytest.raises(NonFiniteError, match=where):
        ranking_torch.count_matrix(tensor, torch.ones(3, dtype=torch.int64))
    with pytest.raises(NonFiniteError, match=where):
        ranking_torch.list_matrix(tensor, 1)


def test_a_nan_target_cannot_pass_for_a_perfect_rank():
    with pytest.raises(NonFiniteError, match="row 0 column 1: NaN"):
        rank_counts(np.array([[0.0, np.nan]]), [1])


def test_a_masked_target_is_refused():
    scores = np.array([[0.0, 1.0], [0.0, -np.inf]])
    with pytest.raises(InputError, match="row 1: target 1 is masked"):
        rank_counts(scores, [0, 1])
    with pytest.raises(InputError, match="row 1: target 1 is masked"):
        ranking_torch.count_matrix(torch.from_numpy(scores), torch.tensor([0, 1]))


def test_a_row_that_is_all_masked_lists_nothing():
    items, values = top_n(np.full((1, 4), -np.inf), 2)
    assert items.tolist() == [[4, 4]]
    assert (values == -np.inf).all()


@pytest.mark.parametrize(
    ("scores", "targets", "error"),
    [
        (np.zeros((2, 3)), [0], InputError),
        (np.zeros((2, 3)), [0, 3], InputError),
        (np.zeros((2, 3)), [0, -1], InputError),
        (np.zeros((2, 3)), [0, np.nan], InputError),
        (np.zeros((2, 3)), [[0, 1]], InputError),
        (np.zeros((2, 3)), [True, False], TypeError),
        (np.zeros((2, 0)), [0, 0], InputError),
        (np.zeros(3), [0], InputError),
        (np.zeros((1, 2, 3)), [0], InputError),
        ([[1.0], [1.0, 2.0]], [0, 0], InputError),
        (np.zeros((2, 3), bool), [0, 0], TypeError),
        (np.zeros((2, 3), object), [0, 0], TypeError),
        (np.zeros((2, 3), complex), [0, 0], TypeError),
        (np.zeros((2, 3), np.longdouble), [0, 0], TypeError),
        (np.ma.masked_all((2, 3)), [0, 0], TypeError),
        (torch.zeros((2, 3), device="meta"), [0, 0], InputError),
        (torch.zeros((2, 3)).to_sparse(), [0, 0], TypeError),
    ],
)
def test_arrays_that_cannot_be_ranked_are_refused(scores, targets, error):
    with pytest.raises(error):
        rank_counts(scores, targets)


@pytest.mark.parametrize("n", [0, -1, 4, 2**63])
def test_a_list_longer_than_the_catalogue_or_empty_is_refused(n):
    with pytest.raises(InputError, match=f"n = {n}, expected 1 <= n <= 3"):
        top_n(np.zeros((2, 3)), n)


def test_the_kernel_itself_refuses_what_python_checks():
    scores = np.zeros((2, 3), np.float32)
    with pytest.raises(InputError, match="targets row 1 column 0: item 3"):
        _core.rank_counts(scores, np.array([0, 3], np.uint32))
    with pytest.raises(InputError, match="n = 4"):
        _core.top_n(scores, 4)
    with pytest.raises(TypeError):
        _core.rank_counts(np.asfortranarray(scores), np.zeros(2, np.uint32))
    with pytest.raises(TypeError):
        _core.rank_counts(scores.astype(np.int32), np.zeros(2, np.uint32))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_number_of_threads_gives_the_same(dtype):
    rng = np.random.default_rng(0)
    scores = rng.integers(-50, 50, (300, 3000)).astype(dtype)
    targets = rng.integers(0, 3000, 300).astype(np.uint32)
    results = []
    for n_threads in (1, 2, 8):
        _core.set_threads(n_threads)
        results.append((*_core.rank_counts(scores, targets), *_core.top_n(scores, 20)))
    _core.set_threads(os.cpu_count() or 1)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_the_gil_is_released_and_a_fork_afterwards_works():
    code = """
import os, threading, time
import numpy as np
from dllm2rec import _core
scores = np.ones((3000, 20_000), np.float32)
targets = np.zeros(3000, np.uint32)
_core.rank_counts(scores, targets)
ticks, done = 0, threading.Event()
def work():
    for _ in range(5):
        _core.top_n(scores, 50)
    done.set()
thread = threading.Thread(target=work)
thread.start()
while not done.is_set():
    ticks += 1
    time.sleep(0.001)
thread.join()
assert ticks > 5, ticks
child = os.fork()
if child == 0:
    greater, equal = _core.rank_counts(scores, targets)
    os._exit(0 if (equal == 19_999).all() and not greater.any() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    run = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(run, check=True, timeout=120)


@pytest.mark.gpu
@settings(deadline=None, max_examples=20)
@given(matrices(dtypes=(np.float32,)))
def test_a_cuda_matrix_gives_the_same(case):
    scores, targets = case
    if not isinstance(scores, torch.Tensor):
        scores = torch.as_tensor(np.array(scores, order="C"))
    tensor = scores.cuda()
    there, here = rank_counts(tensor, targets), rank_counts(scores, targets)
    np.testing.assert_array_equal(there.greater, here.greater)
    np.testing.assert_array_equal(there.equal, here.equal)
    n = scores.shape[1]
    for mine, theirs in zip(top_n(tensor, n), top_n(scores, n), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_target_below_itself_is_a_bug_and_no_figure(monkeypatch):
    counts = torch.zeros(3, dtype=torch.int64), torch.tensor([2, -1, 0])
    monkeypatch.setattr(ranking_torch, "count_matrix", lambda *_: counts)
    monkeypatch.setattr(ranking, "_device", lambda *_: torch.device("cpu"))
    with pytest.raises(InternalError, match="row 1: its target is not as high as itself"):
        rank_counts(torch.zeros(3, 4), [0, 1, 2])
