"""`run.json`: what a run is made of, and where it was begun."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import TypeAdapter

from dllm2rec._core import __version__
from dllm2rec.caller import words
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.read_json import read_json
from dllm2rec.runs.source import Source
from dllm2rec.runtime.device import device_name
from dllm2rec.runtime.distributed import size
from dllm2rec.storage.atomic_folder import replace_text
from dllm2rec.teacher.knowledge import TeacherKnowledge

RUN_FILE = "run.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """A run as it was begun; a default is what runs of versions without the key had.

    Attributes:
        students: names of `student.name`, in the order of the table.
        baseline: whether each student is also trained without the teacher.
        n_seeds: how often each training is repeated, from `seed` on.
        format: version of the file.
        source: where dataset and teacher were read; None where only the caller knows.
        dataset: its name.
        fingerprint: that of the dataset.
        teacher_fingerprint: that of the teacher; None without one.
        seed: `train.seed`.
        config: the configuration as plain values; `read_config` gives it back.
        device: the name of the device, "cpu" or a GPU's.
        threads: CPU threads of torch.
        processes: how many shared the work.
        python: version of Python.
        platform: system and processor.
        versions: of the packages that compute.
        notes: what readers of the results should know about the run.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    students: list[str] = field(default_factory=list)
    baseline: bool = True
    n_seeds: int = 1
    format: int
    source: Source | None
    dataset: str
    fingerprint: str
    teacher_fingerprint: str | None = None
    seed: int
    config: dict[str, Any]
    device: str
    threads: int
    processes: int = 1
    python: str
    platform: str
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What `run.json` holds, and what trackers are told."""
        content = asdict(self)
        if not self.notes:
            del content["notes"]
        return content


_ADAPTER = TypeAdapter(RunManifest)


def new_manifest(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    *,
    students: Sequence[str],
    baseline: bool,
    n_seeds: int,
    source: Source | None,
) -> RunManifest:
    """Describe a run that begins now, in this process."""
    return RunManifest(
        students=list(students),
        baseline=baseline,
        n_seeds=n_seeds,
        format=FORMAT,
        source=source,
        dataset=dataset.name,
        **data_fingerprints(dataset, teacher),
        seed=config.train.seed,
        config=config.model_dump(mode="json"),
        **environment(device),
    )


def environment(device: torch.device) -> dict[str, Any]:
    """What the last bits of a training may depend on, besides its configuration and its data."""
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": size(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        # Not from the packages' metadata: torch's takes 0.1 s to read.
        "versions": {"dllm2rec": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }


def data_fingerprints(dataset: SequenceDataset, teacher: TeacherKnowledge | None) -> dict[str, Any]:
    """What a manifest says of the data of its run."""
    return {
        "fingerprint": dataset.fingerprint(),
        "teacher_fingerprint": None if teacher is None else teacher.fingerprint(),
    }


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write `run.json` into a run's folder, whole or not at all."""
    replace_text(folder / RUN_FILE, json.dumps(manifest.as_json(), indent=1) + "\n")


def read_run(run: Path) -> RunManifest:
    """Read the manifest of a run; `run` is its folder or that of one of its students.

    Raises:
        ArtifactError: it is no run, or a key is missing, unknown or of another type.
    """
    for folder in (run, run.resolve().parent):
        if (folder / RUN_FILE).is_file():
            return read_json(folder / RUN_FILE, _ADAPTER, "what dllm2rec train writes there")
    raise ArtifactError(f"{run}: no {RUN_FILE}, expected a folder that dllm2rec train made")


def read_config(run: Path, manifest: RunManifest) -> Config:
    """The configuration of a run.

    Raises:
        ArtifactError: this version does not understand it.
    """
    try:
        return Config.model_validate_json(json.dumps(manifest.config))
    except ValueError as err:
        raise ArtifactError(
            f"{run / RUN_FILE}: {err}, expected the configuration of a run"
        ) from err


def check_same_data(
    run: Path, manifest: RunManifest, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> None:
    """Refuse a dataset or a teacher that is not the run's.

    Raises:
        ArtifactError: with the fingerprints of both.
    """
    for key, value in data_fingerprints(dataset, teacher).items():
        expected = getattr(manifest, key)
        if expected != value:
            what = "dataset" if key == "fingerprint" else "teacher"
            cure = words(
                python=f"give the {what} that it had, allow_data_change=True to go on with this",
                option=f"give --{what} with the folder of that, --allow-data-change to go on with "
                "this",
            )
            raise ArtifactError(
                f"{run}: {what} with fingerprint {_short(value)}, expected {_short(expected)}, the "
                f"run's; {cure}, or train again in another folder"
            )


def _short(fingerprint: str | None) -> str:
    return "none" if fingerprint is None else fingerprint[:12]
