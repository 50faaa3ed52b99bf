"""Negatives: the definition of the generator, exactness, refusals."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec import _core
from dllm2rec.batches.negative_sampler import negative_sampler, sample_negatives
from dllm2rec.config.model import LossConfig
from dllm2rec.errors import InputError
from tests.reference import negatives as reference
from tests.support.worlds import N_ITEMS, cycle_dataset


def draw(events: Any, bounds: Any, n_items: int, n_negatives: int, **given: Any) -> Any:
    bounds = np.asarray(bounds, np.int64).reshape(-1, 2)
    given = {"seed": 1, "epoch": 0, "keys": np.arange(len(bounds), dtype=np.uint64)} | given
    return sample_negatives(
        np.asarray(events, np.uint32),
        bounds[:, 0],
        bounds[:, 1],
        n_items=n_items,
        n_negatives=n_negatives,
        **given,
    )


@st.composite
def requests(data: st.DrawFn) -> dict[str, Any]:
    n_items = data(st.sampled_from([2, 3, 5, 17, 70, 5000, 2**32 - 1]))
    item = st.integers(0, n_items - 1)
    events = data(st.lists(item if n_items < 100 else item | st.integers(0, 9), max_size=90))
    rows = data(st.lists(st.tuples(*[st.integers(0, len(events))] * 2), max_size=6))
    bounds = [tuple(sorted(row)) for row in rows]
    bounds = [(a, b) for a, b in bounds if len(set(events[a:b])) < n_items]
    word = st.integers(0, 2**64 - 1)
    keys = data(st.lists(word, min_size=len(bounds), max_size=len(bounds)))
    return {
        "events": np.array(events, np.uint32),
        "begin": np.array([a for a, _ in bounds], np.int64),
        "end": np.array([b for _, b in bounds], np.int64),
        "keys": np.array(keys, np.uint64),
        "n_items": n_items,
        "n_negatives": data(st.sampled_from([1, 2, 3, 4, 5, 40])),
        "seed": data(word),
        "epoch": data(word),
    }


def small_reference(request: dict[str, Any]) -> Any:
    """The twin lists the allowed items: too many of them in a huge catalogue."""
    if request["n_items"] <= 5000:
        return reference.sample_negatives(**request)
    got = sample_negatives(**request)
    for b, key in enumerate(request["keys"].tolist()):
        excluded = set(request["events"][request["begin"][b] : request["end"][b]].tolist())
        for j in range(request["n_negatives"]):
            source = reference.words(request["seed"], request["epoch"], key, j)
            first = reference.below(request["n_items"], source)
            if first not in excluded:
                got[b, j] = first
    return got


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(requests())
def test_sample_negatives_equals_its_twin(request: dict[str, Any]) -> None:
    got = sample_negatives(**request)
    assert got.dtype == np.uint32
    assert got.shape == (len(request["keys"]), request["n_negatives"])
    np.testing.assert_array_equal(got, small_reference(request))


def test_sample_negatives_gives_known_numbers() -> None:
    got = draw([3, 1, 4, 1, 5], [(0, 5), (2, 4)], 10, 5, seed=42, epoch=7)
    assert (
        got.tolist()
        == reference.sample_negatives(
            np.array([3, 1, 4, 1, 5]),
            np.array([0, 2]),
            np.array([5, 4]),
            np.arange(2),
            n_items=10,
            n_negatives=5,
            seed=42,
            epoch=7,
        ).tolist()
    )
    digest = hashlib.sha256(draw([], [(0, 0)] * 100, 2**32 - 1, 10).tobytes()).hexdigest()
    assert digest == "08cefb9847c02c5d82e2c191ab45601a83092bd8911af361f47cb5dfad980a5d"


def test_sample_negatives_sees_a_set_not_a_list() -> None:
    once = draw([4, 2, 9], [(0, 3)], 12, 200)
    again = draw([9, 9, 2, 4, 4, 2, 9, 2], [(0, 8)], 12, 200)
    np.testing.assert_array_equal(once, again)


def test_sample_negatives_depends_on_the_row_alone() -> None:
    events = np.arange(50, dtype=np.uint32) % 13
    bounds = np.array([(i, i + 7) for i in range(40)])
    whole = draw(events, bounds, 13, 3)
    for rows in (slice(0, 1), slice(17, 40), slice(None, None, -1)):
        keys = np.arange(40, dtype=np.uint64)[rows]
        np.testing.assert_array_equal(draw(events, bounds[rows], 13, 3, keys=keys), whole[rows])
    np.testing.assert_array_equal(draw(events, bounds, 13, 9)[:, :3], whole)


@pytest.mark.parametrize("change", [{"seed": 2}, {"epoch": 1}, {"keys": np.arange(1, 9) * 2**40}])
def test_sample_negatives_changes_with_seed_epoch_and_key(change: dict[str, Any]) -> None:
    bounds = [(0, 0)] * 8
    base, other = draw([], bounds, 1000, 50), draw([], bounds, 1000, 50, **change)
    assert (base == other).mean() < 0.02  # 1 in 1000 by chance


def test_sample_negatives_changes_with_the_draw() -> None:
    assert len(np.unique(draw([], [(0, 0)], 2**32 - 1, 10_000))) > 9_990


def chi_square_p(counts: Any, expected: float) -> float:
    """Upper tail of the chi-square statistic by Wilson and Hilferty's cube root."""
    degrees = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    spread = 2 / (9 * degrees)
    z = ((statistic / degrees) ** (1 / 3) - (1 - spread)) / spread**0.5
    erfc = np.vectorize(lambda x: __import__("math").erfc(x))
    return float(erfc(z / 2**0.5) / 2)


