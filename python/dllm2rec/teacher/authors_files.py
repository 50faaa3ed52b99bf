"""The teacher's files in the layout of the paper's authors: text lists and an embedding tensor.

Only arrays come out of here; what they mean for a data set is the business of `knowledge`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dllm2rec import _core
from dllm2rec.data.text.lines import first_lines
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.teacher.embedding_file import PadRow, VectorOptions, load_embeddings
from dllm2rec.teacher.import_options import TeacherOptions
from dllm2rec.teacher.keyed_vectors import JoinRules
from dllm2rec.teacher.tensor_files import refuse
from dllm2rec.teacher.vectors_of_folder import find_vectors, is_there, unopened, unread_note

# A file may also end in .gz.
RANKING_TRAIN = "myrank_train.txt"
RANKING_VALIDATION = "myrank_val.txt"
RANKING_TEST = "myrank_test.txt"
DISTANCE_TRAIN = "confidence_train.txt"
TARGET_DISTANCE_TRAIN = "target_distance_train.txt"
TEXT_FILES = (
    RANKING_TRAIN,
    RANKING_VALIDATION,
    RANKING_TEST,
    DISTANCE_TRAIN,
    TARGET_DISTANCE_TRAIN,
)


@dataclass(frozen=True, eq=False)
class AuthorsTeacher:
    """What a folder in the authors' layout holds, as plain arrays; `None` where a file is absent.

    Attributes:
        ranking: the teacher's items for each train row, best first, uint32 (R, K), in `0..N-1`;
            with `on_duplicate="keep-first"` later copies of an item are N, with `short_lists`
            places without one.
        distance: the distance to each of them, float32 (R, K), >= 0, small is sure.
        target_distance: the distance to the row's true next item, float32 (R,), >= 0.
        ranking_validation: the same lists for the validation rows, uint32 (V, K').
        ranking_test: the same lists for the test rows, uint32 (T, K').
        item_embeddings: the language model's vector of each item, float32 (N, E), finite.
        warnings: what was accepted but should be known; each starts with a code and names its file.
    """

    ranking: NDArray[np.uint32] | None
    distance: NDArray[np.float32] | None
    target_distance: NDArray[np.float32] | None
    ranking_validation: NDArray[np.uint32] | None
    ranking_test: NDArray[np.uint32] | None
    item_embeddings: NDArray[np.float32] | None
    warnings: list[str]


def read_authors_teacher(
    folder: Path,
    *,
    n_items: int,
    n_rows: tuple[int, int, int],
    options: TeacherOptions | None = None,
    item_ids: Sequence[str] = (),
) -> AuthorsTeacher:
    """Read the files of a teacher folder in the authors' layout.

    `myrank_train.txt` or vectors are needed; `confidence_train.txt`, `target_distance_train.txt`,
    `myrank_val.txt`, `myrank_test.txt` (each also as `.gz`) and `all_embeddings.pt` (or `.npy`,
    `.npz`, `.safetensors`, `.parquet`, `.csv`) are read where they are there. Where a `NAME.sha256`
    lies beside a file, the file must agree with it.

    Args:
        folder: where the files are.
        n_items: the size N of the catalogue.
        n_rows: how many train, validation and test rows the data has; files must agree.
        options: how the files are to be read.
        item_ids: of the catalogue, by which vectors are found that bring the ids of their items.

    Raises:
        InputError: a file is missing or breaks a rule; the error says where and why.
        ArtifactError: the embeddings are corrupt, unsafe or not what their name says.
        ConfigError: two of the files are one and the same.
        ResourceError: no memory.
    """
    options = options or TeacherOptions()
    reader = _Reader(folder, n_items, options)
    n_train, n_validation, n_test = n_rows
    vectors, ids_file = find_vectors(folder, options.embeddings, options.embedding_ids)
    ranking = reader.items(RANKING_TRAIN, n_train)
    distance = target_distance = None
    if ranking is not None:
        reader.refuse_same_file(RANKING_TRAIN, DISTANCE_TRAIN)
        distance = reader.distances(DISTANCE_TRAIN, ranking)
        target_distance = reader.target_distances(TARGET_DISTANCE_TRAIN, n_train)
    elif vectors is None or any(map(reader.find, TEXT_FILES)):
        raise _missing(folder, RANKING_TRAIN)
    validation = reader.items(RANKING_VALIDATION, n_validation)
    test = reader.items(RANKING_TEST, n_test)
    embeddings = None
    if vectors is not None:
        reader.check_digest(vectors)
        embeddings, notes = load_embeddings(
            vectors, n_items=n_items, options=vector_options(options, ids_file, item_ids)
        )
        reader.warn(vectors, notes)
    read = [*TEXT_FILES, *(path.name for path in (vectors, ids_file) if path is not None)]
    reader.warnings += unread_note(folder, read)
    return AuthorsTeacher(
        ranking=ranking,
        distance=distance,
        target_distance=None if target_distance is None else target_distance[:, 0],
        ranking_validation=validation,
        ranking_test=test,
        item_embeddings=embeddings,
        warnings=reader.warnings,
    )


def vector_options(
    options: TeacherOptions, ids_file: Path | None, item_ids: Sequence[str]
) -> VectorOptions:
    """What the options say of a file of vectors."""
    pad_row = cast("PadRow", options.embeddings_pad_row)
    if pad_row == "none" and options.embeddings_have_pad_row:
        pad_row = "maybe-last"
    join = JoinRules(
        item_ids,
        skip_unknown=options.unknown_vectors == "skip",
        keep_first=options.on_duplicate == "keep-first",
    )
    return VectorOptions(options.tensor_key, pad_row, ids_file, join)


class _Reader:
    """Finds files of a folder and collects the warnings about them."""

    def __init__(self, folder: Path, n_items: int, options: TeacherOptions) -> None:
        self.folder = folder
        self.n_items = n_items
        self.options = options
        self.warnings: list[str] = []

    def open(self, name: str) -> Path | None:
        """The file to read, its digest checked."""
        path = self.find(name)
        if path is not None:
            self.check_digest(path)
        return path

    def find(self, name: str) -> Path | None:
        """The file or its gzipped form; both at once would be a guess."""
        names = (self.folder / name, self.folder / f"{name}.gz")
        found = [path for path in names if is_there(path)]
        if len(found) > 1:
            raise InputError(
                f"both {name} and {name}.gz exist, expected one of them",
                code="E-AMBIGUOUS",
                path=self.folder,
                hint="remove the one that is out of date",
            )
        return found[0] if found else None

    def check_digest(self, path: Path) -> None:
        """Compare a file with the `NAME.sha256` beside it, if there is one."""
        beside = path.with_name(f"{path.name}.sha256")
        if not is_there(beside):
            return
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as err:
            raise unopened(path, err) from err
        expected = " ".join(first_lines(beside, 1)).split()[:1]
        if [found] != expected:
            message = f"sha256 {found}, expected what {beside.name} says"
            hint = "the file or its digest is from another export; copy both again"
            if path.name.removesuffix(".gz") not in TEXT_FILES:
                raise refuse(path, "E-DIGEST", message, hint)
            raise InputError(message, code="E-DIGEST", path=path, hint=hint)

    def items(self, name: str, n_rows: int) -> NDArray[np.uint32] | None:
        path = self.open(name)
        if path is None:
            return None
        items, notes = _core.parse_items(
            path,
            n_items=self.n_items,
            min_columns=self.options.min_columns,
            expected_rows=n_rows,
            id_base=self.options.id_base,
            skip_rows=self.options.skip_rows,
            on_duplicate=self.options.on_duplicate,
            short_lists=self.options.short_lists,
            strict=self.options.strict,
        )
        self.warn(path, notes)
        return items

    def distances(self, name: str, ranking: NDArray[np.uint32]) -> NDArray[np.float32] | None:
        """The distance to each listed item; where none is listed a number that means nothing."""
        path = self.open(name)
        if path is None:
            return None
        n_rows, n_columns = ranking.shape
        distances = self._parse_distances(path, n_rows, n_columns, self.options.short_lists)
        if self.options.short_lists:
            is_distance = self.options.confidence_kind == "distance"
            _fill_unlisted(path, distances, ranking < self.n_items, is_distance=is_distance)
        return distances

    def target_distances(self, name: str, n_rows: int) -> NDArray[np.float32] | None:
        path = self.open(name)
        return None if path is None else self._parse_distances(path, n_rows, 1, short_lists=False)

    def _parse_distances(
        self, path: Path, n_rows: int, n_columns: int, short_lists: bool
    ) -> NDArray[np.float32]:
        distances, notes = _core.parse_distances(
            path,
            expected_rows=n_rows,
            expected_columns=n_columns,
            kind=self.options.confidence_kind,
            short_lists=short_lists,
            strict=self.options.strict,
        )
        self.warn(path, notes)
        return distances

    def refuse_same_file(self, first: str, second: str) -> None:
        one, other = self.find(first), self.find(second)
        if one is not None and other is not None and one.samefile(other):
            raise ConfigError(
                f"E-SAME-FILE {one} and {other} are one file, "
                "expected item lists in the first and distances in the second"
            )

    def warn(self, path: Path, notes: list[str]) -> None:
        for note in notes:
            code, _, text = note.partition(" ")
            self.warnings.append(f"{code} {path}: {text}")


def _fill_unlisted(
    path: Path,
    distances: NDArray[np.float32],
    is_listed: NDArray[np.bool_],
    *,
    is_distance: bool,
) -> None:
    """Give places without an item a number; refuse a listed item without one."""
    missing = np.isnan(distances) & is_listed
    if missing.any():
        row, place = (int(axis) for axis in np.argwhere(missing)[0])
        raise InputError(
            f"row {row + 1}: no number for item {place + 1} of its list ({int(missing.sum())} such "
            "items), expected one for each",
            code="E-CONF-NONFINITE",
            path=path,
        )
    surest = 0.0 if is_distance else distances.max(initial=0.0, where=is_listed)
    distances[~is_listed] = surest


def _missing(folder: Path, name: str) -> InputError:
    return InputError(
        f"no {name} and no {name}.gz here",
        code="E-OPEN",
        path=folder,
        hint="the teacher's item lists for the train rows, or item vectors, are needed",
    )
