"""Ranks and lists from vectors, against the matrix they never hold."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch._subclasses.fake_tensor import FakeTensorMode

from dllm2rec import _core
from dllm2rec.errors import InputError, NonFiniteError
from dllm2rec.evaluate import ranking
from dllm2rec.evaluate.listed_items import CheckedWindow, checked_window, moves_on
from dllm2rec.evaluate.on_device import moved_items, on_chip, ranking_torch, score_tiles
from dllm2rec.evaluate.on_device.moved_items import Listed, Moved, TileOrder, listed_items
from dllm2rec.evaluate.ranking import (
    fused_rank_counts,
    fused_top_n,
    rank_counts,
    top_n,
)
from dllm2rec.students.memory.pair_memory import ItemBonuses
from tests.reference import ranking as reference

WHOLE = st.integers(-2, 2).map(float)  # products and sums are exact, and ties are common


@st.composite
def problems(draw):
    """Keywords of a fused call, and targets that no mask hits."""
    n_users, n_items, width = (draw(st.integers(*span)) for span in ((0, 15), (1, 140), (1, 9)))
    users = draw(hnp.arrays(np.float32, (n_users, width), elements=WHOLE, fill=WHOLE))
    items = draw(hnp.arrays(np.float32, (n_items, width), elements=WHOLE, fill=WHOLE))
    problem = {"users": users, "items": items}
    targets = draw(hnp.arrays(np.int64, n_users, elements=st.integers(0, n_items - 1)))
    if draw(st.booleans()):
        values = st.sampled_from([-np.inf, -1.0, 0.0, 3.0])
        problem["bias"] = draw(hnp.arrays(np.float32, n_items, elements=values, fill=values))
        problem["bias"][targets] = 1.0
    if draw(st.booleans()):
        shift = draw(st.sampled_from([-np.inf, -1.0, 0.0, 2.0]))
        lists = st.lists(st.integers(0, n_items - 1), max_size=9)
        rows = [draw(lists) for _ in range(n_users)]
        if shift == -np.inf:
            rows = [[i for i in row if i != t] for row, t in zip(rows, targets, strict=True)]
        offsets = np.cumsum([0] + [len(row) for row in rows])
        problem["window"] = (offsets, np.array([i for row in rows for i in row], dtype=np.int64))
        problem["window_offset"] = shift
    if draw(st.booleans()):
        sets = [
            sorted(draw(st.sets(st.integers(0, n_items - 1), max_size=9))) for _ in range(n_users)
        ]
        offsets = np.cumsum([0] + [len(row) for row in sets])
        items = np.array([item for row in sets for item in row], dtype=np.uint32)
        values = draw(hnp.arrays(np.float32, len(items), elements=WHOLE, fill=WHOLE))
        problem["bonuses"] = ItemBonuses(offsets, items, values)
    return problem, targets


def on_tensors(problem):
    """The problem of the torch path, on CPU tensors."""
    window = problem.get("window")
    if window is not None:
        window = tuple(torch.from_numpy(part.astype(np.int64)) for part in window)
    users, items = (torch.from_numpy(problem[name].copy()) for name in ("users", "items"))
    shift = problem.get("window_offset", 0.0)
    moves = window, shift, problem.get("bonuses")
    moved = moves_on(torch.device("cpu"), moves, len(users), len(items))
    bias = problem.get("bias")
    bias = None if bias is None else torch.from_numpy(bias.copy())
    return score_tiles.Problem.of(users, items, bias, moved)


@pytest.mark.slow
@settings(deadline=None)  # machines are shared
@given(problems())
def test_fused_rank_counts_agrees_with_the_twin(case):
    problem, targets = case
    counts = fused_rank_counts(targets=targets, **problem)
    greater, equal = reference.rank_counts(reference.matrix(**problem), targets)
    np.testing.assert_array_equal(counts.greater, greater)
    np.testing.assert_array_equal(counts.equal, equal)


@settings(deadline=None)  # machines are shared
@given(problems(), st.data())
def test_fused_top_n_agrees_with_the_twin(case, data):
    problem, _ = case
    n = data.draw(st.integers(1, len(problem["items"])))
    items, scores = fused_top_n(n=n, **problem)
    expected_items, expected_scores = reference.top_n(reference.matrix(**problem), n)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.slow
@settings(deadline=None)  # machines are shared
@given(problems(), st.data())
def test_torch_tiles_agree_with_the_kernel(case, data):
    problem, targets = case
    n = data.draw(st.integers(1, len(problem["items"])))
    with pytest.MonkeyPatch.context() as patch:
        for module in (score_tiles, moved_items):
            patch.setattr(module, "BLOCK_USERS", 4)
        patch.setattr(moved_items, "TILE_ITEMS", data.draw(st.sampled_from([4, 16, 64, 256])))
        greater, equal = ranking_torch.count(on_tensors(problem), torch.from_numpy(targets))
        items, scores = ranking_torch.best(on_tensors(problem), n)
    counts = fused_rank_counts(targets=targets, **problem)
    np.testing.assert_array_equal(greater, counts.greater)
    np.testing.assert_array_equal(equal, counts.equal)
    expected_items, expected_scores = fused_top_n(n=n, **problem)
    np.testing.assert_array_equal(items, expected_items)
    np.testing.assert_array_equal(scores, expected_scores)


def random_problem(n_users, n_items, width, seed=0):
    """Vectors of full precision, a third of the items copies of others, bias and windows."""
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n_items, width), dtype=np.float32)
    bias = np.round(rng.standard_normal(n_items)).astype(np.float32)
    items[2::3], bias[2::3] = items[: len(items[2::3])], bias[: len(items[2::3])]
    listed = rng.integers(0, n_items, n_users * 6).astype(np.uint32)
    problem = {
        "users": rng.standard_normal((n_users, width), dtype=np.float32),
        "items": items,
        "bias": bias,
        "window": (np.arange(n_users + 1, dtype=np.int64) * 6, listed),
        "window_offset": 0.7,
    }
    targets = rng.integers(0, n_items, n_users).astype(np.uint32)
    targets[::4] = listed[::24]  # some targets are in their window
    return problem, targets


def random_bonuses(n_users, n_items, seed=1):
    """Bonuses of full precision for a tenth of the items of each row."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(rng.random(n_items) < 0.1) for _ in range(n_users)]
    items = np.concatenate(rows).astype(np.uint32)
    values = rng.standard_normal(len(items), dtype=np.float32)
    return ItemBonuses(np.cumsum([0, *map(len, rows)]), items, values)


