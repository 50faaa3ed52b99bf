"""Targets ranked among drawn items: every scorer against plain counts of its scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dllm2rec import set_threads
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate import evaluate_split
from dllm2rec.evaluate.baselines import popularity_counts
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.matrices.evaluate_vectors import measure_vectors
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.among_drawn import offset_as_bonuses
from dllm2rec.evaluate.rows.drawn_items import draw_by_popularity
from dllm2rec.evaluate.rows.untrained import untrained_scorers
from dllm2rec.evaluate.score_file import measure_scores
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.students.memory.pair_memory import ItemBonuses, MemoryForm, make_memory
from tests.evaluate.test_choose_memory import count_train_pairs
from tests.evaluate.test_evaluate_split import fresh_student
from tests.reference import baselines as slow
from tests.support.worlds import N_ITEMS, cycle_dataset, random_teacher

DATASET = cycle_dataset(90, noise=0.3)
ROWS = DATASET.test
TARGETS = DATASET.targets(ROWS)


def drawn_of(*, exclude_seen: bool, n: int = 12) -> np.ndarray:
    return draw_by_popularity(DATASET, "test", n, 0, exclude_seen=exclude_seen)


def plain_counts(scores: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The definition: how many of a row's drawn items score above its target, and as it does."""
    own = scores[np.arange(len(scores)), TARGETS]
    above = [sum(row[item] > own[r] for item in drawn[r]) for r, row in enumerate(scores)]
    level = [sum(row[item] == own[r] for item in drawn[r]) for r, row in enumerate(scores)]
    return np.array(above), np.array(level)


