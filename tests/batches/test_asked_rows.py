"""A teacher's histories become rows behind the train rows: windows and lists, no targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dllm2rec.batches.training_data import TrainingData, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.support.worlds import LENGTH, N_ITEMS, asked_histories, cycle_dataset, oracle_teacher

DATASET = cycle_dataset()
HISTORIES = asked_histories()
ALONE = TeacherKnowledge(histories=HISTORIES)
BOTH = replace(oracle_teacher(DATASET), histories=HISTORIES)
R = len(DATASET.train)
KEEP_ALL = {"drop_window_items": False, "embedding_weight": 0.0}


def data_of(
    teacher: TeacherKnowledge,
    recipe: str = "strong",
    dataset: SequenceDataset = DATASET,
    **change: Any,
) -> TrainingData:
    config = changed(load_config(recipe=recipe), distillation={"top_k": 6, "ranking_weight": 0.3})
    return make_training_data(changed(config, **change), dataset, teacher, torch.device("cpu"))


def history(number: int) -> list[int]:
    return HISTORIES.items[slice(*HISTORIES.offsets[number : number + 2])].tolist()


def test_a_row_s_window_is_the_end_of_its_history() -> None:
    rows = data_of(ALONE, distillation=KEEP_ALL).rows
    assert (len(rows.rows), rows.n_targets, rows.n_histories) == (R + 60, R, 60)
    batch = rows.batch(torch.arange(R, R + 60), None)
    for number, (window, length) in enumerate(zip(batch.sequences, batch.lengths, strict=True)):
        assert window[:length].tolist() == history(number)[-LENGTH:]
        assert (window[length:] == N_ITEMS).all()
    assert {len(history(number)) for number in range(60)} == set(range(1, 10))


def test_train_rows_are_as_they_are_without_histories() -> None:
    rows, others = data_of(BOTH).rows, data_of(replace(BOTH, histories=None)).rows
    mine, theirs = (one.batch(torch.arange(R), None) for one in (rows, others))
    for name in ("sequences", "lengths", "targets", "listed"):
        assert torch.equal(getattr(mine, name), getattr(theirs, name))
    assert mine.lists is not None
    assert theirs.lists is not None
    assert torch.equal(mine.lists.values, theirs.lists.values)
    assert mine.has_target is not None
    assert mine.has_target.all()
    assert theirs.has_target is None


def test_a_train_row_of_a_teacher_of_histories_alone_has_an_empty_list() -> None:
    lists = data_of(ALONE, distillation=KEEP_ALL).rows.lists
    assert lists is not None
    assert not lists.kept[:R].any()
    assert not lists.values[:R].any()


def test_lists_are_cut_to_top_k_and_filled_up_to_it() -> None:
    for top_k in (3, 20):
        lists = data_of(ALONE, distillation={**KEEP_ALL, "top_k": top_k}).rows.lists
        assert lists is not None
        for number, ranking in enumerate(HISTORIES.rankings):
            expected = ranking[ranking >= 0][:top_k].tolist()
            assert lists.items_or(-1)[R + number].tolist() == expected + [-1] * (
                top_k - len(expected)
            )
            assert float(lists.values[R + number].sum()) == pytest.approx(1, abs=1e-6)


def test_probabilities_are_those_of_the_distances_or_by_rank() -> None:
    near = data_of(ALONE, distillation=KEEP_ALL).rows.lists
    ranked = TeacherKnowledge(histories=asked_histories(distances=False))
    by_rank = data_of(ranked, distillation=KEEP_ALL).rows.lists
    assert near is not None
    assert by_rank is not None
    assert HISTORIES.distances is not None
    number = int((HISTORIES.rankings >= 0).sum(1).argmax())
    for lists, distance in (
        (near, HISTORIES.distances[number, :6]),
        (by_rank, 0.035 * np.log(np.arange(1, 7))),
    ):
        weight = np.exp(-np.float64(distance) / 0.05)
        np.testing.assert_allclose(lists.values[R + number], weight / weight.sum(), rtol=1e-5)


def test_with_the_paper_s_confidence_a_history_weighs_as_a_train_row_does_on_average() -> None:
    gammas = {"position_gamma": 0.0, "confidence_gamma": 1.0, "embedding_weight": 0.0}
    lists = data_of(BOTH, "paper", distillation=gammas).rows.lists
    assert lists is not None
    full = lists.kept[R:].sum(1) == 6
    assert full.any()
    mean = float(lists.values[:R].double().mean())
    np.testing.assert_allclose(lists.values[R:][full], mean, rtol=1e-5)


def test_items_of_the_window_leave_the_lists_and_empty_ones_leave_the_rows() -> None:
    asked = AskedHistories(
        offsets=np.array([0, 7, 8, 9]),
        items=np.array([0, 1, 2, 3, 4, 5, 6, 7, 8], dtype=np.int32),
        rankings=np.array([[6, 1, 9], [7, -1, -1], [-1, -1, -1]], dtype=np.int32),
    )
    rows = data_of(TeacherKnowledge(histories=asked), distillation={"embedding_weight": 0.0}).rows
    assert rows.n_histories == 1  # the others' lists have nothing left
    assert rows.lists is not None
    # Item 1 stands before the window of five items, and stays.
    assert rows.lists.items_or(-1)[R].tolist() == [1, 9, -1, -1, -1, -1]


def test_items_that_no_train_row_holds_leave_the_lists_where_they_are_left_out() -> None:
    few = cycle_dataset(n_train_users=3, noise=0.0)
    seen = set(np.unique(few.events[few.train.start.min() : few.train.end.max() + 1]).tolist())
    assert len(seen) < N_ITEMS
    config = {"loss": {"unseen_by_text": True}, "distillation": {"drop_window_items": False}}
    teacher = replace(oracle_teacher(few), histories=HISTORIES)
    rows = data_of(teacher, dataset=few, **config).rows
    assert rows.lists is not None
    listed = rows.lists.items_or(-1)[len(few.train) :]
    assert 0 < rows.n_histories < 60
    assert set(listed[listed >= 0].tolist()) <= seen


LOSSES: dict[str, Any] = {
    "window": {"base": "sampled_softmax", "n_negatives": 20, "exclude": "window"},
    "history": {"base": "sampled_softmax", "n_negatives": 20, "exclude": "history"},
}


@pytest.mark.parametrize("exclude", LOSSES)
def test_negatives_are_all_items_but_the_history_s(exclude: str) -> None:
    data = data_of(BOTH, loss=LOSSES[exclude], distillation=KEEP_ALL)
    assert data.sampler is not None
    drawn = np.stack([data.sampler.epoch(0, epoch)[R:].numpy() for epoch in range(40)], axis=1)
    assert data.rows.log_expected is not None
    for number in range(60):
        own = history(number)
        excluded = set(own[-LENGTH:] if exclude == "window" else own)
        # What is listed first, where a target would be, is drawn as any other item.
        assert set(np.unique(drawn[number])) == set(range(N_ITEMS)) - excluded
        expected = np.log(20 / (N_ITEMS - len(excluded)))
        assert float(data.rows.log_expected[R + number]) == pytest.approx(expected, rel=1e-6)


def test_a_history_without_a_possible_negative_is_skipped_if_asked() -> None:
    everything = AskedHistories(
        offsets=np.array([0, N_ITEMS, N_ITEMS + 1]),
        items=np.append(np.arange(N_ITEMS), 5).astype(np.int32),
        rankings=np.array([[6], [7]], dtype=np.int32),
    )
    loss = {**LOSSES["history"], "neg_fallback": "skip"}
    data = data_of(replace(BOTH, histories=everything), loss=loss, distillation=KEEP_ALL)
    assert data.rows.n_histories == 1
    assert data.rows.lists is not None
    assert data.rows.lists.items_or(-1)[-1].tolist() == [7, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("teacher", [ALONE, BOTH], ids=["alone", "beside train rows"])
@pytest.mark.parametrize("prefix_rows", [False, True])
def test_a_ranking_weight_of_0_has_the_rows_of_a_student_alone(
    teacher: TeacherKnowledge, prefix_rows: bool
) -> None:
    change = {"loss": LOSSES["window"], "train": {"prefix_rows": prefix_rows}}
    taught = data_of(teacher, **change, distillation=KEEP_ALL).for_ranking_weight(0.0)
    alone = data_of(teacher, **change, distillation={**KEEP_ALL, "ranking_weight": 0.0})
    assert (taught.rows.n_histories, taught.rows.lists) == (0, None)
    assert taught.sampler is not None
    assert alone.sampler is not None
    assert torch.equal(taught.sampler.epoch(3, 5), alone.sampler.epoch(3, 5))
    every = torch.arange(len(alone.rows.rows))
    assert len(taught.rows.rows) == len(every)
    for mine, theirs in zip(
        taught.rows.rows.windows(every), alone.rows.rows.windows(every), strict=True
    ):
        assert torch.equal(mine, theirs)
    assert taught.rows.log_expected is not None
    assert torch.equal(taught.rows.log_expected, alone.rows.log_expected)
    assert torch.equal(taught.target_counts, alone.target_counts)


def test_targets_are_counted_without_histories() -> None:
    counts = torch.from_numpy(DATASET.target_counts())
    assert torch.equal(data_of(ALONE, distillation=KEEP_ALL).target_counts, counts)


def test_a_message_tells_rows_and_histories_apart() -> None:
    names = data_of(ALONE, distillation=KEEP_ALL).row_names
    assert names == f"cycle train rows (from {R} on, histories of the teacher)"
