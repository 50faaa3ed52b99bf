"""A run on disk: where its students are, and how to open what they were trained on."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import words
from dllm2rec.data.dataset import Catalogue, SequenceDataset
from dllm2rec.data.formats.catalogue_file import ITEMS_FILE, load_catalogue, load_train_counts
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.runs.run_manifest import RunManifest, read_run, run_folder_of
from dllm2rec.runs.source import Source
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge

_log = logging.getLogger(__name__)


def student_folders(run: Path) -> list[Path]:
    """The folders of trained students at `run`: itself, or those in it, by name.

    Raises:
        ArtifactError: there are none.
    """
    if (run / "best").is_file():
        return [run]
    folders = sorted(place.parent for place in run.glob("*/best"))
    if not folders:
        raise ArtifactError(
            f"{run}: no trained student, expected a folder that dllm2rec train made"
        )
    return folders


def open_catalogue(place: Path) -> Catalogue:
    """What the items of a run stand for; `place` is its folder or that of one of its students.

    Raises:
        ArtifactError: it is no run, or its items are missing or changed.
    """
    folder, record = run_folder_of(place), read_run(place).files.get(ITEMS_FILE)
    if record is None:
        _log.warning(
            "W-UNVERIFIED %s: written before runs had checksums: whether it changed since then "
            "cannot be told; train again to be sure of it",
            folder / ITEMS_FILE,
        )
    return load_catalogue(folder, record)


def open_train_counts(place: Path) -> npt.NDArray[np.int64]:
    """How often each item was the target of a train row, (N,); `place` as for `open_catalogue`.

    Raises:
        ArtifactError: it is no run, or its items are missing, changed or of an earlier version.
    """
    return load_train_counts(run_folder_of(place), read_run(place).files.get(ITEMS_FILE))


def open_source(
    run: Path, dataset: Path | None, teacher: Path | None
) -> tuple[SequenceDataset, TeacherKnowledge | None]:
    """Load what a run was made from, from where it was or from other places.

    Raises:
        ArtifactError: it is no run, or does not know where its dataset is.
        InputError: dataset or teacher are not there any more.
    """
    return _source(run, read_run(run), dataset, teacher).open()


def _source(
    run: Path, manifest: RunManifest, dataset: str | Path | None, teacher: str | Path | None
) -> Source:
    if dataset is None and manifest.source is None:
        raise ArtifactError(
            f"{run}: its dataset was not read from a folder, expected to be given one; "
            f"give {words(python='dataset=, it or its folder', option='--dataset')}"
        )
    given = Source.of(dataset, teacher)
    before = manifest.source or Source()
    return Source(given.dataset or before.dataset, given.teacher or before.teacher)


def open_dataset(run: Path, dataset: SequenceDataset | str | Path | None) -> SequenceDataset:
    """The dataset that a run was trained on: loaded from where it was or elsewhere, or as given.

    Raises:
        ArtifactError: it is no run, or the data is not what the run was trained on.
        InputError: the dataset is not there any more.
    """
    manifest = read_run(run)
    if isinstance(dataset, SequenceDataset):
        loaded, place = dataset, dataset.name
    else:
        source = _source(run, manifest, dataset, None)
        loaded, place = source.open_dataset(), source.dataset or "the demo world"
    if loaded.fingerprint() != manifest.fingerprint:
        raise ArtifactError(
            f"{place}: fingerprint {loaded.fingerprint()[:12]}, "
            f"expected {manifest.fingerprint[:12]}, the dataset that {run} was trained on; "
            f"give {words(python='dataset=', option='--dataset')} with its folder"
        )
    return loaded


def open_teacher(
    run: Path, teacher: str | Path | None, dataset: SequenceDataset
) -> TeacherKnowledge | None:
    """Load the teacher that a run was trained with, from where it was or from another place.

    None if the run had none, and, with a warning in the log, if it is no longer where it was.

    Raises:
        ArtifactError: the one given is not the run's, or the one where it was is damaged.
        InputError: there is none at the place that is given.
    """
    manifest = read_run(run)
    expected = manifest.teacher_fingerprint
    if teacher is not None:
        given = load_teacher(teacher, dataset)
        if given.fingerprint() != expected:
            raise ArtifactError(
                f"{teacher}: fingerprint {given.fingerprint()[:12]}, expected "
                f"{'none' if expected is None else expected[:12]}, the teacher of {run}"
            )
        return given
    if expected is None:
        return None
    try:
        found = _teacher_where_it_was(manifest, dataset)
        if found is not None and found.fingerprint() == expected:
            return found
        reason = "its place is not known" if found is None else "it has changed"
    except ArtifactError as err:
        away = "; or move the folder away, and the teacher is left out of the table"
        raise ArtifactError(f"{err}{away}") from err
    except InputError as err:
        reason = str(err)
    _log.warning(
        "the teacher of %s is left out of the table: %s; give --teacher DIR to have it", run, reason
    )
    return None


def _teacher_where_it_was(
    manifest: RunManifest, dataset: SequenceDataset
) -> TeacherKnowledge | None:
    source = manifest.source
    if source is None or (source.dataset is not None and source.teacher is None):
        return None
    return source.open()[1] if source.teacher is None else load_teacher(source.teacher, dataset)
