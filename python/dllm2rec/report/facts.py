"""What a run's folder says of the run: only its own files are read, and no tensor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dllm2rec.errors import ArtifactError
from dllm2rec.report.evidence import Evidence, read_evidence
from dllm2rec.runs.epoch_log import METRICS_FILE, read_epochs
from dllm2rec.runs.held_out_log import Opening, read_openings
from dllm2rec.runs.run_card import CARD_FILE, read_card
from dllm2rec.runs.run_manifest import CONFIG_FILE, RUN_FILE, RunManifest, read_run
from dllm2rec.runs.run_result import RESULTS_FILE, RunResult, read_result
from dllm2rec.runtime.hardware import Energy
from dllm2rec.storage.atomic_file import FileRecord, read_verified
from dllm2rec.storage.atomic_folder import parse_manifest
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.storage.sealed_json import digest
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import MetricTable

POINTERS = ("best", "last")


@dataclass(frozen=True)
class Epochs:
    """One training, epoch by epoch.

    Attributes:
        name: the student's folder, relative to the run's; with the ranking weight where validation
            chose among several.
        records: one mapping per epoch, in order, as `metrics.jsonl` holds them.
        student: as tables call it, without its seed; "" is `name`.
        is_chosen: whether it is the one of its student's grid that reached most on validation.
    """

    name: str
    records: tuple[dict[str, float], ...]
    student: str = ""
    is_chosen: bool = True

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
        evidence: `evidence.json`; None where the run has none, as before it has ended.
        openings: each time that the test rows were scored.
        energy: what the GPU took; None without a card.
    """

    manifest: RunManifest
    settings: str
    result: RunResult | None
    trainings: tuple[Epochs, ...]
    checkpoints: tuple[CheckpointFact, ...]
    evidence: Evidence | None = None
    openings: tuple[Opening, ...] = ()
    energy: Energy | None = None

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
    manifest = read_run(folder)
    result = read_result(folder) if (folder / RESULTS_FILE).is_file() else None
    # In the order of the table, whose names are those of the folders with blanks.
    names = [] if result is None else [row.name.replace(" ", "") for row in result.rows]
    places = {name: place for place, name in enumerate(names)}
    students = sorted(
        (file.parent for file in folder.rglob(METRICS_FILE)),
        key=lambda path: (places.get(path.relative_to(folder).parts[0], len(names)), path),
    )
    return RunFacts(
        manifest=manifest,
        settings=_settings(folder / CONFIG_FILE, manifest.files.get(CONFIG_FILE)),
        result=result,
        trainings=tuple(
            training
            for student in students
            for training in _trainings(folder, student, sealed=manifest.format > 1)
        ),
        checkpoints=tuple(
            _checkpoint(student.relative_to(folder).as_posix(), student, pointer)
            for student in students
            for pointer in POINTERS
            if (student / pointer).is_file()
        ),
        evidence=None if result is None else read_evidence(folder),
        openings=tuple(read_openings(folder)),
        energy=read_card(folder).energy if (folder / CARD_FILE).is_file() and result else None,
    )


def _settings(file: Path, record: FileRecord | None) -> str:
    """The text of `config.toml`; runs of format 1 noted no sha256 of it, and may lack it."""
    if record is not None:
        return read_verified(file, record).decode("utf-8", "backslashreplace")
    return file.read_text(encoding="utf-8", errors="backslashreplace") if file.is_file() else ""


def _trainings(folder: Path, student: Path, *, sealed: bool) -> list[Epochs]:
    """The trainings of one student: one for each trial of its grid."""
    name = student.relative_to(folder).as_posix()
    records = read_epochs(student, sealed=sealed)
    fields = {"dropout": "dropout", "ranking_weight": "ranking weight"}
    trials = [tuple(record.get(field, 0.0) for field in fields) for record in records]
    varied = [len(set(values)) > 1 for values in zip(*trials, strict=True)]
    reached = [record.get(SELECTION, 0.0) for record in records]
    chosen = trials[reached.index(max(reached))] if records else ()
    return [
        Epochs(
            ", ".join(
                [
                    name,
                    *(
                        f"{label} {value:g}"
                        for label, value, varies in zip(fields.values(), trial, varied, strict=True)
                        if varies
                    ),
                ]
            ),
            tuple(r for r, its in zip(records, trials, strict=True) if its == trial),
            student=name.partition("-seed-")[0],
            is_chosen=trial == chosen,
        )
        for trial in dict.fromkeys(trials)
    ]


def _checkpoint(student: str, folder: Path, pointer: str) -> CheckpointFact:
    named = read_pointer(folder, pointer)
    manifest = parse_manifest(named)
    n_bytes = sum(record.size for record in manifest.files.values())
    return CheckpointFact(student, pointer, named.name, n_bytes, digest(asdict(manifest)))
