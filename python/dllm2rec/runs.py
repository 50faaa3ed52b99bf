"""A finished run on disk: where its students are and what they were trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError
from dllm2rec.sources import Source

RUN_FILE, RESULTS_FILE = "run.json", "results.json"


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


def open_dataset(run: Path, dataset: Path | None) -> SequenceDataset:
    """Load the dataset that a run was trained on, from where it was or from another place.

    Raises:
        ArtifactError: it is no run, or the data is not what the run was trained on.
        InputError: the dataset is not there any more.
    """
    facts = read_run(run)
    if dataset is None and facts["source"] is None:
        raise ArtifactError(
            f"{run}: it does not know where its dataset is, expected to be told; give --dataset"
        )
    source = Source(**facts["source"]) if dataset is None else Source.of(dataset, None)
    loaded = source.open_dataset()
    if loaded.fingerprint() != facts["fingerprint"]:
        raise ArtifactError(
            f"{source.dataset or 'the embedded world'}: fingerprint {loaded.fingerprint()[:12]}, "
            f"expected {facts['fingerprint'][:12]}, the rows that {run} was trained beside; give "
            "--dataset with the folder of those"
        )
    return loaded
