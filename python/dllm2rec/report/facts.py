"""What a run's folder says of the run: only its own files are read, and no tensor."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dllm2rec.errors import ArtifactError
from dllm2rec.runs.run_folder import METRICS_FILE
from dllm2rec.runs.run_manifest import RUN_FILE, RunManifest, read_run
from dllm2rec.runs.run_result import RESULTS_FILE, RunResult, read_result
from dllm2rec.tracking.metric_table import MetricTable

POINTERS = ("best", "last")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Epochs:
    """One training, epoch by epoch.

    Attributes:
        name: the student's folder, relative to the run's; with the ranking weight where validation
            chose among several.
        records: one mapping an epoch, in order, as `metrics.jsonl` holds them.
    """

    name: str
    records: tuple[dict[str, float], ...]

    def series(self, key: str) -> list[tuple[float, float]]:
        """The epochs that have `key`, and its values."""
        return [(record["epoch"], record[key]) for record in self.records if key in record]


@dataclass(frozen=True)
class CheckpointFact:
    """A pointer of a student's folder and the checkpoint that it names."""

    student: str
    pointer: str
    name: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class RunFacts:
    """A run as its folder holds it.

    Attributes:
        manifest: `run.json`.
        settings: `config.toml`.
        result: `results.json`, or None while the run has not ended.
        trainings: every training, in the order of the table; by name while there is none.
        checkpoints: every pointer of every student.
    """

    manifest: RunManifest
    settings: str
    result: RunResult | None
    trainings: tuple[Epochs, ...]
    checkpoints: tuple[CheckpointFact, ...]

    def table(self, split: str) -> MetricTable | None:
        """The metrics of "validation" or "test"; None while the run has not ended."""
        return None if self.result is None else self.result.table(split)


def read_facts(folder: Path) -> RunFacts:
    """Read the files of a run, ended or not.

    Raises:
        ArtifactError: it is no run, or one of its files is not what a run writes.
    """
    if not (folder / RUN_FILE).is_file():
        raise ArtifactError(
            f"{folder}: no {RUN_FILE}, expected a folder that dllm2rec train made; give the run's "
            "folder itself, not that of one of its students"
        )
    settings = folder / "config.toml"
    result = read_result(folder) if (folder / RESULTS_FILE).is_file() else None
    # In the order of the table, whose names are those of the folders with blanks.
    names = [] if result is None else [row.name.replace(" ", "") for row in result.rows]
    places = {name: place for place, name in enumerate(names)}
    students = sorted(
        (file.parent for file in folder.rglob(METRICS_FILE)),
        key=lambda path: (places.get(path.relative_to(folder).parts[0], len(names)), path),
    )
    return RunFacts(
        manifest=read_run(folder),
        settings=settings.read_text(encoding="utf-8") if settings.is_file() else "",
        result=result,
        trainings=tuple(
            training
            for student in students
            for training in _trainings(student.relative_to(folder).as_posix(), student)
        ),
        checkpoints=tuple(
            _checkpoint(student.relative_to(folder).as_posix(), student / pointer)
            for student in students
            for pointer in POINTERS
            if (student / pointer).is_file()
        ),
    )


def _checked(file: Path, parse: Callable[[str], Value]) -> Value:
    """Parse a file of the run; whatever it lacks becomes an error that names it."""
    try:
        return parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise ArtifactError(
            f"{file}: {type(err).__name__} {err}, expected what dllm2rec train writes there"
        ) from err


def _trainings(name: str, student: Path) -> list[Epochs]:
    """The trainings of one student: one for each ranking weight."""
    records = _checked(student / METRICS_FILE, _epoch_lines)
    weights = list(dict.fromkeys(record.get("ranking_weight", 0.0) for record in records))
    return [
        Epochs(
            name if len(weights) == 1 else f"{name}, ranking weight {weight:g}",
            tuple(r for r in records if r.get("ranking_weight", 0.0) == weight),
        )
        for weight in weights
    ]


def _epoch_lines(text: str) -> list[dict[str, float]]:
    """Parse complete lines; a last one without its end is being written, or was cut by a kill."""
    records = [json.loads(line) for line in text.split("\n")[:-1]]
    return [
        {"epoch": record["epoch"], **{key: float(value) for key, value in record.items()}}
        for record in records
    ]


def _checkpoint(student: str, pointer: Path) -> CheckpointFact:
    name = pointer.read_text(encoding="utf-8").strip()
    if not name or name != Path(name).name:
        raise ArtifactError(f"{pointer}: names {name!r}, expected a folder beside it")

    def parse(text: str) -> CheckpointFact:
        manifest = json.loads(text)
        n_bytes = sum(int(record["size"]) for record in manifest["files"].values())
        return CheckpointFact(student, pointer.name, name, n_bytes, str(manifest["sha256"]))

    return _checked(pointer.parent / name / "manifest.json", parse)
