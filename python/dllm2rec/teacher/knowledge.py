"""What the teacher says of each train row and each item: checked, saved, loaded, verified."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from dllm2rec.artifact import Manifest, read_manifest, write_folder
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.teacher.authors_files import (
    DISTANCE_TRAIN,
    RANKING_TRAIN,
    TextOptions,
    read_authors_teacher,
)

KIND = "teacher"
VERSION = 1

_ARRAYS: dict[str, str] = {  # field -> file
    "ranking": "ranking.npy",
    "distance": "distance.npy",
    "target_distance": "target_distance.npy",
    "ranking_validation": "ranking_val.npy",
    "ranking_test": "ranking_test.npy",
}
_EMBEDDINGS = "item_embeddings.safetensors"
_TILE = 16_384  # rows whose lists and windows are compared at once: about 3 MB for K 20 and L 10


@dataclass(frozen=True, eq=False)
class TeacherKnowledge:
    """The teacher's lists for the train rows, how sure it is, and its view of the items.

    Attributes:
        ranking: the teacher's items for each train row, best first, uint32 (R_train, top_n);
            n_items where a list has fewer.
        distance: distance of the row's generation to each listed item, 0 or more, small is sure,
            float32 (R_train, top_n).
        target_distance: the same distance to the row's true next item, float32 (R_train,).
        item_embeddings: the teacher's vector of each item, float32 (n_items, E).
        ranking_validation: lists for the validation rows, uint32 (R_validation, n).
        ranking_test: lists for the test rows, uint32 (R_test, n).
        notes: what a reader of results should know about the teacher, one sentence each.
    """

    ranking: npt.NDArray[np.uint32]
    distance: npt.NDArray[np.float32] | None = None
    target_distance: npt.NDArray[np.float32] | None = None
    item_embeddings: npt.NDArray[np.float32] | None = None
    ranking_validation: npt.NDArray[np.uint32] | None = None
    ranking_test: npt.NDArray[np.uint32] | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, (dtype, ndim) in _SHAPES.items():
            array = getattr(self, name)
            if array is not None and (array.dtype != dtype or array.ndim != ndim):
                raise InputError(
                    f"teacher {name}: {array.dtype} {array.shape}, "
                    f"expected {np.dtype(dtype).name} with {ndim} axes",
                    code="E-SHAPE",
                )
        if self.ranking.shape[1] < 1:
            raise InputError("teacher ranking: no columns, expected at least one", code="E-SHAPE")
        self._check_distances()

    @property
    def top_n(self) -> int:
        """How many items the teacher lists for a train row."""
        return int(self.ranking.shape[1])

    def fingerprint(self) -> str:
        """Return the sha256 of all arrays: what a run that goes on must find again."""
        digest = hashlib.sha256(b"teacher-1")
        for name, (dtype, _) in _SHAPES.items():
            array = getattr(self, name)
            if array is not None:
                digest.update(f" {name} {array.shape} ".encode())
                little = np.dtype(dtype).newbyteorder("<")
                digest.update(np.ascontiguousarray(array, dtype=little).data)
        return digest.hexdigest()

    def _check_distances(self) -> None:
        n_rows = self.ranking.shape[0]
        if self.distance is not None and self.distance.shape != self.ranking.shape:
            code = "E-ROWS" if self.distance.shape[0] != n_rows else "E-SHAPE"
            raise InputError(
                f"teacher distance: {self.distance.shape}, expected {self.ranking.shape}: one "
                "number for each listed item",
                code=code,
            )
        if self.target_distance is not None and self.target_distance.size != n_rows:
            raise InputError(
                f"teacher target_distance: {self.target_distance.size} numbers, expected {n_rows} "
                "as the ranking has rows",
                code="E-ROWS",
            )
        for name in ("distance", "target_distance"):
            _check_numbers(name, getattr(self, name), lowest=0.0)
        _check_numbers("item_embeddings", self.item_embeddings, lowest=-math.inf)


_SHAPES: dict[str, tuple[type[np.generic], int]] = {
    "ranking": (np.uint32, 2),
    "distance": (np.float32, 2),
    "target_distance": (np.float32, 1),
    "item_embeddings": (np.float32, 2),
    "ranking_validation": (np.uint32, 2),
    "ranking_test": (np.uint32, 2),
}


def load_teacher(
    path: str | Path,
    dataset: SequenceDataset,
    *,
    options: TextOptions | None = None,
    embeddings_have_pad_row: bool = False,
) -> TeacherKnowledge:
    """Load what a teacher knows about a dataset, with its notes.

    Args:
        path: a teacher folder of ours (every file verified against its manifest, and the manifest
            against the dataset) or one in the authors' layout (`myrank_train.txt`, ...).
        dataset: the dataset it must belong to.
        options: how the text files of the authors' layout are to be read; similarities become
            distances from the greatest one, which changes no weight.
        embeddings_have_pad_row: their embeddings may end with one row for the padding item.

    Raises:
        InputError: no such folder, or files that break a rule or do not fit the dataset.
        ArtifactError: a teacher folder of ours that changed, or belongs to another dataset.
        ConfigError: one content given for ranking and distance.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(
            "no such folder, expected a teacher folder or one with myrank_train.txt",
            code="E-FILE",
            path=folder,
        )
    if (folder / "manifest.json").exists():
        knowledge = _read_ours(folder, dataset)
    else:
        knowledge = _read_authors(
            folder, dataset, options or TextOptions(), embeddings_have_pad_row
        )
    check_teacher(knowledge, dataset)
    return dataclasses.replace(
        knowledge, notes=[*knowledge.notes, *_observations(knowledge, dataset)]
    )


