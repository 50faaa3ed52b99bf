"""Graph times text: against its slow twin, and the order of what the graph does not reach."""

from __future__ import annotations

import dataclasses
from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate import graph_text
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.graph_text import EDGE_WEIGHTS, OLDER_WEIGHTS, Form, fit_graph_text
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.evaluate.test_baselines import N_ITEMS, dataset_of, histories_of, pairs_of
from tests.reference import baselines as slow
from tests.reference import graph_text as twin
from tests.reference.pair_memory import cosines

ROWS = st.lists(  # of histories, some longer than the window of four, and their targets
    st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=7), min_size=1, max_size=12
)
VECTORS = np.array([[1, 0], [2, 0], [1, 1], [0, 3], [-1, 0], [0, 0], [-1, 2]], dtype=np.float32)


def slow_cosines(vectors: np.ndarray) -> list[list[float]]:
    found = np.zeros((len(vectors), len(vectors)))
    for a, one in enumerate(vectors.tolist()):
        for b, other in enumerate(vectors.tolist()):
            lengths = (one[0] ** 2 + one[1] ** 2) * (other[0] ** 2 + other[1] ** 2)
            if lengths:
                found[a, b] = (one[0] * other[0] + one[1] * other[1]) / lengths**0.5
    return found.tolist()


def check_against_twin(
    fitted: graph_text.GraphText, alike: list[list[float]], most_on: int
) -> None:
    dataset = fitted.dataset
    counts = fitted.rank_counts(dataset.test)
    fit_rows = pairs_of(dataset, dataset.train.followed_by(prefix_rows(dataset)))
    histories = histories_of(dataset, dataset.test)
    for row, (window, target) in enumerate(pairs_of(dataset, dataset.test)):
        scores = twin.scores(fit_rows, window, alike, most_on, tuple(fitted.form))
        if fitted.exclude_seen:
            scores = slow.without_seen(scores, histories[row], target)
        else:
            scores = [s if b not in window else s - 1000 for b, s in enumerate(scores)]
        # Cosines of float32 may differ in the last bits: what is that near may count either way.
        above, near = slow.rank_counts(scores, target, tolerance=1e-6)
        assert above <= counts.greater[row] <= above + near
        assert counts.greater[row] + counts.equal[row] <= above + near
        assert 0 <= counts.equal[row] <= near


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.sampled_from([1, 2, 16]),
    st.sampled_from(EDGE_WEIGHTS),
    st.sampled_from(OLDER_WEIGHTS),
    st.booleans(),
)
def test_graph_text_equals_the_slow_twin(train, test, most_on, edge, older, exclude_seen):
    dataset = dataset_of(train, test[:1], test)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_text, "MOST_ON", most_on)
        fitted = fit_graph_text(dataset, VECTORS, exclude_seen=exclude_seen)
    fitted = dataclasses.replace(fitted, form=Form(edge, older))
    check_against_twin(fitted, slow_cosines(VECTORS), most_on)


TITLES = ["red ball", "big red ball", "blue ball", "blue car", "red car", "", "big blue car"]


def titled(dataset: SequenceDataset) -> SequenceDataset:
    catalogue = Catalogue(dataset.catalogue.item_ids, TITLES)
    return dataclasses.replace(dataset, catalogue=catalogue)


@settings(deadline=None)
@given(ROWS, ROWS, st.sampled_from(EDGE_WEIGHTS), st.sampled_from(OLDER_WEIGHTS))
def test_titles_are_compared_rather_than_vectors(train, test, edge, older):
    fitted = fit_graph_text(titled(dataset_of(train, test[:1], test)), VECTORS)
    alike = cosines(TITLES, 256).tolist()
    check_against_twin(dataclasses.replace(fitted, form=Form(edge, older)), alike, 16)


def test_what_is_out_of_reach_comes_last_by_popularity():
    # From 0: 1 in one step, 2 in two. Out of reach: 4, a target three times, and 3, once.
    train = [[0, 1], [1, 2], *[[6, 4]] * 3, [5, 3]]
    orthogonal = np.eye(N_ITEMS, dtype=np.float32)
    test = [[0, target] for target in range(1, N_ITEMS)]
    fitted = fit_graph_text(dataset_of(train, [[0, 1]], test), orthogonal)
    counts = fitted.rank_counts(fitted.dataset.test)
    assert counts.greater.tolist() == [0, 1, 3, 2, 4, 4]
    assert counts.equal.tolist() == [0, 0, 0, 0, 1, 1]  # 5 and 6 were never a target


