"""What a run's page shows beside its figures: lists with titles, agreement, calibration.

It needs the dataset, the teacher and the students, so the training writes it once, as
`evidence.json`; a page that is drawn again later needs the run's folder alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter

from dllm2rec.auditing.audit import Audit, audit
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.report.conclusion import conclusion_of
from dllm2rec.report.teacher.asked_rows import AskedRows, asked_rows
from dllm2rec.report.teacher.beside_student import BesideStudent, beside_student
from dllm2rec.report.teacher.quality import Bin
from dllm2rec.report.teacher.report import calibration, some_rows
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.read_json import read_json
from dllm2rec.runs.run_folder import student_folders
from dllm2rec.runs.run_manifest import RunManifest
from dllm2rec.runs.run_result import RunResult
from dllm2rec.runtime.device import deterministic
from dllm2rec.storage.atomic_file import replace_bytes
from dllm2rec.storage.sealed_json import seal
from dllm2rec.teacher.knowledge import TeacherKnowledge

EVIDENCE_FILE = "evidence.json"
MOST_ROWS = 5_000  # students list items for so many rows: a second or two on a CPU
N_EXAMPLES = 6
LISTED = 10  # items of an example's list
HISTORY = 8  # items of an example's history


@dataclass(frozen=True)
class Example:
    """One test row in words.

    Attributes:
        history: titles, or ids where there are none, oldest first.
        target: what came next.
        listed: what the student lists, best first.
        taught_by: what the teacher lists; empty where it has no list for the row.
        is_hit: whether `target` is in `listed`.
    """

    history: list[str]
    target: str
    listed: list[str]
    taught_by: list[str]
    is_hit: bool


@dataclass(frozen=True)
class Evidence:
    """What `evidence.json` holds.

    Attributes:
        student: whose lists the examples show, as tables call it.
        examples: rows of the test split, half of them hits where there are enough of both.
        teacher_on: the split on which the teacher stands beside students, or "".
        beside: each student beside the teacher; of several seeds the first.
        calibrated_on: the split that places and distances speak of, or "".
        places: how often each place of the teacher's lists holds the target.
        distances: the same by distance.
        audit: what the dataset is like.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    student: str
    examples: list[Example]
    teacher_on: str = ""
    beside: list[BesideStudent] = field(default_factory=list)
    calibrated_on: str = ""
    places: list[Bin] = field(default_factory=list)
    distances: list[Bin] = field(default_factory=list)
    audit: Audit | None = None


_ADAPTER = TypeAdapter(Evidence)


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write `evidence.json` into a run's folder, whole or not at all."""
    replace_bytes(folder / EVIDENCE_FILE, seal(asdict(evidence)))


def read_evidence(folder: Path) -> Evidence | None:
    """Read it; None where the run has none.

    Raises:
        ArtifactError: it changed since it was written, or is none.
    """
    if not (folder / EVIDENCE_FILE).is_file():
        return None
    return read_json(folder / EVIDENCE_FILE, _ADAPTER, "what a run's page shows")


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
    vectors = None if teacher is None else teacher.item_embeddings
    found = audit(dataset, vectors=vectors, seed=manifest.seed, window_counts=False)
    return Evidence(best, examples, on, beside, calibrated, places, distances, found)


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
