"""A finished run on disk: where its students are and what they were trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.source import Source
from dllm2rec.teacher.knowledge import TeacherKnowledge

RUN_FILE, RESULTS_FILE, METRICS_FILE = "run.json", "results.json", "metrics.jsonl"


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


def read_run(run: Path) -> dict[str, Any]:
    """Read what a run was made from; `run` is its folder or that of one of its students.

    Raises:
        ArtifactError: it is no run.
    """
    for folder in (run, run.resolve().parent):
        file = folder / RUN_FILE
        if file.is_file():
            try:
                content = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as err:
                raise ArtifactError(f"{file}: {err}, expected the JSON of a run") from err
            if isinstance(content, dict):
                return content
    raise ArtifactError(f"{run}: no {RUN_FILE}, expected a folder that dllm2rec train made")


def config_of(run: Path, facts: dict[str, Any]) -> Config:
    """The configuration of a run, from what `read_run` gave.

    Raises:
        ArtifactError: this version does not understand it.
    """
    try:
        return Config.model_validate_json(json.dumps(facts["config"]))
    except (KeyError, ValueError) as err:
        raise ArtifactError(
            f"{run / RUN_FILE}: {err}, expected the configuration of a run"
        ) from err


def data_fingerprints(
    dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> dict[str, str | None]:
    """What `run.json` says of the data that a run was made from."""
    return {
        "fingerprint": dataset.fingerprint(),
        "teacher_fingerprint": None if teacher is None else teacher.fingerprint(),
    }


def check_same_data(
    run: Path, facts: dict[str, Any], dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> None:
    """Refuse a dataset or a teacher that is not the run's.

    Raises:
        ArtifactError: with the fingerprints of both.
    """
    for field, value in data_fingerprints(dataset, teacher).items():
        if facts.get(field) != value:
            what = "dataset" if field == "fingerprint" else "teacher"
            expected = facts.get(field)
            raise ArtifactError(
                f"{run}: {what} with fingerprint {_short(value)}, expected {_short(expected)}, the "
                f"run's; give --{what} with the folder of that, --allow-data-change to go on with "
                "this, or train again in another folder"
            )


def _short(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else fingerprint[:12]


def open_source(
    run: Path, dataset: Path | None, teacher: Path | None
) -> tuple[SequenceDataset, TeacherKnowledge | None]:
    """Load what a run was made from, from where it was or from other places.

    Raises:
        ArtifactError: it is no run, or does not know where its dataset is.
        InputError: dataset or teacher are not there any more.
    """
    return _source(run, read_run(run), dataset, teacher).open()


def _source(run: Path, facts: dict[str, Any], dataset: Path | None, teacher: Path | None) -> Source:
    if dataset is None and facts["source"] is None:
        raise ArtifactError(
            f"{run}: it does not know where its dataset is, expected to be told; give --dataset"
        )
    told = Source.of(dataset, teacher)
    was = Source(**(facts["source"] or {}))
    return Source(told.dataset or was.dataset, told.teacher or was.teacher)


def open_dataset(run: Path, dataset: Path | None) -> SequenceDataset:
    """Load the dataset that a run was trained on, from where it was or from another place.

    Raises:
        ArtifactError: it is no run, or the data is not what the run was trained on.
        InputError: the dataset is not there any more.
    """
    facts = read_run(run)
    source = _source(run, facts, dataset, None)
    loaded = source.open_dataset()
    if loaded.fingerprint() != facts["fingerprint"]:
        raise ArtifactError(
            f"{source.dataset or 'the embedded world'}: fingerprint {loaded.fingerprint()[:12]}, "
            f"expected {facts['fingerprint'][:12]}, the rows that {run} was trained beside; give "
            "--dataset with the folder of those"
        )
    return loaded
