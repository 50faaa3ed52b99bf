"""`run.json`: what a run is made of, and where it was begun."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import TypeAdapter

from dllm2rec._core import __version__
from dllm2rec.caller import command_words, words
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.catalogue_file import ITEMS_FILE
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.read_json import read_json
from dllm2rec.runs.source import Source
from dllm2rec.runtime.hardware import Hardware, this_hardware
from dllm2rec.storage.atomic_file import FileRecord, record_of, replace_bytes
from dllm2rec.storage.sealed_json import seal
from dllm2rec.teacher.knowledge import TeacherKnowledge

# Who reads a manifest needs no torch, which takes seconds to load.
if TYPE_CHECKING:
    import torch

RUN_FILE = "run.json"
CONFIG_FILE = "config.toml"
FIXED_FILES = (CONFIG_FILE, ITEMS_FILE)  # written once, before the file itself
FORMAT = 2  # from 2 on the file carries its own sha256 and those of the files beside it


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
        files: size and sha256 of the files beside it that stay as they are, by name.
        command: the words of the command that began it; empty from Python.
        hardware: what it was begun on.
        inputs: size and sha256 of each file of the dataset's and the teacher's folder, by path.
        teacher_ms: milliseconds of one list of the teacher, where the caller knows them.
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
    files: dict[str, FileRecord] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    hardware: Hardware | None = None
    inputs: dict[str, FileRecord] = field(default_factory=dict)
    teacher_ms: float | None = None

    def as_json(self) -> dict[str, Any]:
        """What `run.json` holds, and what trackers are told."""
        content = asdict(self)
        for key in ("notes", "files", "command", "hardware", "inputs", "teacher_ms"):
            if not content[key]:
                del content[key]
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
    """Describe a run that begins now, in this process; every file of its source is read."""
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
        command=command_words(),
        hardware=this_hardware(),
        inputs={} if source is None else source.files(),
    )


def environment(device: torch.device) -> dict[str, Any]:
    """What the last bits of a training may depend on, besides its configuration and its data."""
    import torch

    from dllm2rec.runtime.device import device_name
    from dllm2rec.runtime.distributed import size

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


def with_files(manifest: RunManifest, folder: Path) -> RunManifest:
    """The manifest with size and sha256 of the files beside it, which are there by now."""
    return replace(manifest, files={name: record_of(folder / name) for name in FIXED_FILES})


def write_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write `run.json` into a run's folder, whole or not at all."""
    replace_bytes(folder / RUN_FILE, seal(manifest.as_json()))


def read_run(run: Path) -> RunManifest:
    """Read the manifest of a run; `run` is its folder or that of one of its students.

    Raises:
        ArtifactError: it is no run, changed since it was written, is of a newer version, or a key
            is missing, unknown or of another type.
    """
    file = run_folder_of(run) / RUN_FILE
    manifest = read_json(
        file,
        _ADAPTER,
        "what dllm2rec train writes there",
        may_lack_it=lambda content: content.get("format") != FORMAT,
    )
    if not 1 <= manifest.format <= FORMAT:
        raise ArtifactError(
            f"{file}: format {manifest.format}, expected at most {FORMAT}; install a newer dllm2rec"
        )
    if manifest.format == FORMAT and not set(FIXED_FILES) <= manifest.files.keys():
        raise ArtifactError(
            f"{file}: no sha256 of {', '.join(FIXED_FILES)}, expected them; copy the folder again"
        )
    return manifest


def run_folder_of(place: Path) -> Path:
    """The folder of the run that `place`, its own folder or that of a student, belongs to.

    Raises:
        ArtifactError: it is no run.
    """
    for folder in (place, place.resolve().parent):
        if (folder / RUN_FILE).is_file():
            return folder
    raise ArtifactError(f"{place}: no {RUN_FILE}, expected a folder that dllm2rec train made")


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
