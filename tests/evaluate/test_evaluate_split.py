"""A split that is ranked again and again: lists laid out once give what fresh ones give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dllm2rec.batches.training_data import make_student
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate import evaluate_split
from dllm2rec.evaluate.evaluate_split import SplitLists, split_counts
from dllm2rec.evaluate.on_device import moved_items
from dllm2rec.students import Student
from tests.support.worlds import cycle_dataset

# With an offset for window items, whose lists are then used.
CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 8},
    distillation={"embedding_weight": 0.0, "ranking_weight": 0.0},
)


def fresh_student(dataset: SequenceDataset, seed: int) -> Student:
    torch.manual_seed(seed)
    student = make_student(CONFIG, dataset, None)
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter)
    return student


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("most_kept", [1 << 22, 300, 0])  # all blocks, some, none
def test_lists_that_are_kept_give_the_same_counts(
    monkeypatch: pytest.MonkeyPatch, most_kept: int, exclude_seen: bool
) -> None:
    monkeypatch.setattr(evaluate_split, "BLOCK_ROWS", 25)
    monkeypatch.setattr(evaluate_split, "TOGETHER", 1)
    monkeypatch.setattr(evaluate_split, "MOST_KEPT", most_kept)
    dataset = cycle_dataset()
    rows = device_rows(dataset, dataset.validation, torch.device("cpu"))
    lists = SplitLists(rows, exclude_seen=exclude_seen)
    for seed in range(3):
        student = fresh_student(dataset, seed)
        again = split_counts(student, rows, exclude_seen=exclude_seen, lists=lists)
        fresh = split_counts(student, rows, exclude_seen=exclude_seen)
        assert np.array_equal(again.greater, fresh.greater)
        assert np.array_equal(again.equal, fresh.equal)
    assert (len(lists._kept) == 5) is (most_kept == 1 << 22)
    assert bool(lists._kept) is (most_kept > 0)
    monkeypatch.setattr(evaluate_split, "TOGETHER", 3)
    together = split_counts(student, rows, exclude_seen=exclude_seen)
    assert np.array_equal(together.greater, fresh.greater)
    assert np.array_equal(together.equal, fresh.equal)


def test_tiles_are_even_and_hold_every_item() -> None:
    for n_items in (1, 63, 2048, 2049, 8192, 8193, 17_408, 100_000, 10_000_000):
        width = moved_items.tile_width(n_items)
        n_tiles = -(-n_items // width)
        assert max(n_items, moved_items.BLOCK_USERS) <= n_tiles * width
        assert width <= moved_items.TILE_ITEMS
        assert n_tiles == -(-n_items // moved_items.TILE_ITEMS)  # no more of them than must be
        assert n_tiles * width - n_items < moved_items.BLOCK_USERS + moved_items.TILE_STEP * n_tiles
