"""The pair memory by torch gives the bonuses of the Rust kernel, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate import evaluate_split
from dllm2rec.evaluate.choose_memory import choose_memory, count_train_pairs
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.students.memory import device_memory
from dllm2rec.students.memory.device_memory import DeviceMemory, memory_on
from dllm2rec.students.memory.pair_memory import MemoryForm, PairMemory, count_pairs, make_memory
from tests.evaluate.test_choose_memory import untrained
from tests.support.worlds import cycle_dataset

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def random_memory(n_items: int, seed: int = 0) -> PairMemory:
    rng = np.random.default_rng(seed)
    # A few items are followed by nearly everything, some by nothing.
    sequences = (n_items * rng.random((4000, 5)) ** 3).astype(np.uint32)
    targets = (n_items * rng.random(4000) ** 2).astype(np.uint32)
    lengths = rng.integers(0, 6, 4000).astype(np.uint32)
    counts = count_pairs((sequences, lengths, targets), n_items, 0.85)
    return make_memory(counts, MemoryForm(age_decay=0.7, weight=1.3))


def windows(n_rows: int, length: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    sequences = (n_items * rng.random((n_rows, length)) ** 3).astype(np.uint32)
    lengths = rng.integers(0, length + 1, n_rows).astype(np.uint32)
    sequences[np.arange(length) >= lengths[:, None]] = n_items
    return sequences, lengths


def assert_same(memory: PairMemory, sequences: np.ndarray, lengths: np.ndarray, device: str):
    there = DeviceMemory.of(memory, torch.device(device))
    asked = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (sequences, lengths))
    found = there.bonuses(*asked)
    expected = memory.bonuses(sequences, lengths)
    for mine, theirs in zip(found.on_host(), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    np.testing.assert_array_equal(found.scaled(0.37).on_host().values, expected.scaled(0.37).values)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("most_terms", [1, 700, 1 << 25])
@pytest.mark.parametrize("length", [1, 7, 40])
def test_bonuses_are_those_of_the_host(monkeypatch, device, most_terms, length):
    monkeypatch.setattr(device_memory, "MOST_TERMS", most_terms)
    memory = random_memory(90)
    assert_same(memory, *windows(200, length, 90), device)


@pytest.mark.parametrize("n_rows", [0, 3])
def test_windows_without_an_item_have_no_bonuses(n_rows):
    memory = random_memory(90)
    assert_same(memory, np.full((n_rows, 4), 90, np.uint32), np.zeros(n_rows, np.uint32), "cpu")


def test_the_cpu_keeps_the_memory_as_it_is():
    memory = random_memory(9)
    assert memory_on(CPU, memory) is memory


def test_ranks_lists_and_the_chosen_memory_are_the_same(monkeypatch):
    dataset = cycle_dataset()
    student, rows = untrained(dataset), device_rows(dataset, dataset.validation, CPU)
    counts = count_train_pairs(dataset)
    memory = make_memory(counts[0.85], MemoryForm())

    def results():
        ranks = evaluate_split.split_counts(student, rows, memory=memory)
        targets = dataset.events[dataset.validation.end][:, None]
        drawn = ((targets + np.arange(1, 4)) % dataset.n_items).astype(np.uint32)
        among = evaluate_split.split_counts(student, rows, memory=memory, drawn=drawn)
        lists = student_lists(student, rows, 5, memory=memory)
        chosen = choose_memory(student, rows, counts, seen=False)
        assert chosen is not None
        return ranks, among, lists, chosen.form

    on_host = results()

    def copied(device: torch.device, one: PairMemory) -> DeviceMemory:
        return DeviceMemory.of(one, device)

    for module in ("evaluate_split", "choose_memory", "top_lists"):
        monkeypatch.setattr(f"dllm2rec.evaluate.{module}.memory_on", copied)
    on_device = results()
    for mine, theirs in zip(on_device[:2], on_host[:2], strict=True):
        np.testing.assert_array_equal(mine.greater, theirs.greater)
        np.testing.assert_array_equal(mine.equal, theirs.equal)
    np.testing.assert_array_equal(on_device[2], on_host[2])
    assert on_device[3] == on_host[3]