def assembled(problem):
    """The matrix of scores that the fused kernel itself produces, from lists of all items."""
    n_items = len(problem["items"])
    items, scores = fused_top_n(n=n_items, **problem)
    matrix = np.full(items.shape, -np.inf, np.float32)
    np.put_along_axis(matrix, items.astype(np.int64), scores, axis=1)
    return matrix


@pytest.mark.parametrize("width", [1, 7, 64, 130, 256, 700])
@pytest.mark.parametrize("n_items", [1, 63, 64, 65, 1601])
def test_fused_counts_are_those_of_the_kernels_own_matrix(width, n_items):
    """A target's score has the bits its tile gives it, or equal and greater would be off."""
    problem, targets = random_problem(61, n_items, width)
    matrix = assembled(problem)
    expected, counts = rank_counts(matrix, targets), fused_rank_counts(targets=targets, **problem)
    np.testing.assert_array_equal(counts.greater, expected.greater)
    np.testing.assert_array_equal(counts.equal, expected.equal)
    for mine, theirs in zip(fused_top_n(n=1, **problem), top_n(matrix, 1), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    exact = reference.matrix(**problem)
    np.testing.assert_allclose(matrix, exact, atol=2e-6 + 2e-7 * width, rtol=1e-5)
    assert n_items < 3 or counts.equal.sum() > 5  # copies of items tie to the last bit


def test_scores_do_not_depend_on_the_order_of_items():
    problem, targets = random_problem(50, 5000, 33)
    order = np.random.default_rng(1).permutation(5000)
    place = np.argsort(order)
    moved = problem | {"items": problem["items"][order], "bias": problem["bias"][order]}
    moved["window"] = (problem["window"][0], place[problem["window"][1]])
    here, there = assembled(problem), assembled(moved)
    np.testing.assert_array_equal(here[:, order], there)
    mine = fused_rank_counts(targets=targets, **problem)
    theirs = fused_rank_counts(targets=place[targets], **moved)
    np.testing.assert_array_equal(mine.greater, theirs.greater)
    np.testing.assert_array_equal(mine.equal, theirs.equal)


def test_scores_do_not_depend_on_the_batch_of_users_or_the_catalogue_around_an_item():
    problem, targets = random_problem(2000, 700, 20)
    counts = fused_rank_counts(targets=targets, **problem)
    lists = fused_top_n(n=15, **problem)
    for size in (1, 5, 6, 7, 999):
        for begin in range(0, 2000, size * 40 if size < 9 else size):
            rows = slice(begin, min(begin + size, 2000))
            offsets = problem["window"][0][rows.start : rows.stop + 1]
            listed = problem["window"][1][offsets[0] : offsets[-1]]
            part = problem | {
                "users": problem["users"][rows],
                "window": (offsets - offsets[0], listed),
            }
            some = fused_rank_counts(targets=targets[rows], **part)
            np.testing.assert_array_equal(some.greater, counts.greater[rows])
            np.testing.assert_array_equal(some.equal, counts.equal[rows])
            for mine, whole in zip(fused_top_n(n=15, **part), lists, strict=True):
                np.testing.assert_array_equal(mine, whole[rows])
    whole = assembled(problem | {"window": None})
    cut = {
        "users": problem["users"],
        "items": problem["items"][:333],
        "bias": problem["bias"][:333],
    }
    np.testing.assert_array_equal(assembled(cut), whole[:, :333])


@pytest.mark.parametrize(("n_users", "n_items", "width"), [(2000, 3000, 16), (3, 150_000, 24)])
def test_any_number_of_threads_gives_the_same_bits(n_users, n_items, width):
    problem, targets = random_problem(n_users, n_items, width)
    problem["bonuses"] = random_bonuses(n_users, n_items)
    results = []
    for n_threads in (1, 2, 8):
        _core.set_threads(n_threads)
        counts = fused_rank_counts(targets=targets, **problem)
        results.append((counts.greater, counts.equal, *fused_top_n(n=20, **problem)))
    _core.set_threads(os.cpu_count() or 1)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_seen_items_are_not_listed_and_others_are():
    problem, _ = random_problem(100, 400, 8)
    problem["window_offset"] = -np.inf
    items, scores = fused_top_n(n=400, **problem)
    for row in range(100):
        seen = set(problem["window"][1][6 * row : 6 * row + 6].tolist())
        n_left = 400 - len(seen)
        assert set(items[row, :n_left].tolist()) == set(range(400)) - seen
        assert (items[row, n_left:] == 400).all()
        assert (scores[row, n_left:] == -np.inf).all()


def test_other_number_types_and_layouts_are_converted():
    problem, targets = random_problem(20, 90, 5)
    users, items = problem["users"].astype(np.float16), problem["items"].astype(np.float16)
    expected = fused_rank_counts(users.astype(np.float32), items.astype(np.float32), targets)
    for convert in (
        lambda array: array,
        lambda array: np.asfortranarray(array.astype(np.float64)),
        lambda array: torch.from_numpy(array).requires_grad_(),
        lambda array: array[::-1].copy()[::-1],
    ):
        counts = fused_rank_counts(convert(users), convert(items), targets.tolist())
        np.testing.assert_array_equal(counts.greater, expected.greater)
        np.testing.assert_array_equal(counts.equal, expected.equal)


@pytest.mark.parametrize("name", ["users", "items", "bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(name, value):
    problem, targets = random_problem(30, 900, 12)
    place = {"users": (17, 3), "items": (777, 3), "bias": (801,)}[name]
    problem[name][place] = value
    where = f"{name} row {place[0]} column {place[1] if len(place) > 1 else 0}"
    torch_targets = torch.from_numpy(targets.astype(np.int64))
    for call in (
        lambda: fused_rank_counts(targets=targets, **problem),
        lambda: fused_top_n(n=5, **problem),
        lambda: ranking_torch.count(on_tensors(problem), torch_targets),
        lambda: ranking_torch.best(on_tensors(problem), 5),
    ):
        with pytest.raises(NonFiniteError, match=where):
            call()


def test_a_score_that_overflows_is_refused():
    users, items = np.array([[1.0], [1e30]]), np.array([[1.0], [2.0], [-1e30]])
    problem = {"users": users.astype(np.float32), "items": items.astype(np.float32)}
    for call in (
        lambda: fused_rank_counts(targets=[0, 0], **problem),
        lambda: fused_top_n(n=1, **problem),
        lambda: ranking_torch.count(on_tensors(problem), torch.tensor([0, 0])),
        lambda: ranking_torch.best(on_tensors(problem), 1),
    ):
        with pytest.raises(NonFiniteError, match="scores row 1 column 2"):
            call()


def test_a_masked_target_is_refused():
    users, items = np.ones((2, 1), np.float32), np.ones((3, 1), np.float32)
    by_bias = {"users": users, "items": items, "bias": np.array([0, 0, -np.inf], np.float32)}
    by_list = {"users": users, "items": items, "window_offset": -np.inf}
    by_list["window"] = (np.array([0, 1, 2]), np.array([0, 2]))
    for problem in (by_bias, by_list):
        with pytest.raises(InputError, match="row 1: target 2 is masked"):
            fused_rank_counts(targets=[1, 2], **problem)
        with pytest.raises(InputError, match="row 1: target 2 is masked"):
            ranking_torch.count(on_tensors(problem), torch.tensor([1, 2]))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"users": np.zeros((4, 5))}, InputError),
        ({"users": np.zeros(3)}, InputError),
        ({"users": np.zeros((4, 3), bool)}, TypeError),
        ({"items": np.zeros((0, 3))}, InputError),
        ({"users": np.zeros((4, 0)), "items": np.zeros((6, 0))}, InputError),
        ({"bias": np.zeros(5)}, InputError),
        ({"bias": np.zeros((6, 1))}, InputError),
        ({"window": ([0, 1, 2, 3], [0, 1, 2])}, InputError),
        ({"window": ([0, 1, 2, 3, 4], [0, 1, 2])}, InputError),
        ({"window": ([0, 1, 2, 3, 2], [0, 1, 2])}, InputError),
        ({"window": ([1, 1, 2, 3, 3], [0, 1, 2])}, InputError),
        ({"window": ([0, 2, 1, 3, 3], [0, 1, 2])}, InputError),
        ({"window": ([-1, 1, 2, 3, 3], [0, 1, 2])}, InputError),
        ({"window": ([0, 1, 2, 3, 3], [0, 1, 6])}, InputError),
        ({"window": ([0, 1, 2, 3, 3], [0, 1, 2]), "window_offset": np.nan}, InputError),
        ({"window": ([0, 1, 2, 3, 3], [0, 1, 2]), "window_offset": np.inf}, InputError),
        ({"targets": [0, 1, 2]}, InputError),
        ({"targets": [0, 1, 2, 6]}, InputError),
        ({"users": torch.zeros((4, 3), device="meta")}, InputError),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, error):
    whole = {"users": np.ones((4, 3)), "items": np.ones((6, 3)), "targets": [0, 1, 2, 3]}
    fused_rank_counts(**whole)
    with pytest.raises(error):
        fused_rank_counts(**(whole | change))
    if set(change) <= {"window", "window_offset"}:
        window = tuple(torch.tensor(part, dtype=torch.int64) for part in change["window"])
        shift = change.get("window_offset", 0.0)
        if window[1].max() < 6:
            with pytest.raises(error):
                moves_on(torch.device("cpu"), (window, shift, None), 4, 6)


