"""The teacher's knowledge: checked against its dataset, written and read back, never guessed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.import_options import TeacherOptions
from dllm2rec.teacher.knowledge import TeacherKnowledge

N_ITEMS = 40


@pytest.fixture(scope="module")
def dataset() -> SequenceDataset:
    """Six train rows over the events 0..9, one validation and two test rows; 40 items, L = 3."""
    ends = np.arange(1, 10, dtype=np.int64)
    rows = Rows(np.zeros(9, dtype=np.int64), ends)
    return SequenceDataset(
        name="tiny",
        catalogue=Catalogue([str(item) for item in range(N_ITEMS)]),
        events=np.arange(10, dtype=np.uint32),
        max_length=3,
        train=rows.take(slice(0, 6)),
        validation=rows.take(slice(6, 7)),
        test=rows.take(slice(7, 9)),
        has_users=True,
    )


def knowledge(**changes: object) -> TeacherKnowledge:
    """A teacher that lists the target (row + 1) second in four of six rows, and item 0 last."""
    ranking = np.array([[20, 1, 0], [20, 2, 0], [20, 3, 0], [20, 4, 0], [20, 21, 0], [20, 21, 22]])
    distance = np.linspace(0.1, 1.8, 18, dtype=np.float32).reshape(6, 3)
    values: dict[str, object] = {
        "ranking": ranking.astype(np.uint32),
        "distance": distance,
        "target_distance": distance[:, 0] + 1,
        "item_embeddings": np.random.default_rng(0).normal(size=(N_ITEMS, 5)).astype(np.float32),
        "ranking_validation": np.array([[7, 8]], dtype=np.uint32),
        "ranking_test": np.array([[1, 2], [9, 3]], dtype=np.uint32),
    }
    return TeacherKnowledge(**(values | changes))


def arrays_of(teacher: TeacherKnowledge) -> dict[str, np.ndarray]:
    fields = dataclasses.asdict(teacher)
    del fields["notes"], fields["folder"], fields["short_lists"]
    return {name: array for name, array in fields.items() if array is not None}


def test_saved_teacher_is_loaded_bit_for_bit(dataset, tmp_path):
    teacher = knowledge(notes=["made by hand"])
    save_teacher(tmp_path / "teacher", teacher, dataset)
    loaded = load_teacher(tmp_path / "teacher", dataset)
    assert arrays_of(loaded).keys() == arrays_of(teacher).keys()
    for name, array in arrays_of(teacher).items():
        assert arrays_of(loaded)[name].dtype == array.dtype
        assert arrays_of(loaded)[name].tobytes() == array.tobytes()
    assert loaded.notes[0] == "made by hand"
    # Saved and loaded again, the counted notes do not pile up.
    save_teacher(tmp_path / "again", loaded, dataset)
    assert load_teacher(tmp_path / "again", dataset).notes == loaded.notes


@pytest.mark.parametrize("short", [False, True])
def test_whether_lists_may_be_short_is_kept(dataset, tmp_path, short):
    save_teacher(tmp_path / "teacher", knowledge(short_lists=short), dataset)
    assert load_teacher(tmp_path / "teacher", dataset).short_lists is short


def test_ranking_alone_is_enough(dataset, tmp_path):
    bare = TeacherKnowledge(ranking=knowledge().ranking)
    save_teacher(tmp_path / "teacher", bare, dataset)
    assert arrays_of(load_teacher(tmp_path / "teacher", dataset)).keys() == {"ranking"}


def test_notes_count_hits_and_repeats(dataset, tmp_path):
    save_teacher(tmp_path / "teacher", knowledge(), dataset)
    assert load_teacher(tmp_path / "teacher", dataset).notes == [
        "the teacher lists the target in 4 of 6 train rows (hr@3 = 0.6667)",
        # Item 0 is in the windows of the first three rows (L = 3) and listed there.
        "3 of 18 list places (16.7%) repeat an item of the window",
    ]


def test_missing_places_are_counted_and_are_no_repeat(dataset, tmp_path):
    ranking = knowledge().ranking.copy()
    ranking[0, 2] = N_ITEMS  # row 0 has a padded window, too
    save_teacher(tmp_path / "teacher", knowledge(ranking=ranking), dataset)
    notes = load_teacher(tmp_path / "teacher", dataset).notes
    assert "2 of 18 list places (11.1%) repeat an item of the window" in notes
    assert "1 of 18 list places hold no item" in notes


def test_teacher_of_other_rows_is_suspected(dataset, tmp_path):  # R68
    ranking = knowledge().ranking[[5, 5, 5, 5, 5, 5]]
    save_teacher(tmp_path / "teacher", knowledge(ranking=ranking), dataset)
    notes = load_teacher(tmp_path / "teacher", dataset).notes
    assert any(note.startswith("W-TEACHER-RANDOM: hr@3 on train rows is 0.0000") for note in notes)


def test_item_indices_as_distances_are_suspected(dataset, tmp_path):
    distance = np.arange(18, dtype=np.float32).reshape(6, 3) * 100
    save_teacher(tmp_path / "teacher", knowledge(distance=distance), dataset)
    notes = load_teacher(tmp_path / "teacher", dataset).notes
    assert any(note.startswith("W-CONF-ITEMS") for note in notes)


NAN = np.float32(np.nan)
FAULTS = {
    "signed": ({"ranking": np.zeros((6, 3), dtype=np.int64)}, "E-SHAPE", "expected uint32"),
    "flat": ({"ranking": np.zeros(6, dtype=np.uint32)}, "E-SHAPE", "with 2 axes"),
    "no columns": ({"ranking": np.zeros((6, 0), dtype=np.uint32)}, "E-SHAPE", "no columns"),
    "double": ({"distance": np.zeros((6, 3))}, "E-SHAPE", "expected float32"),
    "one column": ({"distance": np.zeros((6, 1), dtype=np.float32)}, "E-SHAPE", r"\(6, 3\)"),
    "rows": ({"distance": np.zeros((5, 3), dtype=np.float32)}, "E-ROWS", r"\(6, 3\)"),
    "target rows": ({"target_distance": np.zeros(5, dtype=np.float32)}, "E-ROWS", "expected 6"),
    "nan": ({"target_distance": np.full(6, NAN)}, "E-CONF-NONFINITE", r"\[0\]: nan \(6 such"),
    "infinite": (
        {"distance": np.full((6, 3), np.inf, dtype=np.float32)},
        "E-CONF-NONFINITE",
        r"\[0, 0\]: inf",
    ),
    "negative": ({"distance": np.full((6, 3), -1, np.float32)}, "E-CONF-NEGATIVE", "0 or more"),
    "vector": (
        {"item_embeddings": np.full((N_ITEMS, 2), NAN)},
        "E-EMB-NONFINITE",
        r"item_embeddings\[0, 0\]",
    ),
}


@pytest.mark.parametrize(("changes", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_faulty_knowledge_is_refused(changes, code, message):
    with pytest.raises(InputError, match=message) as caught:
        knowledge(**changes)
    assert caught.value.code == code


MISFITS = {
    "rows": (knowledge().ranking[:5], None, None, "E-ROWS", "ranking: 5 rows, expected 6"),
    "test rows": (None, np.zeros((3, 2)), None, "E-ROWS", "ranking_test: 3 rows, expected 2"),
    "range": (np.full((6, 3), 41), None, None, "E-RANK-RANGE", r"ranking\[0, 0\]: item 41"),
    "items": (None, None, np.zeros((41, 5)), "E-SHAPE", "41 rows, expected 40"),
}


@pytest.mark.parametrize(
    ("ranking", "test", "vectors", "code", "message"), MISFITS.values(), ids=MISFITS
)
def test_knowledge_of_another_dataset_is_refused(
    dataset, tmp_path, ranking, test, vectors, code, message
):
    changes: dict[str, object] = {}
    if ranking is not None:
        changes = {"ranking": ranking.astype(np.uint32), "distance": None, "target_distance": None}
    if test is not None:
        changes["ranking_test"] = test.astype(np.uint32)
    if vectors is not None:
        changes["item_embeddings"] = vectors.astype(np.float32)
    with pytest.raises(InputError, match=message) as caught:
        save_teacher(tmp_path / "teacher", knowledge(**changes), dataset)
    assert caught.value.code == code
    assert not (tmp_path / "teacher").exists()


def test_another_fingerprint_is_refused_naming_both(dataset, tmp_path):
    save_teacher(tmp_path / "teacher", knowledge(), dataset)
    other = dataclasses.replace(dataset, name="other", max_length=4)
    with pytest.raises(ArtifactError) as caught:
        load_teacher(tmp_path / "teacher", other)
    for part in ("'tiny'", "'other'", dataset.fingerprint(), other.fingerprint()):
        assert part in str(caught.value)
    assert caught.value.exit_code == 4


def test_flipped_bit_is_refused(dataset, tmp_path):
    save_teacher(tmp_path / "teacher", knowledge(), dataset)
    for file in (tmp_path / "teacher").iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(ArtifactError):
            load_teacher(tmp_path / "teacher", dataset)
        file.write_bytes(whole)
    load_teacher(tmp_path / "teacher", dataset)


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> object:
        return (os.mkdir, (str(self.canary),))


def save_objects(path: Path, canary: Path) -> None:
    np.save(path, np.array([Payload(canary)], dtype=object), allow_pickle=True)


def claim_too_much(path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": "<u4", "fortran_order": False, "shape": (6, 2**50)}
        np.lib.format.write_array_header_1_0(file, header)


FORGED = {
    "objects": (save_objects, "expected uint32"),
    "too much": (lambda path, _: claim_too_much(path), "bytes of numbers for shape"),
    "no npy": (lambda path, _: path.write_bytes(b"text"), r"no \.npy file"),
    "signed": (
        lambda path, _: np.save(path, np.zeros((6, 3), dtype=np.int64)),
        "expected uint32",
    ),
    "column order": (
        lambda path, _: np.save(path, np.asfortranarray(np.ones((6, 3), dtype=np.uint32))),
        "in C order",
    ),
    "cut": (
        lambda path, _: (np.save(path, knowledge().ranking), os.truncate(path, 190)),
        "bytes of numbers for shape",
    ),
}


@pytest.mark.parametrize(("write", "message"), FORGED.values(), ids=FORGED)
def test_forged_array_behind_a_sound_manifest_is_refused(dataset, tmp_path, write, message):
    canary = tmp_path / "ran"
    write_folder(
        tmp_path / "teacher",
        {"ranking.npy": lambda path: write(path.with_suffix(".npy"), canary)},
        kind="teacher",
        version=1,
        facts={"dataset": dataset.fingerprint()},
    )
    with pytest.raises(ArtifactError, match=message):
        load_teacher(tmp_path / "teacher", dataset)
    assert not canary.exists()


@pytest.mark.parametrize("notes", [7, "a text", ["one", 2], None])
def test_notes_that_are_no_list_of_texts_are_refused(dataset, tmp_path, notes):
    write_folder(
        tmp_path / "teacher",
        {"ranking.npy": lambda path: np.save(path, knowledge().ranking)},
        kind="teacher",
        version=1,
        facts={"dataset": dataset.fingerprint(), "notes": notes},
    )
    with pytest.raises(ArtifactError, match="in its manifest, expected a list of texts"):
        load_teacher(tmp_path / "teacher", dataset)


def test_other_tensors_in_the_embedding_file_are_refused(dataset, tmp_path):
    tensors = {"vectors": np.zeros((N_ITEMS, 2), dtype=np.float32)}
    write_folder(
        tmp_path / "teacher",
        {
            "ranking.npy": lambda path: np.save(path, knowledge().ranking),
            "item_embeddings.safetensors": lambda path: safetensors.numpy.save_file(tensors, path),
        },
        kind="teacher",
        version=1,
        facts={"dataset": dataset.fingerprint()},
    )
    with pytest.raises(ArtifactError, match=r"\['vectors'\], expected 'item_embeddings' alone"):
        load_teacher(tmp_path / "teacher", dataset)


def test_folder_without_ranking_is_refused(dataset, tmp_path):
    facts = {"dataset": dataset.fingerprint()}
    write_folder(tmp_path / "teacher", {}, kind="teacher", version=1, facts=facts)
    with pytest.raises(ArtifactError, match=r"no ranking\.npy"):
        load_teacher(tmp_path / "teacher", dataset)


def test_missing_folder_is_an_input_error(dataset, tmp_path):
    with pytest.raises(InputError, match=r"E-FILE .*no such folder"):
        load_teacher(tmp_path / "absent", dataset)


def write_authors(folder: Path, **files: str) -> Path:
    texts = {
        "myrank_train": "20 1 0\n" * 6,
        "confidence_train": "0.5 0.7 0.9\n" * 6,
        "target_distance_train": "0.8\n" * 6,
    }
    for stem, text in (texts | files).items():
        (folder / f"{stem}.txt").write_text(text)
    return folder


def test_authors_files_are_loaded(dataset, tmp_path):
    teacher = load_teacher(write_authors(tmp_path), dataset)
    assert teacher.ranking.tolist() == [[20, 1, 0]] * 6
    assert teacher.distance is not None
    assert teacher.target_distance is not None
    np.testing.assert_array_equal(teacher.distance[0], np.float32([0.5, 0.7, 0.9]))
    np.testing.assert_array_equal(teacher.target_distance, np.full(6, 0.8, dtype=np.float32))
    assert teacher.notes[-2].startswith("the teacher lists the target in 1 of 6")


def test_similarities_become_distances(dataset, tmp_path):
    folder = write_authors(tmp_path, confidence_train="0.75 0.5 -0.25\n" * 6)
    teacher = load_teacher(folder, dataset, options=TeacherOptions(confidence_kind="similarity"))
    assert teacher.distance is not None
    assert teacher.distance.tolist() == [[0.0, 0.25, 1.0]] * 6


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"myrank_train": "20 1 0\n" * 7}, "E-ROWS"),
        ({"myrank_train": "20 1 0\n" * 5}, "E-ROWS"),
        ({"confidence_train": "0.5 0.7\n" * 6}, "E-SHAPE"),
        ({"confidence_train": "0.5\n" * 6}, "E-SHAPE"),
        ({"confidence_train": "0.5 0.7 0.9\n" * 5}, "E-ROWS"),
        ({"myrank_train": "0.4 0.7 0.9\n" * 6}, "E-NOT-INTEGER"),
        ({"myrank_train": "20 1 40\n" * 6}, "E-RANK-RANGE"),
    ],
    ids=["T+1", "T-1", "columns", "one-column", "confidence-rows", "swapped", "padding"],
)
def test_authors_files_that_do_not_fit_are_refused(dataset, tmp_path, files, code):
    with pytest.raises(InputError) as caught:
        load_teacher(write_authors(tmp_path, **files), dataset)
    assert caught.value.code == code


def test_copy_of_the_ranking_as_confidence_is_refused(dataset, tmp_path):
    with pytest.raises(ConfigError, match="E-SAME-FILE"):
        load_teacher(write_authors(tmp_path, confidence_train="20 1 0\n" * 6), dataset)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "hits"), [("games", "10,248"), ("toys", "13,158"), ("ml1m", "12,162")]
)
def test_real_teachers_fit_and_survive_a_round_trip(real_data, tmp_path, name, hits):
    dataset = load_dataset(real_data / name)
    teacher = load_teacher(real_data / name / "teacher", dataset)
    assert any(f"lists the target in {hits} of" in note for note in teacher.notes)
    save_teacher(tmp_path / "teacher", teacher, dataset)
    loaded = load_teacher(tmp_path / "teacher", dataset)
    assert loaded.notes == teacher.notes
    for field, array in arrays_of(teacher).items():
        np.testing.assert_array_equal(arrays_of(loaded)[field], array)
