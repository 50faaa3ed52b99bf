"""Lists for histories of the teacher's own: checked, written and read back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.teacher.asked_histories import AskedHistories, as_train_rows
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge

N_ITEMS = 12


@pytest.fixture(scope="module")
def dataset() -> SequenceDataset:
    rows = Rows(np.zeros(6, dtype=np.int64), np.arange(1, 7, dtype=np.int64))
    return SequenceDataset(
        name="tiny",
        catalogue=Catalogue([str(item) for item in range(N_ITEMS)]),
        events=np.arange(7, dtype=np.uint32),
        max_length=3,
        train=rows.take(slice(0, 4)),
        validation=rows.take(slice(4, 5)),
        test=rows.take(slice(5, 6)),
        has_users=True,
    )


def histories(**changes: object) -> AskedHistories:
    """Two histories, of three items and of one, with lists of three places."""
    values: dict[str, object] = {
        "offsets": np.array([0, 3, 4]),
        "items": np.array([3, 1, 3, 11], dtype=np.int32),
        "rankings": np.array([[4, 0, 11], [7, -1, -1]], dtype=np.int32),
        "distances": np.array([[0.1, 0.2, 0.3], [0.5, 0, 0]], dtype=np.float32),
    }
    return AskedHistories(**(values | changes))


@pytest.mark.parametrize("has_distances", [True, False])
def test_histories_alone_are_a_teacher_and_come_back(dataset, tmp_path, has_distances):
    asked = histories() if has_distances else histories(distances=None)
    saved = TeacherKnowledge(histories=asked)
    save_teacher(tmp_path / "teacher", saved, dataset)
    read = load_teacher(tmp_path / "teacher", dataset)
    assert read.histories is not None
    assert set(read.histories.arrays()) == set(asked.arrays())
    for name, array in asked.arrays().items():
        np.testing.assert_array_equal(read.histories.arrays()[name], array)
    assert read.fingerprint() == saved.fingerprint()
    assert len(read.histories) == 2
    assert "2 histories with lists" in repr(read)


def test_a_folder_has_the_oldest_version_that_can_hold_it(dataset, tmp_path):
    ranking = np.zeros((4, 2), dtype=np.uint32)
    teachers = {
        1: TeacherKnowledge(ranking=ranking),
        2: TeacherKnowledge(item_embeddings=np.ones((N_ITEMS, 2), dtype=np.float32)),
        3: TeacherKnowledge(ranking=ranking, histories=histories()),
    }
    for version, teacher in teachers.items():
        folder = tmp_path / str(version)
        save_teacher(folder, teacher, dataset)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["version"] == version


def test_every_array_is_in_the_fingerprint():
    changes = (
        {"offsets": np.array([0, 1, 4])},
        {"items": np.array([3, 2, 3, 11], dtype=np.int32)},
        {"rankings": np.array([[4, 0, 11], [7, 8, -1]], dtype=np.int32)},
        {"distances": np.zeros((2, 3), dtype=np.float32)},
        {"distances": None},
    )
    teachers = [TeacherKnowledge(histories=histories(**one)) for one in ({}, *changes)]
    prints = {teacher.fingerprint() for teacher in teachers}
    assert len(prints) == 1 + len(changes)


FAULTS = {
    "int32 offsets": ({"offsets": np.array([0, 3, 4], dtype=np.int32)}, "E-SHAPE", "int64"),
    "int64 items": ({"items": np.array([3, 1, 3, 11])}, "E-SHAPE", "expected int32"),
    "flat lists": ({"rankings": np.zeros(2, dtype=np.int32)}, "E-SHAPE", "with 2 axes"),
    "no columns": ({"rankings": np.zeros((2, 0), dtype=np.int32)}, "E-SHAPE", "no columns"),
    "none": (
        {
            "offsets": np.array([0]),
            "items": np.zeros(0, dtype=np.int32),
            "rankings": np.zeros((0, 3), dtype=np.int32),
            "distances": None,
        },
        "E-EMPTY",
        "none, expected at least one",
    ),
    "a list more": ({"offsets": np.array([0, 4])}, "E-ROWS", "2 numbers, expected 3"),
    "begins late": ({"offsets": np.array([1, 3, 4])}, "E-ROWS", "from 1 to 4, expected from 0"),
    "ends early": ({"offsets": np.array([0, 2, 3])}, "E-ROWS", "to 4, the number of items"),
    "an empty history": ({"offsets": np.array([0, 4, 4])}, "E-EMPTY", r"histories\[1\]: begins"),
    "falling": (
        {"offsets": np.array([0, 5, 4])},
        "E-EMPTY",
        r"histories\[1\]: begins at 5 and ends at 4",
    ),
    "the first item twice": (
        {"rankings": np.array([[4, 0, 0], [7, -1, -1]], dtype=np.int32)},
        "E-RANK-DUP",
        r"rankings\[0\]: item 0 twice",
    ),
    "an item twice": (
        {"rankings": np.array([[4, 0, 11], [7, -1, 7]], dtype=np.int32)},
        "E-RANK-DUP",
        r"rankings\[1\]: item 7 twice",
    ),
    "distances of others": (
        {"distances": np.zeros((3, 3), dtype=np.float32)},
        "E-ROWS",
        r"\(3, 3\), expected \(2, 3\)",
    ),
    "fewer distances": (
        {"distances": np.zeros((2, 2), dtype=np.float32)},
        "E-SHAPE",
        r"\(2, 2\), expected \(2, 3\)",
    ),
    "a negative distance": (
        {"distances": np.full((2, 3), -1, dtype=np.float32)},
        "E-CONF-NEGATIVE",
        r"distances\[0, 0\]: -1",
    ),
    "no number": (
        {"distances": np.full((2, 3), np.nan, dtype=np.float32)},
        "E-CONF-NONFINITE",
        r"distances\[0, 0\]: nan",
    ),
}


@pytest.mark.parametrize(("changes", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_faulty_histories_are_refused(changes, code, message):
    with pytest.raises(InputError, match=message) as caught:
        histories(**changes)
    assert caught.value.code == code


OUTSIDE = {
    "a history's item": ({"items": np.array([3, 1, 3, 12], dtype=np.int32)}, r"\[1\]: item 12"),
    "no item in a history": (
        {"items": np.array([3, -1, 3, 1], dtype=np.int32)},
        r"\[0\]: item -1, expected 0..11",
    ),
    "a listed item": (
        {"rankings": np.array([[4, 0, 11], [7, 12, -1]], dtype=np.int32)},
        r"rankings\[1, 1\]: item 12, expected 0..11, or -1",
    ),
    "below -1": (
        {"rankings": np.array([[4, 0, -2], [7, 1, -1]], dtype=np.int32)},
        r"rankings\[0, 2\]: item -2",
    ),
}


@pytest.mark.parametrize(("changes", "message"), OUTSIDE.values(), ids=OUTSIDE)
def test_items_outside_the_catalogue_are_refused(dataset, tmp_path, changes, message):
    teacher = TeacherKnowledge(histories=histories(**changes))
    with pytest.raises(InputError, match=message) as caught:
        save_teacher(tmp_path / "teacher", teacher, dataset)
    assert caught.value.code == "E-RANK-RANGE"


def test_a_folder_with_a_part_of_the_histories_is_refused(dataset, tmp_path):
    asked = histories()
    write_folder(
        tmp_path / "teacher",
        {"history_items.npy": lambda path: np.save(path, asked.items)},
        kind="teacher",
        version=3,
        facts={"dataset": dataset.fingerprint()},
    )
    with pytest.raises(ArtifactError, match=r"no history_offsets\.npy"):
        load_teacher(tmp_path / "teacher", dataset)


def test_histories_become_train_rows_behind_the_events(dataset):
    rows = as_train_rows(dataset, histories())
    assert rows.events[: dataset.events.size].tolist() == dataset.events.tolist()
    windows = rows.windows(rows.train)
    assert windows.sequences.tolist() == [[3, 1, 3], [11, N_ITEMS, N_ITEMS]]
    assert windows.targets.tolist() == [3, 11]  # the last item once more
    longer = histories(
        offsets=np.array([0, 1, 6]), items=np.array([9, 4, 5, 6, 7, 8], dtype=np.int32)
    )
    windows = dataset.windows(dataset.train)
    rows = as_train_rows(dataset, longer)
    assert rows.windows(rows.train).sequences.tolist() == [[9, N_ITEMS, N_ITEMS], [6, 7, 8]]
    assert rows.windows(dataset.train).sequences.tolist() == windows.sequences.tolist()


def test_a_note_counts_answers_and_repeats(dataset, tmp_path):
    # Item 0 is in neither history, 3 in the first alone, 11 in the second alone.
    asked = histories(
        rankings=np.array([[3, 0, 11], [3, 11, -1], [-1, -1, -1]], dtype=np.int32),
        offsets=np.array([0, 3, 4, 5]),
        items=np.array([3, 1, 3, 11, 2], dtype=np.int32),
        distances=None,
    )
    save_teacher(tmp_path / "teacher", TeacherKnowledge(histories=asked), dataset)
    (note,) = load_teacher(tmp_path / "teacher", dataset).notes
    assert note == (
        "the teacher has lists for 2 of 3 histories of its own; 2 of 5 list places (40.0%) repeat "
        "an item of the history"
    )