@pytest.mark.slow
@given(problems())
def test_a_window_that_was_checked_once_serves_again(case):
    problem, targets = case
    if "window" not in problem:
        return
    once = checked_window(problem["window"], len(targets), len(problem["items"]))
    for _ in range(2):
        for function, last in ((fused_rank_counts, targets), (fused_top_n, 1)):
            users, items = problem["users"], problem["items"]
            rest = {k: v for k, v in problem.items() if k not in ("users", "items")}
            expected = function(users, items, last, **rest)
            got = function(users, items, last, **(rest | {"window": once}))
            for one, other in zip(
                vars(got).values() if last is targets else got,
                vars(expected).values() if last is targets else expected,
                strict=True,
            ):
                assert np.array_equal(one, other)


@pytest.mark.slow
@settings(deadline=None)  # machines are shared
@given(problems())
def test_scores_that_need_no_look_are_the_same_when_looked_at(case):
    problem, targets = case
    safe = on_tensors(problem)
    assert safe.is_safe
    looked_at = replace(safe, is_safe=False)
    wanted = torch.from_numpy(targets)
    for one, other in zip(
        ranking_torch.count(safe, wanted), ranking_torch.count(looked_at, wanted), strict=True
    ):
        assert torch.equal(one, other)
    for one, other in zip(
        ranking_torch.best(safe, 1), ranking_torch.best(looked_at, 1), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("users", "items", "bias", "shift", "is_safe"),
    [
        (3e18, 3e18, 0.0, 0.0, True),
        (3e19, 3e19, 0.0, 0.0, False),
        (1e30, 0.0, 0.0, 0.0, False),  # its length is more than float32 holds
        (1e39, 0.0, 0.0, 0.0, False),  # no float32
        (1.0, 1.0, 2e38, 0.0, False),
        (1.0, 1.0, -np.inf, -np.inf, True),
        (1.0, 1.0, 0.0, -2e38, False),
        (np.nan, 1.0, 0.0, 0.0, False),
    ],
)
def test_which_scores_are_looked_at(users, items, bias, shift, is_safe):
    listed = listed_items((torch.tensor([0, 1]), torch.tensor([0])), 1, 1)
    problem = score_tiles.Problem.of(
        torch.tensor([[users, 0.0]], dtype=torch.float64),
        torch.tensor([[items, 0.0]], dtype=torch.float64),
        torch.tensor([bias], dtype=torch.float64),
        (Moved(listed, shift),),
    )
    assert problem.is_safe is is_safe


