"""Vectors alone are imported, from a file or a folder, and joined by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import InputError
from dllm2rec.storage.atomic_folder import read_manifest
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.teacher.test_import_options import DISTANCES, LISTS, place
from tests.teacher.test_keyed_vectors import IDS, MATRIX, ORDER, READ


def imported(source: Path, data: Path, out: Path, *words: str) -> TeacherKnowledge:
    command = ["teacher", "import", str(source), "--dataset", str(data), "--out", str(out)]
    assert main([*command, *words]) == 0
    return load_teacher(out, load_dataset(data))


def test_a_folder_of_vectors_alone_is_a_teacher(tmp_path: Path) -> None:
    data, folder = place(tmp_path, {"all_embeddings.pt": torch.from_numpy(MATRIX)})
    teacher = imported(folder, data, tmp_path / "out")
    assert teacher.ranking is None
    assert (teacher.top_n, teacher.notes) == (0, [])
    np.testing.assert_array_equal(teacher.item_embeddings, MATRIX)
    assert "no lists" in repr(teacher)
    assert read_manifest(tmp_path / "out", "teacher", newest_version=2).version == 2


@pytest.mark.parametrize("kind", sorted(READ))
def test_a_file_of_vectors_alone_is_joined_by_id(kind: str, tmp_path: Path) -> None:
    data, _ = place(tmp_path, {})
    for name, content in READ[kind].items():
        (tmp_path / name).write_bytes(content)
    source = next(
        path for path in sorted(tmp_path.glob("all_embeddings*")) if "_ids" not in path.name
    )
    teacher = imported(source, data, tmp_path / "out")
    np.testing.assert_array_equal(teacher.item_embeddings, MATRIX)


def test_ids_of_another_name_are_given(tmp_path: Path) -> None:
    data, _ = place(tmp_path, {})
    np.save(tmp_path / "vectors.npy", MATRIX[ORDER])
    (tmp_path / "names.txt").write_text("\n".join([*IDS, ""]))
    teacher = imported(
        tmp_path / "vectors.npy", data, tmp_path / "out", "--embedding-ids", "names.txt"
    )
    np.testing.assert_array_equal(teacher.item_embeddings, MATRIX)
    command = ["teacher", "import", str(tmp_path / "vectors.npy"), "--dataset", str(data)]
    assert main([*command, "--out", str(tmp_path / "x"), "--embedding-ids", "no.txt"]) == 3


def test_lists_alone_have_the_format_of_before(tmp_path: Path) -> None:
    data, folder = place(tmp_path, LISTS)
    assert imported(folder, data, tmp_path / "out").item_embeddings is None
    assert read_manifest(tmp_path / "out", "teacher", newest_version=2).version == 1


def test_distances_of_no_lists_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = place(tmp_path, DISTANCES | {"all_embeddings.pt": torch.from_numpy(MATRIX)})
    command = ["teacher", "import", str(folder), "--dataset", str(data)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 3
    assert "no myrank_train.txt" in capsys.readouterr().err


def test_a_teacher_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="neither lists nor item vectors"):
        TeacherKnowledge()
