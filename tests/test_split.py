"""A split that is ranked again and again: lists laid out once give what fresh ones give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dllm2rec.config import StudentConfig
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate import split
from dllm2rec.evaluate.split import SplitLists, split_counts
from dllm2rec.students import Student, build_student
from tests.worlds import LENGTH, N_ITEMS, cycle_dataset


def fresh_student(seed: int) -> Student:
    torch.manual_seed(seed)
    student = build_student(
        StudentConfig(hidden_size=8, window_offset=True),
        n_items=N_ITEMS,
        max_length=LENGTH,
        teacher_embeddings=None,
        embedding_weight=0.0,
        embedding_sides="both",
        variant="paper",
    )
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter)
    return student


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("most_kept", [1 << 22, 300, 0])  # all blocks, some, none
def test_lists_that_are_kept_give_the_same_counts(
    monkeypatch: pytest.MonkeyPatch, most_kept: int, exclude_seen: bool
) -> None:
    monkeypatch.setattr(split, "BLOCK_ROWS", 25)
    monkeypatch.setattr(split, "MOST_KEPT", most_kept)
    dataset = cycle_dataset()
    rows = device_rows(dataset, dataset.validation, torch.device("cpu"))
    lists = SplitLists(rows, exclude_seen=exclude_seen)
    for seed in range(3):
        student = fresh_student(seed)
        again = split_counts(student, rows, exclude_seen=exclude_seen, lists=lists)
        fresh = split_counts(student, rows, exclude_seen=exclude_seen)
        assert np.array_equal(again.greater, fresh.greater)
        assert np.array_equal(again.equal, fresh.equal)
    assert (len(lists._kept) == 5) is (most_kept == 1 << 22)
    assert bool(lists._kept) is (most_kept > 0)