@pytest.mark.parametrize("n_negatives", [1, 50])
@pytest.mark.parametrize(
    ("n_items", "n_excluded"),
    [(50, 11), (50, 45), (3000, 11), pytest.param(3000, 2000, marks=pytest.mark.slow)],
)
def test_sample_negatives_is_uniform(n_items: int, n_excluded: int, n_negatives: int) -> None:
    rng = np.random.default_rng(n_items + n_excluded)
    excluded = rng.choice(n_items, n_excluded, replace=False).astype(np.uint32)
    allowed = np.setdiff1d(np.arange(n_items), excluded)
    n_draws = 40 * n_items
    p_values = []
    for seed in range(30):
        bounds = np.tile([0, n_excluded], (n_draws // n_negatives, 1))
        items = draw(excluded, bounds, n_items, n_negatives, seed=seed)
        counts = np.bincount(items.ravel(), minlength=n_items)
        assert counts[excluded].sum() == 0
        p_values.append(chi_square_p(counts[allowed], items.size / len(allowed)))
    assert min(p_values) > 1e-4
    assert ks_distance(np.array(p_values)) < 0.35  # 30 values: exceeded once in 1000


def ks_distance(values: Any) -> float:
    steps = np.arange(len(values) + 1) / len(values)
    ordered = np.sort(values)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def test_sample_negatives_is_uniform_over_a_large_catalogue() -> None:
    n_items = 10_000_000
    for seed in range(30):
        items = draw([], [(0, 0)] * 100, n_items, 100, seed=seed).ravel() / n_items
        assert ks_distance(items) < 0.0225  # 10,000 values: exceeded less than once in 10,000


@pytest.mark.slow
def test_sample_negatives_never_draws_an_excluded_item_in_a_hundred_million() -> None:
    rng = np.random.default_rng(0)
    events = rng.integers(0, 200, 100_000, dtype=np.uint32)
    begin = rng.integers(0, len(events) - 11, 10_000)
    keys = np.arange(len(begin), dtype=np.uint64)
    excluded = np.zeros((len(begin), 200), bool)
    excluded[np.arange(len(begin))[:, None], events[begin[:, None] + np.arange(11)]] = True
    for n_negatives, n_epochs in ((1, 1000), (100, 90)):
        for epoch in range(n_epochs):
            items = sample_negatives(
                events,
                begin,
                begin + 11,
                keys,
                n_items=200,
                n_negatives=n_negatives,
                seed=5,
                epoch=epoch,
            )
            assert not np.take_along_axis(excluded, items.astype(np.int64), 1).any()


@pytest.mark.parametrize("n_negatives", [1, 4, 5, 100])
def test_sample_negatives_gives_the_same_bits_for_any_number_of_threads(n_negatives: int) -> None:
    rng = np.random.default_rng(0)
    events = rng.integers(0, 500, 50_000, dtype=np.uint32)
    bounds = np.stack([np.arange(40_000), np.arange(40_000) + 11], 1)
    digests = set()
    for n_threads in (1, 2, 3, 8, 16):
        _core.set_threads(n_threads)
        digests.add(hashlib.sha256(draw(events, bounds, 500, n_negatives).tobytes()).hexdigest())
    _core.set_threads(2)
    assert len(digests) == 1


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sample_negatives_refuses_a_row_that_excludes_everything(n_negatives: int) -> None:
    with pytest.raises(InputError, match="row 1: all 3 items are excluded, expected at least one"):
        draw([0, 1, 2, 2], [(0, 2), (0, 4)], 3, n_negatives)


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sample_negatives_finds_the_only_item_left(n_negatives: int) -> None:
    got = draw([0, 1, 3], [(0, 3)] * 5, 4, n_negatives)
    np.testing.assert_array_equal(got, np.full((5, n_negatives), 2))


@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sample_negatives_names_the_event_that_is_no_item(n_negatives: int) -> None:
    with pytest.raises(InputError, match=r"events row 1 column 2: item 9, expected 0 <= item < 9"):
        draw([0, 1, 2, 9], [(0, 3), (1, 4)], 9, n_negatives)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((-1, 2), "begin row 0 column 0: -1, expected 0 <= begin <= end"),
        ((2, 1), "end row 0 column 0: 1, expected 0 <= begin <= end"),
        ((0, 5), "end row 0 column 0: 5, expected 0 <= begin <= end"),
        ((-(2**63), 2**63 - 1), "begin row 0"),
    ],
)
@pytest.mark.parametrize("n_negatives", [1, 7])
def test_sample_negatives_refuses_bounds_outside_the_events(
    bounds: tuple[int, int], message: str, n_negatives: int
) -> None:
    with pytest.raises(InputError, match=message):
        draw([0, 1, 2, 3], [bounds], 9, n_negatives)


