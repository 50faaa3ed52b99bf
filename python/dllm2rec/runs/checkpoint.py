"""A trained student on disk: weights in safetensors, everything else in JSON, whole or not there.

A student's folder grows while it is trained. Each checkpoint is a folder of its own, which a
pointer names: `best` for what is served. `last` and `prev` name what a training resumes from
(training_state.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from dllm2rec.config.model import Config
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.read_json import read_json
from dllm2rec.storage.atomic_file import check_space
from dllm2rec.storage.atomic_folder import read_manifest, write_folder
from dllm2rec.storage.pointers import move_pointers, read_pointer
from dllm2rec.students import Student, build_student
from dllm2rec.students.memory.pair_memory import PairMemory, memory_arrays, read_memory
from dllm2rec.students.text_projection import projection_arrays, read_projection
from dllm2rec.tracking.metric_names import SELECTION

KIND = "checkpoint"
WITHOUT_MEMORY, VERSION = 1, 2
WEIGHTS, MEMORY, STATE = "model.safetensors", "memory.safetensors", "state.json"
# Beside the weights where text scores; what does not know of it serves the same without it.
PROJECTION = "projection.safetensors"
REFIT = "refit_epochs"  # in the record of a student that was trained on validation rows too


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A student as it can be served, and what was known when it was saved.

    Attributes:
        student: as it was read: folded (no teacher tensor), in eval mode, on the CPU.
        config: the configuration it was trained with.
        n_items: N.
        max_length: L.
        record: the epoch's losses and validation metrics, with the memory if there is one.
        memory: what the student remembers of pairs, or None.
    """

    student: Student
    config: Config
    n_items: int
    max_length: int
    record: dict[str, float]
    memory: PairMemory | None = None

    def __repr__(self) -> str:
        """Which student, and its size."""
        name, parameters = self.config.student.name, self.student.parameters()
        n_parameters = sum(parameter.numel() for parameter in parameters)
        return (
            f"Checkpoint: {name}, {self.n_items:,} items, windows of {self.max_length}, "
            f"{n_parameters:,} parameters"
        )


@dataclass(frozen=True)
class _State:
    """What `state.json` holds."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    config: dict[str, Any]
    n_items: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=1)]
    record: dict[str, float]
    memory: dict[str, int | float] | None = None

    def __post_init__(self) -> None:
        if SELECTION not in self.record:
            raise ValueError(f"record without {SELECTION}")


_STATE = TypeAdapter(_State)


def save_checkpoint(
    folder: Path, name: str, checkpoint: Checkpoint, pointers: Sequence[str] = ("best",)
) -> None:
    """Save a student and let pointers name it; folders that nothing names are deleted.

    Args:
        folder: the student's folder.
        name: of the checkpoint's own folder, with a number behind it where one is there already:
            that is of an epoch that was begun again, perhaps on another device or other data.
        checkpoint: what is saved; its student may be on any device, and is folded on the way.
        pointers: `best`, or of its ranking weight, or both.

    Raises:
        ResourceError: the disk is full; what was there before still is.
    """
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    free = next(name for name in names if not (folder / name).exists())
    _write_checkpoint(folder / free, checkpoint)
    move_pointers(folder, dict.fromkeys(pointers, free))


def _write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    folded = checkpoint.student.fold()
    # The folded student's own configuration: folding can untie the output.
    config = checkpoint.config.model_copy(update={"student": folded.config})
    tensors = {
        key: tensor.detach().to("cpu").contiguous() for key, tensor in folded.state_dict().items()
    }
    memory = checkpoint.memory
    arrays = {} if memory is None else memory_arrays(memory)
    projection = folded.kept_projection
    of_text = {} if projection is None else projection_arrays(projection)
    parts = [*tensors.values(), *arrays.values(), *of_text.values()]
    check_space(path, sum(part.nbytes for part in parts))
    state = _State(
        config.model_dump(mode="json"),
        checkpoint.n_items,
        checkpoint.max_length,
        checkpoint.record,
        None if memory is None else asdict(memory.form),
    )

    def write_weights(file: Path) -> None:
        save_file(tensors, file)

    def write_memory(file: Path) -> None:
        save_arrays(arrays, file)

    def write_projection(file: Path) -> None:
        save_arrays(of_text, file)

    def write_state(file: Path) -> None:
        file.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")

    writers = {WEIGHTS: write_weights, STATE: write_state}
    if memory is not None:
        writers[MEMORY] = write_memory
    if projection is not None:
        writers[PROJECTION] = write_projection
    # What knows of no memory would leave it out in silence: it must not read one that has it.
    version = VERSION if memory is not None else WITHOUT_MEMORY
    write_folder(path, writers, kind=KIND, version=version)


def load_checkpoint(folder: str | Path, pointer: str = "best") -> Checkpoint:
    """Load the checkpoint that a pointer of a student's folder names.

    Args:
        folder: the student's.
        pointer: `best`, or that of a ranking weight while several are tried.

    Raises:
        ArtifactError: there is none, or it is corrupt, of another version or does not fit.
    """
    path = read_pointer(Path(folder), pointer)
    manifest = read_manifest(path, KIND, newest_version=VERSION)
    state = read_json(path / STATE, _STATE, "the state of a checkpoint; train again")
    try:
        config = Config.model_validate_json(json.dumps(state.config))
        tensors = load_file(path / WEIGHTS)
        # Before room is made for a student of that size; a table has a row for padding.
        sizes = {size for tensor in tensors.values() for size in tensor.shape}
        if sizes.isdisjoint({state.n_items, state.n_items + 1}):
            raise ValueError(f"n_items = {state.n_items}, which is not that of the weights")
        student = build_student(
            config.student,
            n_items=state.n_items,
            max_length=state.max_length,
            teacher_embeddings=None,
            embedding_weight=0.0,
            embedding_sides=config.distillation.embedding_sides,
            variant=config.variant,
        )
        student.load_state_dict(tensors)
        form = state.memory
        memory = None if form is None else read_memory(load_arrays(path / MEMORY), form)
        if PROJECTION in manifest.files:
            size = student.embedding.ids.weight.shape[1]
            student.kept_projection = read_projection(load_arrays(path / PROJECTION), size)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as err:
        raise ArtifactError(
            f"{path}: {err}, expected a checkpoint that this version can read; train again"
        ) from err
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ArtifactError(f"E-CKPT-NONFINITE {path}: NaN or infinity among the weights")
    student.eval()
    if memory is not None and memory.n_items != state.n_items:
        raise ArtifactError(
            f"{path}: a memory of {memory.n_items} items beside a student of {state.n_items}, "
            "expected as many; train again"
        )
    return Checkpoint(student, config, state.n_items, state.max_length, state.record, memory)
