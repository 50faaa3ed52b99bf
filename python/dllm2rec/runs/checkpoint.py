"""A trained student on disk: weights in safetensors, everything else in JSON, whole or not there.

A student's folder grows while it is trained. Each checkpoint is a folder of its own, which a
pointer names: `best` for what is served. `last` and `prev` name what a training resumes from
(training_state.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dllm2rec.config.model import Config
from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_folder import check_space, read_manifest, write_folder
from dllm2rec.storage.pointers import move_pointers, read_pointer
from dllm2rec.students import Student, build_student

KIND = "checkpoint"
VERSION = 1
WEIGHTS, STATE = "model.safetensors", "state.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A student as it can be served, and what was known when it was saved.

    Attributes:
        student: folded (no teacher tensor), in eval mode, on the CPU.
        config: the configuration it was trained with.
        n_items: N.
        max_length: L.
        record: the epoch's losses and validation metrics.
    """

    student: Student
    config: Config
    n_items: int
    max_length: int
    record: dict[str, float]

    def __repr__(self) -> str:
        """Which student, and its size."""
        name, parameters = self.config.student.name, self.student.parameters()
        n_parameters = sum(parameter.numel() for parameter in parameters)
        return (
            f"Checkpoint: {name}, {self.n_items:,} items, windows of {self.max_length}, "
            f"{n_parameters:,} parameters"
        )


def save_checkpoint(
    folder: Path,
    name: str,
    student: Student,
    config: Config,
    record: dict[str, float],
    *,
    n_items: int,
    max_length: int,
) -> None:
    """Save a student and let `best` name it; folders that nothing names are deleted.

    Args:
        folder: the student's folder.
        name: of the checkpoint's own folder, with a number behind it where one is there already:
            that is of an epoch that was begun again, perhaps on another device or other data.
        student: any device; it is folded on the way.
        config: its configuration.
        record: the epoch's losses and validation metrics.
        n_items: N.
        max_length: L.

    Raises:
        ResourceError: the disk is full; what was there before still is.
    """
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    free = next(name for name in names if not (folder / name).exists())
    _write_checkpoint(folder / free, student, config, record, n_items, max_length)
    move_pointers(folder, {"best": free})


def _write_checkpoint(
    path: Path,
    student: Student,
    config: Config,
    record: dict[str, float],
    n_items: int,
    max_length: int,
) -> None:
    folded = student.fold()
    # The folded student's own configuration: folding can untie the output.
    config = config.model_copy(update={"student": folded.config})
    tensors = {
        key: tensor.detach().to("cpu").contiguous() for key, tensor in folded.state_dict().items()
    }
    check_space(path, sum(tensor.nbytes for tensor in tensors.values()))
    state = {
        "config": config.model_dump(mode="json"),
        "n_items": n_items,
        "max_length": max_length,
        "record": record,
    }

    def write_weights(file: Path) -> None:
        save_file(tensors, file)

    def write_state(file: Path) -> None:
        file.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    write_folder(path, {WEIGHTS: write_weights, STATE: write_state}, kind=KIND, version=VERSION)


def load_checkpoint(folder: str | Path) -> Checkpoint:
    """Load the checkpoint that `best` of a student's folder names.

    Raises:
        ArtifactError: there is none, or it is corrupt, of another version or does not fit.
    """
    path = read_pointer(Path(folder), "best")
    read_manifest(path, KIND, newest_version=VERSION)
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        config = Config.model_validate_json(json.dumps(state["config"]))
        tensors = load_file(path / WEIGHTS)
        student = build_student(
            config.student,
            n_items=state["n_items"],
            max_length=state["max_length"],
            teacher_embeddings=None,
            embedding_weight=0.0,
            embedding_sides=config.distillation.embedding_sides,
            variant=config.variant,
        )
        student.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError, SafetensorError) as err:
        raise ArtifactError(
            f"{path}: {err}, expected a checkpoint that this version can read; train again"
        ) from err
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"E-CKPT-NONFINITE {path}: NaN or infinity among the weights")
    student.eval()
    return Checkpoint(student, config, state["n_items"], state["max_length"], state["record"])
