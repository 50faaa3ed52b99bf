"""Resume a run that was interrupted by a signal, a kill, a full disk or too little memory."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.run_folder import open_catalogue
from dllm2rec.runs.run_manifest import (
    RUN_FILE,
    RunManifest,
    check_same_data,
    data_fingerprints,
    environment,
    read_config,
    read_run,
    write_manifest,
)
from dllm2rec.runs.run_result import RESULT_FILE, RESULTS_FILE, RunResult, read_result
from dllm2rec.runs.training_state import load_state, save_state
from dllm2rec.runtime.device import choose_device
from dllm2rec.runtime.distributed import is_first, wait_for_all
from dllm2rec.storage.atomic_file import remove_leftovers
from dllm2rec.storage.output_folder import check_writable, locked
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.printed import as_progress
from dllm2rec.tracking.progress import Progress
from dllm2rec.train.check_run import RunOptions, check_run
from dllm2rec.train.train_run import run_data, train_students

_log = logging.getLogger(__name__)


def resume_run(
    folder: str | Path,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    *,
    device: str | None = None,
    allow_data_change: bool = False,
    weights_only: bool = False,
    progress: Progress | bool = True,
) -> RunResult:
    """Resume a run that was interrupted, however it was, with its own configuration.

    On the same machine, device and number of threads the result has the bits of a run that was
    never interrupted. A run that had ended is not touched: its table is returned.

    Args:
        folder: of the run.
        dataset: the run's.
        teacher: the run's, or None if it had none.
        device: "auto", "cpu" or "cuda"; by default that of the run's configuration.
        allow_data_change: resume though rows or teacher are not the run's; the items must be. The
            epoch under way begins again; students that are done keep their results, which a note
            of the table says.
        weights_only: resume from the saved weights alone, for a state that lacks something: the
            epoch under way begins again, with new moments, averages, schedule and generators.
        progress: as for `train_run`.

    Raises:
        ArtifactError: it is no run, a file of it is corrupt, dataset or teacher are not the run's,
            or another process writes to it.
        ConfigError, NonFiniteError, ResourceError: as for `train_run`.
    """
    folder = Path(folder)
    manifest = read_run(folder)
    config = read_config(folder, manifest)
    if not manifest.students:
        raise ArtifactError(
            f"{folder / RUN_FILE}: no students, expected those to train; train again in another "
            "folder"
        )
    with_this_data = replace(manifest, **data_fingerprints(dataset, teacher))
    data_changed = with_this_data != manifest
    if data_changed and allow_data_change:
        _check_same_students(folder, manifest, dataset, teacher)
        options = RunOptions(baseline=manifest.baseline, n_seeds=manifest.n_seeds)
        check_run(config, dataset, teacher, manifest.students, options)
    else:
        check_same_data(folder, manifest, dataset, teacher)
    chosen = choose_device(device or config.train.device)
    check_writable(folder)
    with locked(folder) if is_first() else nullcontext():
        if is_first():
            remove_leftovers(folder)
        if (folder / RESULTS_FILE).is_file():
            return read_result(folder)
        _warn_of_other_bits(manifest, environment(chosen))
        if is_first() and (data_changed or weights_only):
            _begin_epochs_again(folder, weights_only=weights_only)
        if data_changed:
            lacks = fit_to_teacher(config, teacher)[1]
            manifest = _with_data_notes(folder, with_this_data, lacks)
        wait_for_all("the run: resumed")
        progress = as_progress(progress)
        progress.run(manifest.as_json())
        data = run_data(config, dataset, teacher, chosen, baseline=manifest.baseline)
        return train_students(manifest, dataset, teacher, folder, data, progress)


def _check_same_students(
    folder: Path,
    manifest: RunManifest,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
) -> None:
    """Refuse data for which the run would have other students.

    With a teacher where there was none or none where there was one, or a catalogue whose indices
    mean other items than the students' vectors do.

    Raises:
        ArtifactError: with the first item that differs, or both numbers of items.
    """
    if (manifest.teacher_fingerprint is None) != (teacher is None):
        found = "no teacher" if teacher is None else "a teacher"
        raise ArtifactError(
            f"{folder}: begun with {'no' if teacher else 'a'} teacher, got {found}, expected the "
            "same students as before; train again in another folder"
        )
    theirs, ours = open_catalogue(folder).item_ids, dataset.catalogue.item_ids
    if len(theirs) != len(ours):
        raise ArtifactError(
            f"{folder}: its students know {len(theirs):,} items, expected {len(ours):,}, those of "
            f"{dataset.name}; train again in another folder"
        )
    for item, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their != our:
            raise ArtifactError(
                f"{folder}: item {item} of its students is {their!r}, expected {our!r} as in "
                f"{dataset.name}; train again in another folder"
            )


def _begin_epochs_again(folder: Path, *, weights_only: bool) -> None:
    """Put every student that is not done back to the beginning of the epoch that it was in.

    On disk, so that whatever happens next resumes from there.
    """
    for student in sorted(file.parent for file in folder.glob("*/last")):
        if not (student / RESULT_FILE).is_file():
            state = load_state(student)
            if state is not None:
                save_state(student, state.at_epoch_start(weights_only=weights_only))
    if weights_only:
        _log.warning(
            "W-WEIGHTS-ONLY the run is resumed from its weights alone: moments, averages, schedule "
            "and generators are new"
        )


def _with_data_notes(folder: Path, manifest: RunManifest, lacks: list[str]) -> RunManifest:
    """Note in `run.json` that the data changed while the run was interrupted, and say so."""
    done = sorted(file.parent.name for file in folder.glob(f"*/{RESULT_FILE}"))
    earlier = f"; trained and tested before that: {', '.join(done)}" if done else ""
    note = f"W-DATA-CHANGED rows or teacher changed while the run was interrupted{earlier}"
    _log.warning("%s; the epoch under way begins again", note)
    for lack in lacks:
        _log.warning("%s", lack)
    notes = [*manifest.notes, note, *lacks]
    changed = replace(manifest, notes=[*dict.fromkeys(notes)])
    if is_first():
        write_manifest(folder, changed)
    return changed


def _warn_of_other_bits(manifest: RunManifest, now: dict[str, Any]) -> None:
    differences = [
        f"{name} {getattr(manifest, name)} -> {value}"
        for name, value in now.items()
        if getattr(manifest, name) != value
    ]
    if differences:
        _log.warning(
            "W-NOT-BIT-IDENTICAL the run is resumed elsewhere than it began (%s): its last bits "
            "may differ from those of a run that was not interrupted",
            "; ".join(differences),
        )
