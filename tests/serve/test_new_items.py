"""Items that come and go after training, in a world where one item is held out of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dllm2rec import Recommender, load, train_run
from dllm2rec.errors import ArtifactError, ConfigError, InputError, NonFiniteError
from dllm2rec.runs import checkpoint as module
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.check_run import RunOptions
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher
from tests.train.test_train_run import CONFIG, changed

HELD_OUT = 17
STUDENTS = ("sasrec", "gru4rec", "caser")
SETTINGS = {
    "student": {"pair_memory": True},
    "train": {"max_epochs": 1},
    "distillation": {"ranking_weight": 0.3},
}
HISTORIES = [["item-16"], ["item-3", "item-15"], ["item-17", "item-18"]]


def world() -> tuple[Any, TeacherKnowledge]:
    """The cycle without item 17, of which the teacher knows the text."""
    dataset = cycle_dataset()
    events = np.where(dataset.events == HELD_OUT, HELD_OUT + 1, dataset.events)
    dataset = replace(dataset, events=events.astype(np.uint32))
    return dataset, oracle_teacher(dataset)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "run"
    options = RunOptions(baseline=False)
    dataset, teacher = world()
    config = changed(CONFIG, **SETTINGS)
    train_run(config, dataset, teacher, folder, students=STUDENTS, options=options, progress=False)
    return folder


def vectors(*items: int) -> np.ndarray:
    embeddings = world()[1].item_embeddings
    assert embeddings is not None
    return np.asarray(embeddings)[[*items]]


def renamed(histories: list[list[str]]) -> list[list[str]]:
    return [["new" if i == f"item-{HELD_OUT}" else i for i in row] for row in histories]


@pytest.mark.parametrize("student", STUDENTS)
def test_a_new_item_scores_as_training_would_have_scored_its_text(run: Path, student: str) -> None:
    before = load(run, student=student, device="cpu")
    after = load(run, student=student, device="cpu")
    after.remove_items([f"item-{HELD_OUT}"])
    assert after.n_items == N_ITEMS - 1
    # Any length of the vector means the same text.
    after.add_items(["new"], titles=["New"], vectors=vectors(HELD_OUT) * 3)
    items = [f"item-{i}" for i in range(N_ITEMS)]
    for mine, theirs in zip(
        after.score(renamed(HISTORIES), renamed([items] * 3)),
        before.score(HISTORIES, [items] * 3),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(
        after.embed_items(["new"]), before.embed_items([f"item-{HELD_OUT}"]), rtol=2e-6, atol=1e-7
    )
    lists = [m.recommend(h, N_ITEMS) for m, h in ((before, HISTORIES), (after, renamed(HISTORIES)))]
    for old, new in zip(*lists, strict=True):
        assert {p.item_id for p in new} == {*renamed([[p.item_id for p in old]])[0]}
        assert [p.score for p in new] == pytest.approx([p.score for p in old], rel=1e-5, abs=1e-6)
        for place in new:
            assert place.title == (
                "New" if place.item_id == "new" else f"Title {place.item_id[5:]}"
            )
    near = [m.similar_items([i], 3)[0] for m, i in ((before, "item-17"), (after, "new"))]
    assert [p.item_id for p in near[1]] == [p.item_id for p in near[0]]


def test_the_vector_is_the_projection_of_the_text(run: Path) -> None:
    model = load(run, student="sasrec", device="cpu")
    projection = load_checkpoint(run / "sasrec+dllm2rec").student.kept_projection
    assert projection is not None
    assert model.text_width == 4
    model.add_items(
        ["a", 7], titles=["x", "yy"], encode=lambda titles: [[len(t)] * 4 for t in titles]
    )
    text = np.ones(4) / 2  # of length one
    expected = projection.weight * (projection.matrix @ text + projection.shift)
    for row in model.embed_items(["a", "7"]):
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    listed = model.recommend([["item-3", "7"]], N_ITEMS + 2)[0]
    assert len(listed) == N_ITEMS
    assert "a" in {place.item_id for place in listed}
    assert model.recommend([[]], N_ITEMS + 2, empty="popular")[0][-1].item_id == "7"


@pytest.mark.parametrize("student", ["sasrec", "caser"])
def test_a_model_without_an_item_is_one_that_never_shows_it(run: Path, student: str) -> None:
    whole, less = (load(run, student=student, device="cpu") for _ in range(2))
    gone = [f"item-{i}" for i in (0, 20, 21, 39)]
    less.remove_items(gone)
    histories = [["item-19", "item-22"], ["item-1"], ["item-38", "item-5", "item-6"]]
    shown, again = whole.recommend(histories, 36, filter=gone), less.recommend(histories, 36)
    for mine, theirs in zip(again, shown, strict=True):
        assert [p.item_id for p in mine] == [p.item_id for p in theirs]
        assert [p.score for p in mine] == pytest.approx([p.score for p in theirs], rel=1e-6)
    with pytest.raises(InputError, match="unknown item id 'item-20'"):
        less.recommend([["item-20"]])
    with pytest.raises(InputError, match="unknown item id 'item-20'"):
        less.remove_items(["item-20"])
    with pytest.raises(ConfigError, match="expected to leave one"):
        less.remove_items(less.catalogue.item_ids)
    assert whole.n_items == N_ITEMS


NOT_ADDED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"ids": ["item-3"], "vectors": np.ones((1, 4))}, InputError, "'item-3' is there already"),
    ({"ids": ["a", "a"], "vectors": np.ones((2, 4))}, InputError, "'a' twice"),
    ({"ids": ["a"], "vectors": np.ones((1, 5))}, InputError, r"\(1, 5\), expected \(items, 4\)"),
    ({"ids": ["a"], "vectors": np.ones((2, 4))}, InputError, "2 for 1 ids"),
    ({"ids": ["a"], "vectors": np.ones(4)}, InputError, "expected 2 axes"),
    ({"ids": ["a"], "vectors": [[1, 2, 3, np.nan]]}, NonFiniteError, r"vectors\[0\]"),
    ({"ids": ["a"]}, ConfigError, "expected vectors, or titles with encode"),
    ({"ids": ["a"], "titles": ["x"]}, ConfigError, "expected vectors, or titles with encode"),
    ({"ids": ["a"], "titles": "x", "vectors": np.ones((1, 4))}, InputError, "a list of texts"),
    ({"ids": ["a"], "titles": [], "vectors": np.ones((1, 4))}, InputError, "titles: 0 for 1"),
    ({"ids": "a", "vectors": np.ones((1, 4))}, InputError, "expected a list of item ids"),
]


@pytest.mark.parametrize(("items", "error", "message"), NOT_ADDED)
def test_what_cannot_be_added_changes_nothing(
    run: Path, items: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = load(run, student="gru4rec", device="cpu")
    with pytest.raises(error, match=message):
        model.add_items(**items)
    assert model.n_items == N_ITEMS


def without_projection(run: Path, folder: Path) -> Recommender:
    """A run as versions wrote it that kept no projection."""
    copy = Path(shutil.copytree(run, folder / "old"))
    student = copy / "sasrec+dllm2rec"
    place = read_pointer(student, "best")
    loaded = load_checkpoint(student)
    shutil.rmtree(place)
    loaded.student.kept_projection = None
    module._write_checkpoint(place, loaded)
    assert not (place / module.PROJECTION).exists()
    return load(student, device="cpu")


def test_a_run_without_the_projection_serves_and_says_what_it_lacks(
    run: Path, tmp_path: Path
) -> None:
    model = without_projection(run, tmp_path)
    assert model.text_width is None
    with pytest.raises(ArtifactError, match=r"no projection of texts, .*train again"):
        model.add_items(["a"], vectors=np.ones((1, 4)))
    kept = load(run / "sasrec+dllm2rec", device="cpu")
    assert model.recommend([["item-3"]], 5) == kept.recommend([["item-3"]], 5)


@pytest.mark.parametrize("fault", ["shift", "nan"])
def test_a_projection_that_does_not_fit_is_refused(run: Path, tmp_path: Path, fault: str) -> None:
    from dllm2rec.students.text_projection import read_projection

    place = read_pointer(run / "sasrec+dllm2rec", "best")
    tensors = load_file(place / module.PROJECTION)
    if fault == "nan":
        tensors["matrix"][0, 0] = np.nan
    else:
        tensors["shift"] = tensors["shift"][1:]
    with pytest.raises(ValueError, match="a projection"):
        read_projection(tensors, 16)
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    save_file(tensors, copy / place.relative_to(run) / module.PROJECTION)
    with pytest.raises(ArtifactError, match=r"projection\.safetensors"):
        load(copy / "sasrec+dllm2rec", device="cpu")
