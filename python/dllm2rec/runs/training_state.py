"""The state of a training on disk: all that it takes to resume it with the same bits.

`last` names the newest state, `prev` the one before. Tensors are in safetensors, the rest in JSON;
order and negatives of an epoch are functions of (seed, epoch), so two numbers give the place
among the rows.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dllm2rec.caller import words
from dllm2rec.errors import ArtifactError
from dllm2rec.runs.read_json import read_json
from dllm2rec.runs.trial import Trial
from dllm2rec.storage.atomic_file import check_space
from dllm2rec.storage.atomic_folder import read_manifest, write_folder
from dllm2rec.storage.pointers import move_pointers, pointed, read_pointer
from dllm2rec.tracking.metric_names import SELECTION

KIND = "training"
VERSION = 3
TENSORS, FACTS = "training.safetensors", "training.json"


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A training between two steps.

    Attributes:
        tensors: weights, moments, averages, sums of losses and generators, by name.
        config: the configuration, as plain JSON values.
        n_items: N.
        step: steps taken of the epoch under way.
        seconds: training time of the epoch under way.
        records: one of every epoch done, those of earlier trials included; each has the fields of
            its trial.
        trial: the one under way.
        device: "cpu" or "cuda": the generators are those of its kind alone.
        weights_only: whether of the tensors the weights alone are to be taken over.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    n_items: int
    step: int
    seconds: float
    records: list[dict[str, float]]
    trial: Trial
    device: str
    weights_only: bool = False

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0."""
        return len(self.own_records())

    def own_records(self) -> list[dict[str, float]]:
        """Those of the trial under way, without its fields."""
        return [
            {key: value for key, value in record.items() if key not in Trial._fields}
            for record in self.records
            if self.trial.is_of(record)
        ]

    @property
    def name(self) -> str:
        """The name of its folder."""
        what = "weights" if self.weights_only else "training"
        return f"{what}-{self.trial}-epoch-{self.epoch}-step-{self.step}"

    def at_epoch_start(self, *, weights_only: bool = False) -> TrainingState:
        """The same, before the first step of the epoch under way."""
        return replace(self, step=0, seconds=0.0, weights_only=weights_only or self.weights_only)


@dataclass(frozen=True)
class _Facts:
    """What `training.json` holds: a state but for its tensors."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    config: dict[str, Any]
    n_items: int
    step: Annotated[int, Field(ge=0)]
    seconds: float
    records: list[dict[str, float]]
    trial: Trial
    device: str
    weights_only: bool

    def __post_init__(self) -> None:
        for key in ("epoch", *Trial._fields, "train_s", "validation_s", SELECTION):
            if not all(key in record for record in self.records):
                raise ValueError(f"an epoch without {key}")


_FACTS = TypeAdapter(_Facts)


def save_state(folder: Path, state: TrainingState) -> None:
    """Save a state as `last`; what was `last` becomes `prev`, and what was `prev` is deleted.

    Args:
        folder: the student's.
        state: tensors on any device.

    Raises:
        ResourceError: the disk is full; the states that were there still are.
    """
    newest = folder / "last"
    before = read_pointer(folder, "last").name if newest.is_file() else None
    if before != state.name:
        _remove_older(folder, state.name)
        _write(folder / state.name, state)
    older = {} if before in {None, state.name} else {"prev": str(before)}
    move_pointers(folder, {**older, "last": state.name})


def _remove_older(folder: Path, name: str) -> None:
    """Remove a state of the same place, from before the epoch was begun again."""
    previous = folder / "prev"
    if previous.is_file() and pointed(previous) == name:
        previous.unlink()
    shutil.rmtree(folder / name, ignore_errors=True)


def load_state(folder: Path) -> TrainingState | None:
    """Load the newest state of a student's folder; None if its training has not saved any.

    Where `last` was removed, that is `prev`.

    Raises:
        ArtifactError: it is corrupt or of another version; the message says how to go on from the
            one before, if there is one.
    """
    pointer = next((name for name in ("last", "prev") if (folder / name).is_file()), None)
    if pointer is None:
        return None
    try:
        return _read(read_pointer(folder, pointer))
    except ArtifactError as err:
        raise ArtifactError(f"{err}; {_way_out(folder, pointer)}") from err


def _way_out(folder: Path, pointer: str) -> str:
    try:
        older = None if pointer == "prev" else _read(read_pointer(folder, "prev"))
    except ArtifactError:
        older = None
    if older is None:
        overwrite = words(python="RunOptions(overwrite=True)", option="--overwrite")
        return f"there is no older state: train again with {overwrite}"
    return f"to go on from the state before it, {older.name}, remove {folder / 'last'}"


def _write(path: Path, state: TrainingState) -> None:
    tensors = {name: tensor.detach().to("cpu").clone() for name, tensor in state.tensors.items()}
    check_space(path, sum(tensor.nbytes for tensor in tensors.values()))
    facts = {name: value for name, value in vars(state).items() if name != "tensors"}

    def write_tensors(file: Path) -> None:
        save_file(tensors, file)

    def write_facts(file: Path) -> None:
        file.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    write_folder(path, {TENSORS: write_tensors, FACTS: write_facts}, kind=KIND, version=VERSION)


def _read(path: Path) -> TrainingState:
    manifest = read_manifest(path, KIND, newest_version=VERSION)
    if manifest.version < VERSION:
        raise ArtifactError(
            f"{path}: format version {manifest.version} written by {manifest.made_by}, expected "
            f"{VERSION}; go on with the dllm2rec that wrote it"
        )
    facts = read_json(path / FACTS, _FACTS, "the state of a training")
    try:
        state = TrainingState(tensors=load_file(path / TENSORS), **vars(facts))
    except (OSError, SafetensorError) as err:
        raise ArtifactError(f"{path}: {err}, expected the state of a training") from err
    for name, tensor in state.tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ArtifactError(f"E-CKPT-NONFINITE {path}: NaN or infinity in {name}")
    return state