def test_of_two_followers_the_one_with_the_likelier_text_comes_first():
    train = [[0, 1], [0, 2]]
    vectors = np.zeros((N_ITEMS, 2), dtype=np.float32)
    vectors[[0, 2]] = 1, 0
    fitted = fit_graph_text(dataset_of(train, [[0, 1]], [[0, 1], [0, 2]]), vectors)
    assert fitted.rank_counts(fitted.dataset.test).greater.tolist() == [1, 0]


def random_dataset(seed: int) -> SequenceDataset:
    rng = np.random.default_rng(seed)
    shares = np.array([32, 16, 8, 4, 2, 2, 1]) / 65
    rows = rng.choice(N_ITEMS, size=(80, 4), p=shares).tolist()
    return dataset_of(rows[:30], rows[30:60], rows[60:])


@pytest.mark.parametrize("pairs", [1, 40])
def test_blocks_do_not_change_the_counts(monkeypatch, pairs):
    fitted = fit_graph_text(random_dataset(3), VECTORS)
    whole = fitted.rank_counts(fitted.dataset.test)
    monkeypatch.setattr(graph_text, "_BLOCK_PAIRS", pairs)
    monkeypatch.setattr(graph_text, "_BLOCK_VECTORS", 2)
    assert len(list(fitted._blocks(fitted.dataset.test))) > 1
    cut = fitted.rank_counts(fitted.dataset.test)
    np.testing.assert_array_equal(cut.greater, whole.greater)
    np.testing.assert_array_equal(cut.equal, whole.equal)


def test_the_numbers_are_those_of_the_best_validation_ndcg(monkeypatch):
    monkeypatch.setattr(graph_text, "SELECTION", "ndcg@2")  # so that settings differ among seven
    monkeypatch.setattr(graph_text, "SELECTION_K", 2)
    fitted = fit_graph_text(random_dataset(5), VECTORS)
    ndcg = {}
    for edge in EDGE_WEIGHTS:
        for older in OLDER_WEIGHTS:
            other = dataclasses.replace(fitted, form=Form(edge, older))
            counts = other.rank_counts(fitted.dataset.validation)
            pairs = list(zip(counts.greater.tolist(), counts.equal.tolist(), strict=True))
            ndcg[edge, older] = slow.expected_ndcg(pairs, 2)
    assert len({round(value, 9) for value in ndcg.values()}) > 1
    assert ndcg[fitted.form] == pytest.approx(max(ndcg.values()), abs=1e-9)


def test_without_titles_and_vectors_there_is_no_row():
    dataset = random_dataset(1)
    assert fit_graph_text(dataset) is None
    teacher = TeacherKnowledge(item_embeddings=VECTORS)
    names = [
        [row.name for row in baseline_rows(data, own, (1,), exclude_seen=False, graph_text=True)]
        for data, own in ((dataset, None), (dataset, teacher), (titled(dataset), None))
    ]
    both = ["popularity", "window counts"]
    assert names == [both, [*both, "graph times text"], [*both, "graph times text"]]


def test_rows_are_needed_and_a_stop_ends_the_work():
    with pytest.raises(InputError, match="no validation rows"):
        fit_graph_text(dataset_of([[0, 1]], [], [[0, 1]]), VECTORS)
    with pytest.raises(InputError, match="no train rows"):
        fit_graph_text(dataset_of([], [[0, 1]], [[0, 1]]), VECTORS)
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        fit_graph_text(random_dataset(1), VECTORS, stop)


def test_a_large_catalogue_takes_no_table_of_items_by_items():
    """A million items: a table of all pairs would have a trillion cells."""
    n_items = 1_000_000
    rng = np.random.default_rng(0)
    events = rng.integers(0, n_items, 300_000).astype(np.uint32)
    events[-1] = events[1]
    ends = np.arange(1, 200_000, 2)
    rows = Rows(ends - 1, ends)
    dataset = SequenceDataset(
        name="large",
        catalogue=Catalogue([str(item) for item in range(n_items)]),
        events=events,
        max_length=4,
        train=rows,
        validation=rows.take(slice(0, 3)),
        test=rows.take(slice(0, 5)),
        has_users=False,
    )
    fitted = fit_graph_text(dataset, rng.normal(size=(n_items, 4)).astype(np.float32))
    assert fitted.rank_counts(dataset.test).greater.max() < 5


# Measured once: HR@20 and NDCG@20 on test.
REAL = {"games": (0.0619, 0.0337), "toys": (0.1220, 0.0735), "ml1m": (0.1879, 0.0886)}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_figures_stay(real_data, name):
    dataset = load_dataset(real_data / name)
    fitted = fit_graph_text(dataset)
    metrics = rank_metrics(fitted.rank_counts(dataset.test), [20])
    assert (metrics["hr@20"], metrics["ndcg@20"]) == pytest.approx(REAL[name], abs=0.0005)