@pytest.mark.parametrize("few", [0.0, 1 / 16, 1.0])
@pytest.mark.parametrize("n", [1, 50])
def test_lists_over_several_tiles_are_those_of_all_scores(monkeypatch, few, n):
    # Few items of a tile enter a list, or many: both ways give the same.
    monkeypatch.setattr(ranking_torch, "_FEW", few)
    rng = np.random.default_rng(0)
    users, items = (
        torch.from_numpy(rng.integers(-3, 4, (size, 4)).astype(np.float32)) for size in (40, 30_000)
    )
    items[20_000:] *= 2  # the best come late
    bias = torch.from_numpy(np.where(rng.random(30_000) < 0.9, -np.inf, 0.0).astype(np.float32))
    bias[:9000] = -torch.inf  # no candidate in the first tile
    problem = score_tiles.Problem.of(users, items, bias)
    assert len(list(problem.tiles())) == 4
    found, scores = ranking_torch.best(problem, n)
    everything = users @ items.T + bias
    expected = everything.sort(dim=1, descending=True, stable=True)
    assert torch.equal(scores, expected.values[:, :n])
    assert torch.equal(found, expected.indices[:, :n])


@pytest.mark.slow
@pytest.mark.parametrize("by_kernels", [False, True], ids=["in tiles", "on the chip"])
def test_all_work_on_a_gpu_is_on_that_gpu_and_the_host_reads_thrice_before_the_result(
    monkeypatch, by_kernels
):
    monkeypatch.setattr(on_chip, "MANY_SCORES", 0 if by_kernels else 1 << 62)
    if by_kernels:
        pytest.importorskip("triton")
        kernels = importlib.import_module("dllm2rec.kernels.rank_counts")
        monkeypatch.setattr(kernels, "launch", lambda *_, **__: None)
    reads = []

    def read(numbers):
        assert numbers.device.type == "cuda"
        reads.append(len(numbers))
        return [0.0] * len(numbers)

    monkeypatch.setattr(score_tiles, "read", read)
    n_rows, n_items = 5000, 20_000  # three blocks, three tiles
    with FakeTensorMode():  # tensors that only know their device, type and shape
        on_gpu = partial(torch.empty, device="cuda")
        pairs = Listed(on_gpu(900, dtype=torch.int64), n_rows, n_items)
        laid_out = on_gpu(900, dtype=torch.int64), on_gpu(900, dtype=torch.int64)
        cuts = np.tile(np.arange(0, 900, 100)[:4], (3, 1))
        vars(pairs)["by_tile"] = TileOrder(*laid_out, cuts)
        counts = fused_rank_counts_on(
            on_gpu((n_rows, 8)),
            on_gpu((n_items, 8), dtype=torch.bfloat16),
            on_gpu(n_rows, dtype=torch.int64),
            on_gpu(n_items),
            CheckedWindow(n_rows, n_items, pairs),
        )
        assert [(part.shape, part.device.type) for part in counts] == [((n_rows,), "cpu")] * 2
    assert reads == [5, 2, 2]  # lengths, bias, shifts; targets; what was refused


