"""A loaded recommender: lists with masks, similar items, vectors and scores, all exact."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from dllm2rec import Recommender, load
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.runs.checkpoint import Checkpoint, load_checkpoint
from dllm2rec.serve.recommend import recommend
from dllm2rec.storage import atomic_folder
from dllm2rec.students.memory.pair_memory import windows_of_lists
from tests.support.worlds import LENGTH, N_ITEMS, cycle_dataset
from tests.train.test_train_run import CONFIG, changed, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load") / "cycle-1"
    train(folder, changed(CONFIG, train={"max_epochs": 1}, student={"pair_memory": True}))
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Recommender:
    return load(run / "sasrec+dllm2rec", device="cpu")


def ids(items: list[int]) -> list[str]:
    return [f"item-{item % N_ITEMS}" for item in items]


# Longer than a window, with repeats, of one item.
ROWS = [[3, 4, 5], [39], [*range(20, 20 + LENGTH + 4)], [7, 7, 7], [1, 2, 1]]
HISTORIES = [ids(row) for row in ROWS]


def all_scores(checkpoint: Checkpoint) -> np.ndarray:
    """The scores of the rows, by the student's own forward pass and the memory's bonuses."""
    windows = [row[-LENGTH:] for row in ROWS]
    padded = torch.tensor(
        [[i % N_ITEMS for i in w] + [N_ITEMS] * (LENGTH - len(w)) for w in windows]
    )
    with torch.no_grad():
        scores = checkpoint.student(padded, torch.tensor([len(w) for w in windows])).numpy()
    assert checkpoint.memory is not None
    cut = windows_of_lists([[i % N_ITEMS for i in w] for w in windows])
    offsets, items, values = checkpoint.memory.bonuses(*cut)
    np.add.at(scores, (np.repeat(np.arange(len(ROWS)), np.diff(offsets)), items), values)
    return scores


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_the_best_of_the_whole_matrix(
    run: Path, model: Recommender, exclude_seen: bool
) -> None:
    scores = all_scores(load_checkpoint(run / "sasrec+dllm2rec"))
    if exclude_seen:
        for row, seen in zip(scores, ROWS, strict=True):
            row[[item % N_ITEMS for item in seen]] = -np.inf
    answers = model.recommend(HISTORIES, 6, exclude_seen=exclude_seen)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    assert [[place.item_id for place in row] for row in answers] == [ids(row) for row in best]
    np.testing.assert_allclose(answers.scores, np.take_along_axis(scores, best, 1), rtol=1e-5)


def test_candidates_and_filter_are_exact_masks(model: Recommender) -> None:
    whole = model.recommend(HISTORIES, N_ITEMS)
    some, never = ids([*range(0, N_ITEMS, 3)]), ids([6, 9, 30])
    answers = model.recommend(HISTORIES, 5, candidates=some, filter=np.array(never))
    for listed, everything in zip(answers, whole, strict=True):
        allowed = [p for p in everything if p.item_id in some and p.item_id not in never]
        assert [(p.item_id, p.score) for p in listed] == [(p.item_id, p.score) for p in allowed[:5]]
    assert model.recommend(HISTORIES, 5, candidates=[]) == [[]] * len(HISTORIES)
    one = model.recommend(HISTORIES[:1], 3, candidates={"item-3", "item-30"})
    assert [place.item_id for place in one[0]] == ["item-30"]  # item-3 is in the history
    with pytest.raises(InputError, match="candidates: unknown item id 'item-400'"):
        model.recommend(HISTORIES, candidates=["item-3", "item-400"])
    with pytest.raises(InputError, match="filter is the str 'item-3', expected a list"):
        model.recommend(HISTORIES, filter="item-3")


def test_what_is_popular_heeds_the_masks(model: Recommender) -> None:
    counts = cycle_dataset().target_counts()
    order = [i for i in np.lexsort((np.arange(N_ITEMS), -counts)) if i % 2 and i != 7]
    odd = ids([*range(1, N_ITEMS, 2)])
    answers = model.recommend(
        [[], ["item-3"]], 4, candidates=odd, filter=["item-7"], empty="popular"
    )
    assert [place.item_id for place in answers[0]] == ids(order[:4])
    assert all(place.item_id in odd for place in answers[1])


def test_histories_without_an_answer_are_counted_on_the_result(
    model: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    histories = [["item-3", "gone"], [], ["gone", "gone"]]
    with caplog.at_level(logging.WARNING, "dllm2rec"):
        answers = model.recommend(histories, 3, unknown="skip", empty="skip")
    assert [len(row) for row in answers] == [3, 0, 0]
    counts = answers.counts
    assert (counts.n_histories, counts.n_unknown) == (3, 3)
    assert (counts.with_unknown, counts.without_items) == ((0, 2), (1, 2))
    assert [message.split()[0] for message in caplog.messages] == ["W-ITEMS-SKIPPED", "W-NO-LIST"]
    with pytest.raises(InputError, match="E-EMPTY"):
        model.recommend(histories, unknown="skip")
    with pytest.raises(InputError, match="E-ITEM-UNKNOWN"):
        model.recommend(histories)


@pytest.mark.parametrize(("k", "message"), [(0, "k = 0"), (41, "expected 1..40"), (1.5, "k = 1.5")])
def test_a_k_beyond_the_catalogue_is_refused(model: Recommender, k: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model.recommend(HISTORIES, k)


def test_a_million_is_answered_in_blocks(
    model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dllm2rec.serve import histories as reading

    whole = model.recommend(HISTORIES, 4)
    monkeypatch.setattr(reading, "BLOCK_ROWS", 2)
    read: list[int] = []

    def endless() -> Any:
        for number, row in enumerate(HISTORIES):
            read.append(number)
            yield row

    blocks = reading.history_blocks(endless())
    next(blocks)
    assert read == [0, 1]  # no further than the block
    for form in (HISTORIES, endless(), pl.Series(HISTORIES), pd.Series(HISTORIES, index=[9] * 5)):
        again = model.recommend(form, 4)
        assert (again.items == whole.items).all()
        assert len(again) == len(whole)
    with pytest.raises(InputError, match=r"histories\[4\], place 0: .*"):
        model.recommend([*HISTORIES[:4], [1.5]])


def test_the_function_and_the_loaded_object_give_the_same(run: Path, model: Recommender) -> None:
    assert recommend(run / "sasrec+dllm2rec", HISTORIES, 5, device="cpu") == model.recommend(
        HISTORIES, 5
    )
    assert repr(model).startswith("Recommender: sasrec+dllm2rec, 40 items, windows of 5, with pair")
    best = max(
        ("sasrec", "sasrec+dllm2rec"),
        key=lambda name: load_checkpoint(run / name).record["ndcg@20"],
    )
    assert load(run, device="cpu").name == best
    assert load(str(run), student="sasrec", device="cpu").name == best


def test_nothing_is_read_after_loading(
    run: Path, model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(run / "sasrec+dllm2rec", device="cpu")

    def closed(*args: object, **options: object) -> None:
        raise AssertionError(args)

    monkeypatch.setattr("builtins.open", closed)
    monkeypatch.setattr(Path, "open", closed)
    monkeypatch.setattr(atomic_folder, "record_of", closed)
    answers = loaded.recommend([[], ["item-3"]], 4, empty="popular")
    assert len(answers[0]) == 4


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no trained student"):
        load(tmp_path)


def test_similar_items_are_the_nearest_directions_without_itself(model: Recommender) -> None:
    vectors = model.embed_items().astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors[[3, 17]] @ vectors.T
    cosines[[0, 1], [3, 17]] = -np.inf
    answers = model.similar_items(["item-3", "item-17"], 5)
    best = np.argsort(-cosines, axis=1)[:, :5]
    assert [[place.item_id for place in row] for row in answers] == [ids(row) for row in best]
    np.testing.assert_allclose(answers.scores, np.take_along_axis(cosines, best, 1), atol=1e-6)
    assert answers.to_arrow().column_names[0] == "similar_to"
    assert len(model.similar_items(["item-3"], N_ITEMS)[0]) == N_ITEMS - 1
    for wrong in ("item-3", ["item-400"], 3):
        with pytest.raises(InputError):
            model.similar_items(wrong)


def test_vectors_are_what_the_scores_are_made_of(run: Path, model: Recommender) -> None:
    checkpoint = load_checkpoint(run / "sasrec+dllm2rec")
    student = checkpoint.student
    users, items = model.embed_users(HISTORIES), model.embed_items()
    assert users.shape == (len(ROWS), items.shape[1])
    windows = [row[-LENGTH:] for row in ROWS]
    padded = torch.tensor(
        [[i % N_ITEMS for i in w] + [N_ITEMS] * (LENGTH - len(w)) for w in windows]
    )
    with torch.no_grad():
        lengths = torch.tensor([len(w) for w in windows])
        matrix, bias = student.output_items(None)
        expected = student.encode(padded, lengths, None) @ matrix.T
    np.testing.assert_allclose(users @ items.T, expected.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.embed_items(["item-9", "item-2"]), items[[9, 2]])
    assert bias is not None or student.bias is None
    items[:] = 0  # a copy: the model is as it was
    assert model.embed_items().any()
    with pytest.raises(InputError, match="E-EMPTY"):
        model.embed_users([["item-1"], []])


def test_scores_of_pairs_are_those_of_the_lists(run: Path, model: Recommender) -> None:
    scores = all_scores(load_checkpoint(run / "sasrec+dllm2rec"))
    asked = [[0, 39, 5, 5], [], [*range(N_ITEMS)], [7], [2, 1]]
    found = model.score(HISTORIES, [ids(row) for row in asked])
    for row, items, values in zip(scores, asked, found, strict=True):
        np.testing.assert_allclose(values, row[items], rtol=1e-5, atol=1e-6)
    for wrong in (asked[:4], [*asked, [1]]):
        with pytest.raises(InputError, match=r"lists for .* histories, expected one for each"):
            model.score(HISTORIES, [ids(row) for row in wrong])
    with pytest.raises(InputError, match=r"items\[1\]: unknown item id 'x'"):
        model.score(HISTORIES[:2], [["item-1"], ["x"]])


def test_threads_share_a_model(model: Recommender) -> None:
    expected = model.recommend(HISTORIES, 5)
    found: list[bool] = []

    def ask() -> None:
        found.extend(model.recommend(HISTORIES, 5) == expected for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def test_tables_hold_every_place(model: Recommender) -> None:
    answers = model.recommend([["item-3"], [], ["item-5"]], 2, empty="skip")
    rows = [
        {
            "history": number,
            "rank": p.rank,
            "item_id": p.item_id,
            "title": p.title,
            "score": p.score,
        }
        for number, row in enumerate(answers)
        for p in row
    ]
    assert len(rows) == 4
    assert answers.to_arrow().to_pylist() == rows
    assert answers.to_polars().rows(named=True) == rows
    assert answers.to_pandas().to_dict("records") == rows
    assert model.recommend([], 3).to_arrow().num_rows == 0
    assert answers[-1] == [*answers][2]
    assert answers[1:] == [answers[1], answers[2]]


def test_a_notebook_shows_the_first_lists_and_runs_nothing(model: Recommender) -> None:
    answers = model.recommend(HISTORIES, 5)
    assert repr(answers).splitlines()[0] == "Recommendations: 5 lists of up to 5 of 40 items"
    assert len(repr(answers).splitlines()) == 5
    shown = answers._repr_html_()
    assert shown.count("<tr>") == 1 + 3 * 5
    assert "Title" in shown
    hostile = load_hostile(model)
    assert "<script>" not in hostile.recommend([["<script>0"]], 3)._repr_html_()


def load_hostile(model: Recommender) -> Recommender:
    from dataclasses import replace

    from dllm2rec.data.dataset import Catalogue

    names = [f"<script>{item}" for item in range(N_ITEMS)]
    return Recommender("x", replace(model._scorer, catalogue=Catalogue(names, names)))


def test_lists_are_those_of_the_kernel_to_the_bit(model: Recommender) -> None:
    scorer = model._scorer
    answers = model.recommend(HISTORIES, 7, exclude_seen=False)
    windows = [[item % N_ITEMS for item in row[-LENGTH:]] for row in ROWS]
    offsets = np.cumsum([0, *map(len, windows)])
    padded = torch.tensor([w + [N_ITEMS] * (LENGTH - len(w)) for w in windows])
    assert scorer.memory is not None
    with torch.no_grad():
        users = scorer.encoder.student.encode(padded, torch.tensor([*map(len, windows)]), None)
        items, scores = fused_top_n(
            users,
            scorer.items.matrix,
            7,
            bias=scorer.items.bias,
            window=(offsets, np.concatenate(windows)),
            window_offset=scorer.window_offset,
            bonuses=scorer.memory.bonuses(*windows_of_lists(windows)),
        )
    np.testing.assert_array_equal(answers.items, items)
    np.testing.assert_array_equal(answers.scores, scores)