@pytest.mark.parametrize(
    "change",
    [{"n_items": 0}, {"n_items": 2**32}, {"n_negatives": 0}, {"seed": -1}, {"epoch": 2**64}],
)
def test_sample_negatives_refuses_numbers_out_of_range(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected n_items 1 to"):
        draw([], [(0, 0)], **({"n_items": 9, "n_negatives": 1} | change))


def test_sample_negatives_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="begin: 2 values, expected 1"):
        draw([1], [(0, 0), (0, 1)], 9, 1, keys=np.zeros(1, np.uint64))
    with pytest.raises(InputError, match=r"keys\[0\]: -1, expected a whole number"):
        draw([1], [(0, 0)], 9, 1, keys=[-1])
    with pytest.raises(InputError, match=r"keys: shape \(1, 1\), expected 1 axis"):
        draw([1], [(0, 0)], 9, 1, keys=[[1]])
    with pytest.raises(TypeError, match="booleans"):
        draw([1], [(0, 0)], 9, 1, keys=[True])


def test_sample_negatives_takes_any_layout() -> None:
    events = np.arange(24, dtype=np.uint32)
    want = draw(events, [(0, 11), (3, 14)], 30, 6)
    swapped = events.astype(">u4")
    strided = np.repeat(events, 2)[::2]
    readonly = events.copy()
    readonly.flags.writeable = False
    unaligned = np.frombuffer(b"x" + events.tobytes(), np.uint32, offset=1)
    for array in (
        swapped,
        strided,
        readonly,
        unaligned,
        events.astype(np.float64),
        events.tolist(),
    ):
        got = sample_negatives(
            array, [0, 3], [11, 14], [0, 1], n_items=30, n_negatives=6, seed=1, epoch=0
        )
        np.testing.assert_array_equal(got, want)