def fused_rank_counts_on(users, items, targets, bias, window):
    """What `fused_rank_counts` does on a GPU, before its results become arrays."""
    problem = ranking._problem_on(users.device, users, items, bias, (window, 1.5, None))
    wanted = ranking._targets_on(users.device, targets, len(users), len(items))
    return ranking_torch.count(problem, wanted)


def test_a_checked_window_of_other_rows_items_or_places_is_refused():
    users, items, window = np.ones((4, 3)), np.ones((6, 3)), ([0, 1, 1, 2, 2], [0, 5])
    other = checked_window(([0, 1, 1, 2, 2, 2], [0, 5]), 5, 6)
    with pytest.raises(InputError, match="checked for 5 rows and 6 items, expected 4 and 6"):
        fused_top_n(users, items, 1, window=other)
    with pytest.raises(InputError, match="checked for 4 rows and 7 items"):
        fused_top_n(users, items, 1, window=checked_window(window, 4, 7))
    pairs = listed_items(tuple(torch.tensor(part) for part in window), 4, 6)
    with pytest.raises(InputError, match="laid out on a device"):
        fused_top_n(users, items, 1, window=CheckedWindow(4, 6, pairs))


@pytest.mark.parametrize("n", [0, -1, 7, 2**63])
def test_a_list_longer_than_the_catalogue_or_empty_is_refused(n):
    with pytest.raises(InputError, match=f"n = {n}, expected 1 <= n <= 6"):
        fused_top_n(np.ones((4, 3)), np.ones((6, 3)), n)


