"""What a run's page shows, gathered from the dataset, the teacher and the students."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.auditing.audit import audit
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.report.conclusion import conclusion_of
from dllm2rec.report.evidence import Evidence, Example
from dllm2rec.report.gather_slices import gather_slices
from dllm2rec.report.teacher.asked_rows import AskedRows, asked_rows
from dllm2rec.report.teacher.beside_student import beside_student
from dllm2rec.report.teacher.report import calibration, some_rows
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.run_folder import student_folders
from dllm2rec.runs.run_manifest import RunManifest
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runtime.device import deterministic
from dllm2rec.teacher.knowledge import TeacherKnowledge

MOST_ROWS = 5_000  # students list items for so many rows: a second or two on a CPU
N_EXAMPLES = 6
LISTED = 10  # items of an example's list
HISTORY = 8  # items of an example's history


def gather_evidence(
    folder: Path,
    result: RunResult,
    manifest: RunManifest,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> Evidence | None:
    """List items for some held-out rows and compare; None where no student was trained.

    Args:
        folder: of the run, whose students are done.
        result: its table.
        manifest: its `run.json`.
        dataset: what it learnt from.
        teacher: or None.
        device: where students list.
    """
    best = conclusion_of(result, manifest).student
    if best is None:
        return None
    asked = asked_rows(dataset, teacher) if teacher is not None and teacher.has_lists else {}
    calibrated = next(iter(asked), "")
    places, distances = calibration(asked.get(calibrated), dataset.n_items)
    # Not the train rows: a student has seen their targets.
    on = next((split for split in ("test", "validation") if split in asked), "")
    part = some_rows(asked[on], MOST_ROWS) if on else None
    names = {row.name: _folder_of(folder, row.name) for row in result.rows if "epoch" in row.detail}
    beside = []
    with deterministic():
        if part is not None:
            k = min(part.lists.shape[1], dataset.n_items)
            for name, place in names.items():
                lists = _listed(place, dataset, part.rows, k, device)
                beside.append(
                    beside_student(name, part.lists, lists, part.targets, dataset.n_items)
                )
        examples = _examples(dataset, part if on == "test" else None, names[best], device)
        slices = gather_slices(names, dataset, teacher, device, exclude_seen=result.exclude_seen)
    vectors = None if teacher is None else teacher.item_embeddings
    found = audit(dataset, vectors=vectors, seed=manifest.seed, window_counts=False)
    return Evidence(best, examples, on, beside, calibrated, places, distances, found, slices)


def _folder_of(folder: Path, student: str) -> Path:
    """The folder of a student, of several seeds that of the first."""
    name = student.replace(" ", "")
    if (folder / name).is_dir():
        return folder / name
    return next(one for one in student_folders(folder) if one.name.startswith(f"{name}-seed-"))


def _listed(
    place: Path, dataset: SequenceDataset, rows: Rows, k: int, device: torch.device
) -> npt.NDArray[np.uint32]:
    checkpoint = load_checkpoint(place)
    student = checkpoint.student.to(device)
    return student_lists(student, device_rows(dataset, rows, device), k, memory=checkpoint.memory)


def _examples(
    dataset: SequenceDataset, asked: AskedRows | None, place: Path, device: torch.device
) -> list[Example]:
    """Evenly spaced hits, then evenly spaced misses; rows that the teacher answered, if any."""
    if asked is None:
        most = np.linspace(0, len(dataset.test) - 1, min(MOST_ROWS, len(dataset.test)))
        rows = dataset.test.take(most.astype(np.int64))
    else:
        rows = asked.rows
    k = min(LISTED, dataset.n_items)
    lists, targets = _listed(place, dataset, rows, k, device), dataset.targets(rows)
    hits = (lists == targets[:, None]).any(axis=1)
    half = N_EXAMPLES // 2
    chosen = [*_spaced(np.flatnonzero(hits), half), *_spaced(np.flatnonzero(~hits), half)]
    titles, ids = dataset.catalogue.titles, dataset.catalogue.item_ids
    begins = dataset.window_begin(rows)

    def words(items: npt.NDArray[np.uint32]) -> list[str]:
        return [(titles and titles[item]) or ids[item] for item in items.tolist()]

    def taught_by(row: int) -> list[str]:
        if asked is None:
            return []
        items = asked.lists[row][:k]
        return words(items[items < dataset.n_items])

    return [
        Example(
            history=words(
                dataset.events[max(begins[row], rows.end[row] - HISTORY) : rows.end[row]]
            ),
            target=words(targets[row : row + 1])[0],
            listed=words(lists[row]),
            taught_by=taught_by(row),
            is_hit=bool(hits[row]),
        )
        for row in chosen
    ]


def _spaced(rows: npt.NDArray[np.int64], most: int) -> list[int]:
    """At most `most` of some rows, evenly spaced: nobody picked them."""
    if not len(rows):
        return []
    places = np.linspace(0, len(rows) - 1, min(most, len(rows)) + 2)[1:-1]
    found: list[int] = np.unique(rows[places.astype(np.int64)]).tolist()
    return found