def test_sample_negatives_of_no_rows_is_empty() -> None:
    assert draw([], np.zeros((0, 2)), 5, 3).shape == (0, 3)


@pytest.mark.slow
def test_no_excluded_item_in_a_hundred_million_draws() -> None:
    """A small catalogue, so that a draw that looked at nothing would hit 5 million times."""
    n_items, n_rows, n_negatives, n_excluded = 200, 10_000, 1000, 10
    start = np.random.default_rng(3).integers(0, n_items, (n_rows, 1))
    lists = (start + np.arange(n_excluded) * 7) % n_items
    begin = np.arange(n_rows) * n_excluded
    bounds = np.stack([begin, begin + n_excluded], axis=1)
    is_excluded = np.zeros((n_rows, n_items), bool)
    np.put_along_axis(is_excluded, lists, values=True, axis=1)
    for epoch in range(10):
        items = draw(lists.ravel(), bounds, n_items, n_negatives, epoch=epoch)
        assert not np.take_along_axis(is_excluded, items.astype(np.int64), axis=1).any()
        if epoch == 0:  # the check itself sees an excluded item
            is_excluded[17, items[17, 5]] = True
            assert np.take_along_axis(is_excluded, items.astype(np.int64), axis=1).any()
            is_excluded[17, items[17, 5]] = False


def test_listed_items_are_drawn_again_and_no_others() -> None:
    dataset = cycle_dataset()
    sampler = negative_sampler(
        dataset, dataset.train, LossConfig(base="bce", n_negatives=7, exclude="history")
    )
    assert sampler is not None
    rng = np.random.default_rng(0)
    listed = np.stack([rng.permutation(N_ITEMS)[:12] for _ in range(len(dataset.train))])
    listed = listed.astype(np.int32)
    listed[::3] = -1  # rows without a list
    freely, apart = (one.epoch(5, 2).numpy() for one in (sampler, sampler.without(listed)))
    clashes = (freely[:, :, None] == listed[:, None, :]).any(2)
    assert 0.1 < clashes.mean() < 0.4
    assert (freely == apart)[~clashes].all()
    assert not (apart[:, :, None] == listed[:, None, :]).any()
    for row, items in enumerate(apart):
        out = dataset.events[sampler.begin[row] : sampler.end[row]]
        assert not set(items.tolist()) & set(out.tolist())
    assert (apart == sampler.without(listed).epoch(5, 2).numpy()).all()


@pytest.mark.slow
def test_draws_outside_the_list_are_uniform() -> None:
    dataset = cycle_dataset(2)
    sampler = negative_sampler(
        dataset, dataset.train, LossConfig(base="bce", n_negatives=50_000, exclude="window")
    )
    assert sampler is not None
    listed = np.tile(np.arange(25, dtype=np.int32), (len(dataset.train), 1))
    drawn = sampler.without(listed).epoch(1, 0).numpy()
    for row, items in enumerate(drawn):
        out = dataset.events[sampler.begin[row] : sampler.end[row]].tolist()
        counts = np.bincount(items, minlength=N_ITEMS)
        possible = sorted(set(range(25, N_ITEMS)) - set(out))
        assert counts[possible].sum() == 50_000
        assert chi_square_p(counts[possible], 50_000 / len(possible)) > 1e-6


def test_a_row_whose_list_and_window_are_the_catalogue_is_named() -> None:
    dataset = cycle_dataset()
    sampler = negative_sampler(dataset, dataset.train, LossConfig(base="bce", exclude="window"))
    assert sampler is not None
    listed = np.tile(np.arange(N_ITEMS, dtype=np.int32), (len(dataset.train), 1))
    listed[:, -1] = -1  # the last item is left, but to rows that have met it
    first = next(
        row
        for row in range(len(dataset.train))
        if N_ITEMS - 1 in dataset.events[sampler.begin[row] : sampler.end[row]]
    )
    with pytest.raises(InputError, match=f"train row {first + 1} excludes all 40 items") as caught:
        sampler.without(listed)
    assert caught.value.code == "E-NEG"