def check(found: RankCounts, expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(found.greater, expected[0])
    np.testing.assert_array_equal(found.equal, expected[1])


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("has_offset", [False, True])
@pytest.mark.parametrize("exclude_seen", [False, True])
def test_a_student_is_counted_by_its_scores(
    monkeypatch: pytest.MonkeyPatch, exclude_seen: bool, has_offset: bool, remembers: bool
) -> None:
    monkeypatch.setattr(evaluate_split, "BLOCK_ROWS", 25)
    student = fresh_student(DATASET, 1).eval()
    torch.nn.init.constant_(student.window_offset, -1.5 if has_offset else 0.0)
    if not has_offset:
        student.window_offset = None
    memory = None
    if remembers:
        memory = make_memory(count_train_pairs(DATASET)[0.5], MemoryForm(0.5, 0.5, 1, 1, 0, 2.0))
    rows = device_rows(DATASET, ROWS, torch.device("cpu"))
    sequences, lengths, _ = rows.windows(torch.arange(len(rows)))
    with torch.no_grad():
        items = student.output_items(student.item_table())
        users = student.encode(sequences, lengths, student.item_table())
        scores = (users @ items[0].T + (0 if items[1] is None else items[1])).numpy()
    if has_offset and not exclude_seen:
        for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
            scores[row, np.unique(sequence[:length])] -= 1.5
    if memory is not None:
        added = memory.bonuses(
            sequences.numpy().astype(np.uint32), lengths.numpy().astype(np.uint32)
        )
        row = np.repeat(np.arange(len(rows)), np.diff(added.offsets))
        scores[row, added.items] += added.values
    drawn = drawn_of(exclude_seen=exclude_seen)
    found = split_counts(student, rows, exclude_seen=exclude_seen, memory=memory, drawn=drawn)
    check(found, plain_counts(scores, drawn))
    assert 0 < found.greater.mean() < 12
    set_threads(1)
    try:
        again = split_counts(student, rows, exclude_seen=exclude_seen, memory=memory, drawn=drawn)
    finally:
        set_threads(2)
    check(again, (found.greater, found.equal))


def test_all_other_items_drawn_are_the_full_ranking() -> None:
    student = fresh_student(DATASET, 2).eval()
    rows = device_rows(DATASET, ROWS, torch.device("cpu"))
    others = np.array([np.delete(np.arange(N_ITEMS), target) for target in TARGETS], np.uint32)
    whole = split_counts(student, rows)
    check(split_counts(student, rows, drawn=others), (whole.greater, whole.equal))
    teacher = random_teacher(DATASET)
    full = untrained_scorers(DATASET, teacher, "test", exclude_seen=False)
    among = untrained_scorers(DATASET, teacher, "test", exclude_seen=False, drawn=others)
    assert [one.name for one in among] == [one.name for one in full]
    for one, other in zip(among, full, strict=True):
        check(one.counts, (other.counts.greater, other.counts.equal))


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_baselines_are_counted_by_their_scores(exclude_seen: bool) -> None:
    drawn = drawn_of(exclude_seen=exclude_seen)
    popular, counted = untrained_scorers(
        DATASET, None, "test", exclude_seen=exclude_seen, drawn=drawn
    )
    train = np.bincount(DATASET.targets(DATASET.train), minlength=N_ITEMS)
    check(popular.counts, plain_counts(np.tile(train, (len(ROWS), 1)), drawn))
    full = popularity_counts(DATASET, ROWS, exclude_seen=exclude_seen)
    assert (popular.counts.greater <= full.greater).all()
    # Window counts are floats, whose sums a twin takes in another order: near ties aside.
    fitted = fit_window_counts(DATASET, exclude_seen=exclude_seen)
    windows = DATASET.windows(DATASET.train)
    fit_rows = [
        (sequence[:length].tolist(), int(target))
        for sequence, length, target in zip(
            windows.sequences, windows.lengths, windows.targets, strict=True
        )
    ]
    scored = slow.plain_scores if exclude_seen else slow.window_count_scores
    of_test = DATASET.windows(ROWS)
    n_exact = 0
    for row, (sequence, length) in enumerate(zip(of_test.sequences, of_test.lengths, strict=True)):
        history = sequence[:length].tolist()
        scores = np.array(scored(fit_rows, history, N_ITEMS, fitted.power, fitted.constant))
        distance = scores[drawn[row]] - scores[TARGETS[row]]
        near = np.abs(distance) < (1e-6 if TARGETS[row] in history else 1e-12)
        above = int((distance[~near] > 0).sum())
        assert above <= counted.counts.greater[row] <= above + near.sum()
        n_exact += not near.any()
    assert n_exact > len(ROWS) / 3


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_scores_and_vectors_are_counted_alike(exclude_seen: bool) -> None:
    rng = np.random.default_rng(0)  # small whole numbers: products are exact, and many tie
    users, items = (rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (len(ROWS), N_ITEMS))
    drawn = drawn_of(exclude_seen=exclude_seen)
    request = MeasureRequest(exclude_seen=exclude_seen, drawn=drawn)
    expected = plain_counts(users @ items.T, drawn)
    assert expected[1].any()
    for measured in (
        measure_scores(users @ items.T, DATASET, request),
        measure_vectors((users, items), DATASET, request),
    ):
        assert measured.rows is not None
        check(measured.rows.scorers[-1].counts, expected)


def test_an_offset_adds_up_with_bonuses_in_float32() -> None:
    listed = np.array([0, 3, 3, 4]), np.array([4, 1, 4, 0], np.uint32)
    bonuses = ItemBonuses(
        np.array([0, 2, 2, 3]), np.array([1, 2, 3], np.uint32), np.float32([0.1, 0.2, 0.3])
    )
    found = offset_as_bonuses(listed, 0.7, bonuses, 5)
    assert found.offsets.tolist() == [0, 3, 3, 5]
    assert found.items.tolist() == [1, 2, 4, 0, 3]
    both = np.float32(0.7) + np.float32(0.1)
    np.testing.assert_array_equal(found.values, np.float32([both, 0.2, 0.7, 0.7, 0.3]))
    alone = offset_as_bonuses(listed, 0.7, None, 5)
    assert alone.items.tolist() == [1, 4, 0]