def save_teacher(
    folder: str | Path, knowledge: TeacherKnowledge, dataset: SequenceDataset
) -> Manifest:
    """Write a teacher folder that belongs to `dataset`, whole or not at all.

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
    if knowledge.item_embeddings is not None:
        writers[_EMBEDDINGS] = _tensor_writer(knowledge.item_embeddings)
    counted = set(_observations(knowledge, dataset))  # counted again when it is loaded
    facts = {
        "dataset": dataset.fingerprint(),
        "dataset_name": dataset.name,
        "notes": [note for note in knowledge.notes if note not in counted],
    }
    return write_folder(folder, writers, kind=KIND, version=VERSION, facts=facts)


def check_teacher(knowledge: TeacherKnowledge, dataset: SequenceDataset) -> None:
    """Refuse knowledge that does not fit the dataset: row counts, item range, catalogue size.

    Raises:
        InputError: it does not fit; the message has both numbers.
    """
    lists = {
        "ranking": (knowledge.ranking, dataset.train),
        "ranking_validation": (knowledge.ranking_validation, dataset.validation),
        "ranking_test": (knowledge.ranking_test, dataset.test),
    }
    for name, (ranking, rows) in lists.items():
        if ranking is not None:
            _check_ranking(name, ranking, rows, dataset.n_items)
    vectors = knowledge.item_embeddings
    if vectors is not None and vectors.shape[0] != dataset.n_items:
        raise InputError(
            f"teacher item_embeddings: {vectors.shape[0]} rows, expected {dataset.n_items}: one "
            "for each item of the catalogue",
            code="E-SHAPE",
        )


def _check_ranking(name: str, ranking: npt.NDArray[np.uint32], rows: Rows, n_items: int) -> None:
    if ranking.shape[0] != len(rows):
        raise InputError(
            f"teacher {name}: {ranking.shape[0]} rows, expected {len(rows)}: one for each row of "
            "the dataset, in its order",
            code="E-ROWS",
        )
    bad = ranking > n_items
    if bad.any():
        row, place = (int(axis) for axis in np.argwhere(bad)[0])
        raise InputError(
            f"teacher {name}[{row}, {place}]: item {ranking[row, place]}, "
            f"expected 0..{n_items - 1}, or {n_items} for no item",
            code="E-RANK-RANGE",
        )


def _check_numbers(name: str, numbers: npt.NDArray[np.float32] | None, lowest: float) -> None:
    if numbers is None:
        return
    bad = ~(np.isfinite(numbers) & (numbers >= lowest))
    if bad.any():
        place = tuple(int(axis) for axis in np.argwhere(bad)[0])
        value = numbers[place]
        rule = "finite numbers" if math.isinf(lowest) else "finite distances, 0 or more"
        kind = "EMB" if name == "item_embeddings" else "CONF"
        fault = "NEGATIVE" if np.isfinite(value) else "NONFINITE"
        raise InputError(
            f"teacher {name}[{', '.join(map(str, place))}]: {value} "
            f"({int(bad.sum())} such numbers), expected {rule}",
            code=f"E-{kind}-{fault}",
        )


def _observations(knowledge: TeacherKnowledge, dataset: SequenceDataset) -> list[str]:
    """Count what is allowed but tells whether teacher and dataset belong together."""
    n_rows, top_n = knowledge.ranking.shape
    if n_rows == 0:
        return []
    hits, repeats = _hits_and_repeats(knowledge.ranking, dataset)
    hit_rate, chance = hits / n_rows, top_n / dataset.n_items
    share = f"hr@{top_n} = {hit_rate:.4f}"
    places = f"{repeats:,} of {n_rows * top_n:,} list places ({repeats / (n_rows * top_n):.1%})"
    notes = [
        f"the teacher lists the target in {hits:,} of {n_rows:,} train rows ({share})",
        f"{places} repeat an item of the window",
    ]
    missing = int((knowledge.ranking == dataset.n_items).sum())
    if missing:
        notes.append(f"{missing:,} of {n_rows * top_n:,} list places hold no item")
    # In a catalogue of under four lists, twice chance says nothing.
    if hit_rate < 2 * chance < 0.5:
        notes.append(
            f"W-TEACHER-RANDOM: hr@{top_n} on train rows is {hit_rate:.4f}, chance is "
            f"{chance:.4f}: check that the teacher's rows are those of this dataset, in its order"
        )
    distance = knowledge.distance
    if distance is not None and distance.max() > 1000 and (distance == np.floor(distance)).all():
        notes.append(
            "W-CONF-ITEMS: all distances are whole and some exceed 1,000: check that they are not "
            "item indices"
        )
    return notes


def _hits_and_repeats(ranking: npt.NDArray[np.uint32], dataset: SequenceDataset) -> tuple[int, int]:
    """Count rows whose target is listed, and list places that hold an item of the window."""
    hits = repeats = 0
    for begin in range(0, len(ranking), _TILE):
        tile = slice(begin, begin + _TILE)
        windows = dataset.windows(dataset.train.take(tile))
        hits += int((ranking[tile] == windows.targets[:, None]).any(axis=1).sum())
        listed = np.zeros(ranking[tile].shape, dtype=np.bool_)
        for items in windows.sequences.T:
            listed |= ranking[tile] == items[:, None]
        # Padding of a window is no repeat of a missing place of a list.
        repeats += int((listed & (ranking[tile] < dataset.n_items)).sum())
    return hits, repeats


def _read_authors(
    folder: Path, dataset: SequenceDataset, options: TextOptions, has_pad_row: bool
) -> TeacherKnowledge:
    _check_two_files(folder)
    n_train, n_validation, n_test = (len(rows) for rows in dataset.splits().values())
    read = read_authors_teacher(
        folder,
        n_items=dataset.n_items,
        n_rows=(n_train, n_validation, n_test),
        options=options,
        embeddings_have_pad_row=has_pad_row,
    )
    return TeacherKnowledge(
        ranking=read.ranking,
        distance=_as_distance(read.distance, options),
        target_distance=_as_distance(read.target_distance, options),
        item_embeddings=read.item_embeddings,
        ranking_validation=read.ranking_validation,
        ranking_test=read.ranking_test,
        notes=list(read.warnings),
    )


def _as_distance(
    numbers: npt.NDArray[np.float32] | None, options: TextOptions
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
        name: _read_array(folder / file, *_SHAPES[name])
        for name, file in _ARRAYS.items()
        if file in manifest.files
    }
    if "ranking" not in arrays:
        raise ArtifactError(f"{folder}: no {_ARRAYS['ranking']}, expected one")
    if _EMBEDDINGS in manifest.files:
        arrays["item_embeddings"] = _read_tensor(folder / _EMBEDDINGS)
    return TeacherKnowledge(**arrays, notes=list(manifest.facts.get("notes", [])))


def _read_array(path: Path, dtype: type[np.generic], ndim: int) -> npt.NDArray[Any]:
    """Read a .npy file as NumPy itself writes it; its header is believed once the size agrees."""
    expected = np.dtype(dtype).newbyteorder("<")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ArtifactError(f"{path}: .npy version {version}, expected (1, 0)")
            shape, is_fortran, found = np.lib.format.read_array_header_1_0(file)
            payload = path.stat().st_size - file.tell()
    except ValueError as err:
        raise ArtifactError(f"{path}: no .npy file ({err})") from err
    if found != expected or len(shape) != ndim or is_fortran:
        raise ArtifactError(
            f"{path}: {found} {shape}, expected {expected} with {ndim} axes in C order"
        )
    if math.prod(shape) * expected.itemsize != payload:
        raise ArtifactError(f"{path}: {payload} bytes of numbers for shape {shape}")
    array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
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
    return lambda path: np.save(path, little, allow_pickle=False)


def _tensor_writer(array: npt.NDArray[np.float32]) -> Callable[[Path], object]:
    tensors = {"item_embeddings": np.ascontiguousarray(array)}
    return lambda path: safetensors.numpy.save_file(tensors, path)