def test_no_users_give_empty_results():
    users, items = np.zeros((0, 3)), np.ones((6, 3))
    counts = fused_rank_counts(users, items, [])
    assert counts.greater.shape == counts.equal.shape == (0,)
    lists = fused_top_n(users, items, 2)
    assert [part.shape for part in lists] == [(0, 2), (0, 2)]


def test_the_callers_settings_for_float32_products_are_kept():
    torch.set_float32_matmul_precision("medium")
    try:
        problem, _ = random_problem(4, 30, 3)
        ranking_torch.best(on_tensors(problem), 2)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.gpu
@settings(deadline=None, max_examples=20)
@given(problems(), st.data())
def test_cuda_vectors_give_the_same(case, data):
    problem, targets = case
    n = data.draw(st.integers(1, len(problem["items"])))
    there = problem | {
        name: torch.from_numpy(problem[name].copy()).cuda() for name in ("users", "items")
    }
    mine, theirs = (
        fused_rank_counts(targets=targets, **problem),
        fused_rank_counts(targets=targets, **there),
    )
    np.testing.assert_array_equal(mine.greater, theirs.greater)
    np.testing.assert_array_equal(mine.equal, theirs.equal)
    for here, away in zip(fused_top_n(n=n, **problem), fused_top_n(n=n, **there), strict=True):
        np.testing.assert_array_equal(here, away)


