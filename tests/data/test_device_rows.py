"""Rows on a device: windows cut there are those of the dataset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec.batches.negative_sampler import distinct_counts, negative_sampler
from dllm2rec.batches.training_rows import epoch_order
from dllm2rec.config.model import LossConfig
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import InputError
from tests.support.worlds import cycle_dataset

CPU = torch.device("cpu")


@st.composite
def datasets(draw: st.DrawFn) -> SequenceDataset:
    n_items = draw(st.integers(2, 9))
    events = draw(st.lists(st.integers(0, n_items - 1), min_size=2, max_size=40))
    pairs = draw(
        st.lists(
            st.integers(1, len(events) - 1).flatmap(
                lambda end: st.tuples(st.integers(0, end - 1), st.just(end))
            ),
            min_size=1,
            max_size=12,
        )
    )
    start, end = np.array(pairs, dtype=np.int64).T.copy()
    rows = Rows(start, end)
    return SequenceDataset(
        name="drawn",
        catalogue=Catalogue([str(i) for i in range(n_items)]),
        events=np.array(events, dtype=np.uint32),
        max_length=draw(st.integers(1, 6)),
        train=rows,
        validation=rows,
        test=rows,
        has_users=True,
    )


@given(datasets())
def test_windows_on_a_device_are_those_of_the_dataset(dataset: SequenceDataset) -> None:
    cut = device_rows(dataset, dataset.train, CPU).windows(torch.arange(len(dataset.train)))
    expected = dataset.windows(dataset.train)
    for got, want in zip(
        cut, (expected.sequences, expected.lengths, expected.targets), strict=True
    ):
        assert got.dtype == torch.int64
        np.testing.assert_array_equal(got.numpy(), want)


@given(datasets())
def test_distinct_counts_equal_the_size_of_a_set(dataset: SequenceDataset) -> None:
    begin, end = dataset.train.start, dataset.train.end + 1
    counts = distinct_counts(dataset.events, begin, end)
    expected = [len(set(dataset.events[a:b].tolist())) for a, b in zip(begin, end, strict=True)]
    assert counts.tolist() == expected


def test_epoch_order_is_a_new_permutation_each_epoch_and_seed() -> None:
    orders = {(seed, epoch): epoch_order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(100))
    assert len({tuple(order.tolist()) for order in orders.values()}) == 4
    assert torch.equal(orders[1, 1], epoch_order(100, 1, 1))


@pytest.mark.parametrize("exclude", ["window", "history"])
def test_negatives_avoid_what_is_excluded_and_change_with_the_epoch(exclude: str) -> None:
    dataset = cycle_dataset()
    sampler = negative_sampler(
        dataset, dataset.train, LossConfig(base="bce", n_negatives=7, exclude=exclude)
    )
    assert sampler is not None
    first, second = sampler.epoch(0, 0), sampler.epoch(0, 1)
    assert first.shape == (len(dataset.train), 7)
    assert not torch.equal(first, second)
    begin = dataset.train.start
    if exclude == "window":
        begin = np.maximum(begin, dataset.train.end - dataset.max_length)
    for row, drawn in enumerate(first.tolist()):
        excluded = dataset.events[begin[row] : dataset.train.end[row] + 1].tolist()
        assert not set(drawn) & set(excluded)


def test_log_expected_is_the_log_of_draws_over_possible_items() -> None:
    dataset = cycle_dataset()
    sampler = negative_sampler(dataset, dataset.train, LossConfig(base="bce", n_negatives=3))
    assert sampler is not None
    row = 5
    window = dataset.windows(dataset.train)
    excluded = {*window.sequences[row, : window.lengths[row]].tolist(), int(window.targets[row])}
    expected = np.log(3 / (dataset.n_items - len(excluded)))
    assert sampler.log_expected()[row].item() == pytest.approx(expected, rel=1e-6)


def test_whole_history_is_refused_where_windows_have_no_users() -> None:
    dataset = cycle_dataset()
    object.__setattr__(dataset, "has_users", False)
    with pytest.raises(InputError, match=r'set loss\.exclude = "window"'):
        negative_sampler(dataset, dataset.train, LossConfig(base="bce", exclude="history"))


def test_a_softmax_draws_no_negatives() -> None:
    dataset = cycle_dataset(10)
    assert negative_sampler(dataset, dataset.train, LossConfig(base="softmax")) is None
