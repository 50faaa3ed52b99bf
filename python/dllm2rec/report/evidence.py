"""What a run's page shows beside its figures: lists with titles, agreement, calibration.

The training writes it once, as `evidence.json`; a page that is drawn again later needs the run's
folder alone, and no torch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from dllm2rec.auditing.audit import Audit
from dllm2rec.evaluate.rows.slices import SliceTable
from dllm2rec.report.teacher.beside_student import BesideStudent
from dllm2rec.report.teacher.quality import Bin
from dllm2rec.runs.read_json import read_json
from dllm2rec.storage.atomic_file import replace_bytes
from dllm2rec.storage.sealed_json import seal

EVIDENCE_FILE = "evidence.json"


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
        slices: metrics by kinds of test rows, of several seeds of the first.
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
    slices: list[SliceTable] = field(default_factory=list)


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
