"""Vectors in every kind of file, joined to the catalogue by ids; nothing is shifted unsaid."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch
from pyarrow import parquet

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError, Dllm2RecError, InputError
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.import_options import TeacherOptions
from tests.teacher.test_import_options import DISTANCES, LISTS, place

N, E = 5, 3
MATRIX = np.arange(1, N * E + 1, dtype=np.float32).reshape(N, E)
ORDER = [3, 0, 4, 1, 2]  # not the catalogue's
IDS = [str(item) for item in ORDER]
BY_ID = {name: torch.from_numpy(MATRIX[int(name)].copy()) for name in IDS}


def npz(**arrays: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def npy(array: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def pt(value: Any) -> bytes:
    sink = io.BytesIO()
    torch.save(value, sink)
    return sink.getvalue()


def table(ids: Any, rows: Any, compression: str = "snappy") -> bytes:
    sink = io.BytesIO()
    columns = {"item_id": ids, "vector": pa.array(rows, pa.list_(pa.float32()))}
    parquet.write_table(pa.table(columns), sink, compression=compression)
    return sink.getvalue()


def csv(rows: list[tuple[str, Any]], head: str = "item_id,a,b,c\n") -> bytes:
    return (head + "".join(f"{i},{','.join(map(str, v))}\n" for i, v in rows)).encode()


ROWS = [(name, MATRIX[int(name)].tolist()) for name in IDS]
READ: dict[str, dict[str, bytes]] = {
    "pt": {"all_embeddings.pt": pt(BY_ID)},
    "pt numbers": {"all_embeddings.pt": pt({int(name): one for name, one in BY_ID.items()})},
    "safetensors": {"all_embeddings.safetensors": safetensors.torch.save(BY_ID)},
    "npz": {"all_embeddings.npz": npz(**{name: one.numpy() for name, one in BY_ID.items()})},
    "npz ids": {"all_embeddings.npz": npz(ids=np.array(IDS), vectors=MATRIX[ORDER])},
    "parquet": {"all_embeddings.parquet": table(IDS, [v for _, v in ROWS])},
    "parquet numbers": {"all_embeddings.parquet": table(ORDER, [v for _, v in ROWS])},
    "csv": {"all_embeddings.csv": csv(ROWS)},
    "csv without a header": {"all_embeddings.csv": csv(ROWS, "")},
    "npy and ids": {
        "all_embeddings.npy": npy(MATRIX[ORDER]),
        "all_embeddings_ids.txt": "\n".join(IDS).encode(),
    },
    "npy and ids.npy": {
        "all_embeddings.npy": npy(MATRIX[ORDER]),
        "all_embeddings_ids.npy": npy(np.array(ORDER)),
    },
    "npy": {"all_embeddings.npy": npy(MATRIX)},
}


def teacher_of(folder: Path, files: dict[str, bytes], **options: Any) -> Any:
    data, teacher = place(folder, LISTS | DISTANCES)
    for name, content in files.items():
        (teacher / name).write_bytes(content)
    return load_teacher(teacher, load_dataset(data), options=TeacherOptions(**options))


@pytest.mark.parametrize("kind", READ)
def test_vectors_of_every_kind_come_in_the_order_of_the_catalogue(
    kind: str, tmp_path: Path
) -> None:
    assert np.array_equal(teacher_of(tmp_path, READ[kind]).item_embeddings, MATRIX)


def lists(rows: Any, ids: Any = None) -> dict[str, bytes]:
    return {"all_embeddings.parquet": table(IDS if ids is None else ids, rows)}


VALUES = [v for _, v in ROWS]
WHOLE = table(IDS, VALUES)
BOMB = table([str(n) for n in range(N)], [np.zeros(4_000_000, np.float32)] * N, "zstd")
REFUSED: dict[str, tuple[dict[str, bytes], type[Dllm2RecError], str]] = {
    "E40": (lists([*VALUES[:3], [1.0], VALUES[4]]), InputError, "E-SHAPE .*row 4: 1 numbers"),
    "E41-null": (lists([*VALUES[:2], None, *VALUES[3:]]), InputError, "row 3: no vector"),
    "E41-no-id": (lists(VALUES, [*IDS[:4], None]), InputError, "E-VECTOR-IDS .*row 5: no item id"),
    "E41-missing": (lists(VALUES[:4], IDS[:4]), InputError, "item id '2' without a vector"),
    "E41-twice": (lists(VALUES, [*IDS[:4], "3"]), InputError, "item id '3' there twice"),
    "E41-unknown": (lists([*VALUES, [1.0] * 3], [*IDS, "x"]), InputError, "'x' not in the cat"),
    "E42-cut": ({"all_embeddings.parquet": WHOLE[:-30]}, ArtifactError, "E-PARQUET"),
    "E42-empty": ({"all_embeddings.parquet": b""}, ArtifactError, "E-EMPTY"),
    "E42-bomb": ({"all_embeddings.parquet": BOMB}, ArtifactError, "E-BOMB .*inflate to"),
    "several": (
        {"all_embeddings.pt": pt(torch.from_numpy(MATRIX)), "all_embeddings.npy": npy(MATRIX)},
        InputError,
        "E-AMBIGUOUS .*all_embeddings.pt and all_embeddings.npy are there",
    ),
    "pad row unsaid": (
        {"all_embeddings.npy": npy(np.vstack([np.zeros((1, E), np.float32), MATRIX]))},
        InputError,
        "6 rows, expected 5, .*all zeros: the first row",
    ),
    "ids of fewer rows": (
        {"all_embeddings.npy": npy(MATRIX), "all_embeddings_ids.txt": b"1\n2\n"},
        InputError,
        "E-ROWS .*2 ids, expected 5",
    ),
    "ids of more rows": (
        {"all_embeddings.npy": npy(MATRIX), "all_embeddings_ids.txt": b"1\n" * 6},
        InputError,
        "E-ROWS .*over 5 ids, expected 5 as all_embeddings.npy has rows",
    ),
    "ids of more rows as an array": (
        {"all_embeddings.npy": npy(MATRIX), "all_embeddings_ids.npy": npy(np.arange(6))},
        InputError,
        "E-ROWS .*6 ids, expected 5",
    ),
    "a NUL in csv": ({"all_embeddings.csv": csv(ROWS).replace(b"0,", b"0\0,")}, InputError, "E-"),
    "ragged dict": (
        {"all_embeddings.pt": pt({**BY_ID, "3": torch.ones(2)})},
        InputError,
        "item id '3': 2 numbers, expected 3",
    ),
    "words in csv": ({"all_embeddings.csv": csv([("0", ["a", 1, 2])])}, InputError, "E-VECTOR-IDS"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_joined_is_refused_with_its_id_or_row(name: str, tmp_path: Path) -> None:
    files, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        teacher_of(tmp_path, files)


PADDED = np.vstack([MATRIX, np.full((1, E), 9, np.float32)])
# files, words that make them readable, code of the refusal without them
OPTIONS: dict[str, tuple[dict[str, bytes], list[str], str]] = {
    "last": ({"all_embeddings.npy": npy(PADDED)}, ["--embeddings-pad-row", "last"], "E-SHAPE"),
    "first": (
        {"all_embeddings.npy": npy(np.roll(PADDED, 1, axis=0))},
        ["--embeddings-pad-row", "first"],
        "E-SHAPE",
    ),
    "named": (
        {"all_embeddings.pt": pt(torch.ones(N, E)), "all_embeddings.npy": npy(MATRIX)},
        ["--embeddings", "all_embeddings.npy"],
        "E-AMBIGUOUS",
    ),
    "unknown": (
        lists([*VALUES, [1.0] * 3], [*IDS, "x"]),
        ["--unknown-vectors", "skip"],
        "E-VECTOR-IDS",
    ),
    "twice": (
        lists([*VALUES, [1.0] * 3], [*IDS, "3"]),
        ["--on-duplicate", "keep-first"],
        "E-VECTOR-IDS",
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_option_that_a_hint_names_makes_the_file_readable(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, words, code = OPTIONS[name]
    data, teacher = place(tmp_path, LISTS | DISTANCES)
    for file, content in files.items():
        (teacher / file).write_bytes(content)
    out = tmp_path / "out"
    command = ["teacher", "import", str(teacher), "--dataset", str(data), "--out", str(out)]
    assert main(command) == 3
    refusal = capsys.readouterr().err
    assert code in refusal
    assert words[0] in refusal.partition("hint:")[2]
    assert not out.exists()
    assert main([*command, *words]) == 0
    assert np.array_equal(load_teacher(out, load_dataset(data)).item_embeddings, MATRIX)


def test_files_that_are_not_read_are_noted(tmp_path: Path) -> None:
    teacher = teacher_of(tmp_path, {"vectors.npy": npy(MATRIX), "all_embeddings.npy": npy(MATRIX)})
    assert any(n.startswith("W-FILES-UNREAD") and "vectors.npy" in n for n in teacher.notes)
    assert not any("all_embeddings.npy" in note for note in teacher.notes)


def test_skipped_vectors_are_counted(tmp_path: Path) -> None:
    files = lists([*VALUES, [1.0] * 3], [*IDS, "x"])
    teacher = teacher_of(tmp_path, files, unknown_vectors="skip")
    assert any("1 vectors of unknown items and 0 repeated" in note for note in teacher.notes)