@pytest.mark.gpu
@pytest.mark.parametrize("width", [1, 16, 64, 100, 256])
@pytest.mark.parametrize("n_users", [1, 50, 3000])
@pytest.mark.parametrize("has_bias", [False, True], ids=["", "bias"])
def test_copies_of_items_tie_exactly_on_cuda(n_users, width, has_bias):
    rng = np.random.default_rng(0)
    items = np.tile(rng.standard_normal((5000, width), dtype=np.float32), (5, 1))
    users = rng.standard_normal((n_users, width), dtype=np.float32)
    targets = rng.integers(0, 25_000, n_users)
    bias = np.tile(rng.standard_normal(5000, dtype=np.float32), 5) if has_bias else None
    on_gpu = (torch.from_numpy(users).cuda(), torch.from_numpy(items).cuda())
    counts = fused_rank_counts(*on_gpu, targets, bias)
    assert (counts.equal >= 4).all()
    assert (counts.greater % 5 == 0).all()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [16, 50, 64, 128])
def test_lists_made_on_the_chip_hold_the_best_in_float32(width, dtype):
    rng = torch.Generator("cuda").manual_seed(0)
    n_users, n_items = 700, 200_000
    users = torch.randn(n_users, width, device="cuda", generator=rng)
    items = torch.randn(n_items, width, device="cuda", generator=rng)
    items = (items * torch.rand(n_items, 1, device="cuda", generator=rng)).to(dtype)
    bias = torch.randn(n_items, device="cuda", generator=rng)
    bias[::7] = -torch.inf
    seen = torch.randint(n_items, (n_users, 30), device="cuda", generator=rng)
    seen[5] = torch.arange(30, device="cuda")
    window = torch.arange(n_users + 1, device="cuda") * 30, seen.flatten()
    found, scores = fused_top_n(users, items, 50, bias, window, -np.inf)
    exact = users.double() @ items.double().T + bias
    exact.scatter_(1, seen, -torch.inf)
    best = exact.topk(50).values
    mine = exact.gather(1, torch.from_numpy(found.astype(np.int64)).cuda())
    assert (mine - best).abs().amax() < 1e-4  # of items that swap places by rounding
    assert (torch.from_numpy(scores).cuda() - mine).abs().amax() < 1e-4
    np.testing.assert_array_equal(np.sort(scores)[:, ::-1], scores)


@pytest.mark.gpu
def test_lists_of_one_score_go_by_item_on_cuda():
    users, items = torch.ones(700, 16, device="cuda"), torch.ones(200_000, 16, device="cuda")
    found, _ = fused_top_n(users, items, 20)
    np.testing.assert_array_equal(found, np.tile(np.arange(20), (700, 1)))


INTERRUPTED = """
import signal, sys, time
import numpy as np
from dllm2rec import _core
users, items = np.ones((40_000, 64), np.float32), np.ones((400_000, 64), np.float32)
work = {
    "ranks": lambda: _core.fused_rank_counts(users, items, np.zeros(40_000, np.uint32)),
    "lists": lambda: _core.fused_top_n(users, items, 20),
}[sys.argv[1]]
print("ready", flush=True)
try:
    work()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""


def seconds_to_answer_ctrl_c(work):
    command = [sys.executable, "-c", INTERRUPTED, work]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.7)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        answer, _ = process.communicate(timeout=60)
    return float(answer) - sent


@pytest.mark.slow
@pytest.mark.parametrize("work", ["ranks", "lists"])
def test_ctrl_c_is_answered_soon(work):
    # Once in a few tries: other work on the machine may delay any of them.
    assert any(seconds_to_answer_ctrl_c(work) < 0.2 for _ in range(4))


MEMORY = """
import resource, sys
import numpy as np
from dllm2rec import _core
n_users, n_items, width = 10_000, 5_000_000 // int(sys.argv[1]), 2
users = np.random.default_rng(0).standard_normal((n_users, width), dtype=np.float32)
items = np.random.default_rng(1).standard_normal((n_items, width), dtype=np.float32)
targets = np.arange(n_users, dtype=np.uint32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
_core.fused_rank_counts(users, items, targets)
_core.fused_top_n(users, items, 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("part", [100, pytest.param(1, marks=pytest.mark.slow)])
def test_no_users_by_items_matrix_is_ever_held(part):
    """The whole matrix would take 200 GB, its hundredth 2 GB."""
    command = [sys.executable, "-c", MEMORY, str(part)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=280)
    assert int(done.stdout) < 256 * 1024
