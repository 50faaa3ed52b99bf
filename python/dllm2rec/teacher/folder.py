"""A teacher as files: the authors' text files, or one verified folder of ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.storage.atomic_folder import Manifest, read_manifest, write_folder
from dllm2rec.storage.npy_file import load_npy, save_npy
from dllm2rec.teacher.answers.columns import is_answers
from dllm2rec.teacher.answers.import_answers import import_answers
from dllm2rec.teacher.asked_histories import HISTORY_ARRAYS, AskedHistories
from dllm2rec.teacher.authors_files import (
    DISTANCE_TRAIN,
    RANKING_TRAIN,
    read_authors_teacher,
    vector_options,
)
from dllm2rec.teacher.embedding_file import load_embeddings
from dllm2rec.teacher.grounding.title_report import TITLES_FILE, TitleReport
from dllm2rec.teacher.import_options import TeacherOptions
from dllm2rec.teacher.knowledge import SHAPES, TeacherKnowledge, check_teacher, observations
from dllm2rec.teacher.leak import leak_notes
from dllm2rec.teacher.tensor_files import header_of
from dllm2rec.teacher.vectors_of_folder import find_ids

KIND = "teacher"
VERSION = 3  # from 2 on a teacher may have no lists, from 3 on lists for other histories

_ARRAYS: dict[str, str] = {  # field -> file
    "ranking": "ranking.npy",
    "distance": "distance.npy",
    "target_distance": "target_distance.npy",
    "ranking_validation": "ranking_val.npy",
    "ranking_test": "ranking_test.npy",
}
_EMBEDDINGS = "item_embeddings.safetensors"


def load_teacher(
    path: str | Path,
    dataset: SequenceDataset,
    *,
    options: TeacherOptions | None = None,
) -> TeacherKnowledge:
    """Load what a teacher knows about a dataset, with its notes.

    Args:
        path: a teacher folder of ours (every file verified against its manifest, and the manifest
            against the dataset), one in the authors' layout (`myrank_train.txt`, ...), a file of
            item vectors alone, or one of a language model's answers.
        dataset: the dataset it must belong to.
        options: how files in the authors' layout are to be read; similarities become distances
            from the greatest one, which changes no weight.

    Raises:
        InputError: no such folder, or files that break a rule or do not fit the dataset.
        ArtifactError: a teacher folder of ours that changed, or belongs to another dataset.
        ConfigError: one content given for ranking and distance, or options for a folder of ours.
    """
    folder = Path(path)
    if not folder.is_dir() and not folder.is_file():
        raise InputError(
            "no such folder, expected a teacher folder or one with myrank_train.txt, or a file of "
            "item vectors or answers",
            code="E-FILE",
            path=folder,
        )
    if folder.is_file() and is_answers(folder):
        if options not in (None, TeacherOptions()):
            raise ConfigError(f"{folder}: a file of answers, expected no options of other files")
        return import_answers(folder, dataset).knowledge
    if folder.is_file():
        knowledge = _read_vectors(folder, dataset, options or TeacherOptions())
    elif (folder / "manifest.json").exists():
        if options not in (None, TeacherOptions()):
            raise ConfigError(f"{folder}: imported already, expected no options for its files")
        knowledge = _read_ours(folder, dataset)
    else:
        knowledge = _read_authors(folder, dataset, options or TeacherOptions())
    check_teacher(knowledge, dataset)
    return dataclasses.replace(
        knowledge,
        notes=[
            *knowledge.notes,
            *observations(knowledge, dataset),
            *leak_notes(knowledge, dataset),
        ],
        folder=folder.resolve(),
    )


def save_teacher(
    folder: str | Path,
    knowledge: TeacherKnowledge,
    dataset: SequenceDataset,
    *,
    titles: TitleReport | None = None,
) -> Manifest:
    """Write a teacher folder that belongs to `dataset`, whole or not at all.

    `titles` goes with it as `titles.csv`, for people to look through.

    Raises:
        InputError: the knowledge does not fit the dataset.
        ConfigError: the folder exists and is not empty.
        ResourceError: it cannot be written.
    """
    check_teacher(knowledge, dataset)
    writers = {
        file: _array_writer(getattr(knowledge, name))
        for name, file in _ARRAYS.items()
        if getattr(knowledge, name) is not None
    }
    if knowledge.histories is not None:
        for name, array in knowledge.histories.arrays().items():
            writers[HISTORY_ARRAYS[name][2]] = _array_writer(array)
    if knowledge.item_embeddings is not None:
        writers[_EMBEDDINGS] = _tensor_writer(knowledge.item_embeddings)
    if titles is not None:
        writers[TITLES_FILE] = titles.write
    counted = {
        *observations(knowledge, dataset),
        *leak_notes(knowledge, dataset),
    }  # counted again when it is loaded
    facts = {
        "dataset": dataset.fingerprint(),
        "dataset_name": dataset.name,
        **({"short_lists": True} if knowledge.short_lists else {}),
        "notes": [note for note in knowledge.notes if note not in counted],
    }
    # The oldest version that can hold it, so that what reads that one reads it.
    version = 1 if knowledge.ranking is not None else 2
    if knowledge.histories is not None:
        version = VERSION
    return write_folder(folder, writers, kind=KIND, version=version, facts=facts)


def _read_vectors(
    path: Path, dataset: SequenceDataset, options: TeacherOptions
) -> TeacherKnowledge:
    """A file of item vectors, and the ids of its rows where they lie beside it."""
    ids = find_ids(path, options.embedding_ids)
    vectors, notes = load_embeddings(
        path,
        n_items=dataset.n_items,
        options=vector_options(options, ids, dataset.catalogue.item_ids),
    )
    said = [f"{code} {path}: {text}" for code, _, text in (note.partition(" ") for note in notes)]
    return TeacherKnowledge(item_embeddings=vectors, notes=said)


def _read_authors(
    folder: Path, dataset: SequenceDataset, options: TeacherOptions
) -> TeacherKnowledge:
    _check_two_files(folder)
    n_train, n_validation, n_test = (len(rows) for rows in dataset.splits().values())
    read = read_authors_teacher(
        folder,
        n_items=dataset.n_items,
        n_rows=(n_train, n_validation, n_test),
        options=options,
        item_ids=dataset.catalogue.item_ids,
    )
    return TeacherKnowledge(
        ranking=read.ranking,
        distance=_as_distance(read.distance, options),
        target_distance=_as_distance(read.target_distance, options),
        item_embeddings=read.item_embeddings,
        ranking_validation=read.ranking_validation,
        ranking_test=read.ranking_test,
        short_lists=options.short_lists,
        notes=list(read.warnings),
    )


def _as_distance(
    numbers: npt.NDArray[np.float32] | None, options: TeacherOptions
) -> npt.NDArray[np.float32] | None:
    if numbers is None or options.confidence_kind == "distance" or not numbers.size:
        return numbers
    distances: npt.NDArray[np.float32] = numbers.max() - numbers
    return distances


def _check_two_files(folder: Path) -> None:
    """Refuse one content under both names."""
    for ending in ("", ".gz"):
        ranking = folder / f"{RANKING_TRAIN}{ending}"
        distance = folder / f"{DISTANCE_TRAIN}{ending}"
        if ranking.is_file() and distance.is_file() and _same_bytes(ranking, distance):
            raise ConfigError(
                f"E-SAME-FILE {distance}: the same content as {ranking.name}, expected the "
                "distances to its items"
            )


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _read_ours(folder: Path, dataset: SequenceDataset) -> TeacherKnowledge:
    manifest = read_manifest(folder, KIND, newest_version=VERSION)
    expected, found = dataset.fingerprint(), manifest.facts.get("dataset")
    if found != expected:
        raise ArtifactError(
            f"{folder}: made for dataset {manifest.facts.get('dataset_name')!r} with fingerprint "
            f"{found}, expected {dataset.name!r} with {expected}; import the teacher again"
        )
    arrays: dict[str, Any] = {
        name: _read_array(folder / file, *SHAPES[name])
        for name, file in _ARRAYS.items()
        if file in manifest.files
    }
    if "ranking" not in arrays and manifest.version == 1:
        raise ArtifactError(f"{folder}: no {_ARRAYS['ranking']}, expected one")
    histories = {
        name: _read_array(folder / file, dtype, ndim)
        for name, (dtype, ndim, file) in HISTORY_ARRAYS.items()
        if file in manifest.files
    }
    if histories:
        lacking = {"offsets", "items", "rankings"} - set(histories)
        if lacking:
            missing = HISTORY_ARRAYS[min(lacking)][2]
            raise ArtifactError(f"{folder}: no {missing}, expected one beside the other histories'")
        arrays["histories"] = AskedHistories(**histories)
    if _EMBEDDINGS in manifest.files:
        arrays["item_embeddings"] = _read_tensor(folder / _EMBEDDINGS)
    notes = manifest.facts.get("notes", [])
    if not (isinstance(notes, list) and all(isinstance(note, str) for note in notes)):
        raise ArtifactError(f"{folder}: notes {notes!r} in its manifest, expected a list of texts")
    return TeacherKnowledge(
        **arrays, short_lists=manifest.facts.get("short_lists") is True, notes=notes
    )


def _read_array(path: Path, dtype: type[np.generic], ndim: int) -> npt.NDArray[Any]:
    """Read a .npy file as NumPy itself writes it; its header is believed once the size agrees."""
    expected = np.dtype(dtype).newbyteorder("<")
    try:
        with path.open("rb") as file:
            shape, is_fortran, found = header_of(file)
            payload = path.stat().st_size - file.tell()
    except ValueError as err:
        raise ArtifactError(f"{path}: no .npy file ({err})") from err
    if found != expected or len(shape) != ndim or is_fortran:
        raise ArtifactError(
            f"{path}: {found} {shape}, expected {expected} with {ndim} axes in C order"
        )
    if math.prod(shape) * expected.itemsize != payload:
        raise ArtifactError(f"{path}: {payload} bytes of numbers for shape {shape}")
    array: npt.NDArray[Any] = load_npy(path)
    return array


def _read_tensor(path: Path) -> npt.NDArray[Any]:
    try:
        tensors = safetensors.numpy.load(path.read_bytes())
    except safetensors.SafetensorError as err:
        raise ArtifactError(f"{path}: no safetensors file ({err})") from err
    if list(tensors) != ["item_embeddings"]:
        raise ArtifactError(f"{path}: tensors {sorted(tensors)}, expected 'item_embeddings' alone")
    return tensors["item_embeddings"]


def _array_writer(array: npt.NDArray[Any]) -> Callable[[Path], object]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return lambda path: save_npy(path, little)


def _tensor_writer(array: npt.NDArray[np.float32]) -> Callable[[Path], object]:
    tensors = {"item_embeddings": np.ascontiguousarray(array)}
    return lambda path: safetensors.numpy.save_file(tensors, path)
