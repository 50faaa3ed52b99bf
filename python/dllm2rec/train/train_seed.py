"""One seed of a student: trained for each ranking weight, from the start or a saved state."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dllm2rec.batches.training_data import make_student
from dllm2rec.config.load import changed, config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.errors import ArtifactError
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.run_result import RESULT_FILE, read_row, write_row
from dllm2rec.runs.training_state import TrainingState, load_state
from dllm2rec.runtime.distributed import (
    OthersEndedError,
    broadcast_from_first,
    is_first,
    wait_for_all,
)
from dllm2rec.storage.atomic_folder import replace_text
from dllm2rec.storage.pointers import delete_unnamed
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import ResultRow
from dllm2rec.tracking.progress import Progress, TrainingName
from dllm2rec.train.checkpointer import Checkpointer
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import Record, Training, selection_ks, walk


@dataclass(frozen=True)
class SeedRun:
    """One seed of a student: what tables call it, its folder and its configuration."""

    name: str
    folder: Path
    config: Config
    seed: int | None = None  # None where the run has only one

    def is_done(self) -> bool:
        """Whether its result is there."""
        return broadcast_from_first(lambda: str((self.folder / RESULT_FILE).is_file())) == str(True)

    def result(self) -> ResultRow:
        """Its line of the table."""
        return read_row(self.folder)


def train_seed(seed_run: SeedRun, context: TrainingContext) -> Generator[None, None, None]:
    """Train one seed to its `result.json`, yielding after every step."""
    folder, config, progress = seed_run.folder, seed_run.config, context.progress
    if is_first():
        _clean(folder)
        replace_text(folder / "config.toml", config_to_toml(config))
    wait_for_all(f"{seed_run.name}: starting")
    state = load_state(folder)
    records = [] if state is None else state.records
    checkpointer = Checkpointer(folder, context.interrupts, context.dataset.max_length, records)
    only = len(config.distillation.ranking_weights) == 1
    for weight in _weights_left(config, state):
        one = changed(config, distillation={"ranking_weight": weight})
        progress.start(
            TrainingName(
                seed_run.name, ranking_weight=None if only else weight, seed=seed_run.seed
            ),
            config.train.max_epochs,
            [record for record in checkpointer.records if record["ranking_weight"] == weight],
        )
        training = new_training(one, context)
        if state is not None and state.ranking_weight == weight:
            _resume(training, state, folder)
        with context.interrupts.deferred():
            yield from _train_to_end(training, progress, checkpointer)
        reached = max(record[SELECTION] for record in training.records)
        progress.finish(f"validation {SELECTION} {reached:.4f}")
    wait_for_all(f"{seed_run.name}: saved")
    test_rows = context.data.events.rows(context.dataset.test)
    result = _test_best(test_rows, folder, seed_run.name, checkpointer.records)
    if is_first():
        write_row(folder, result)
        (folder / "prev").unlink(missing_ok=True)
        delete_unnamed(folder)
    wait_for_all(f"{seed_run.name}: done")


def _clean(folder: Path) -> None:
    """Remove from a student's folder all that an interrupted training cannot be resumed from.

    Raises:
        ArtifactError: its state is corrupt, or its best student so far is.
    """
    state = load_state(folder)
    if state is None and folder.is_dir():
        shutil.rmtree(folder)  # it died before it saved a state
    folder.mkdir(parents=True, exist_ok=True)
    delete_unnamed(folder)
    if state is not None and state.records:
        load_checkpoint(folder)  # refused now, not after the training


def _weights_left(config: Config, state: TrainingState | None) -> tuple[float, ...]:
    """The ranking weights from the one under way."""
    weights = config.distillation.ranking_weights
    if state is None or state.ranking_weight not in weights:
        return weights
    return weights[weights.index(state.ranking_weight) :]


def _train_to_end(
    training: Training, progress: Progress, checkpointer: Checkpointer
) -> Iterator[None]:
    """Train to the end, or until a signal comes; either way the state is saved."""
    try:
        for record in walk(training, progress, checkpointer):
            if record:
                checkpointer.after_epoch(training, record)
            else:
                yield
    except (KeyboardInterrupt, SystemExit):
        checkpointer.save_interrupted(training)
        raise
    except OthersEndedError:
        # On the CPU the step that failed has changed nothing; on CUDA it may have.
        if training.device.type == "cpu":
            checkpointer.save_interrupted(training)
        raise
    checkpointer.save_state(training)


def new_training(config: Config, context: TrainingContext) -> Training:
    """A training of one ranking weight before its first step: weights from the seed."""
    torch.manual_seed(config.train.seed)
    student = make_student(config, context.dataset, context.teacher).to(context.device)
    weight = max(config.distillation.ranking_weights)
    return Training(student, context.data.for_ranking_weight(weight), config)


def _resume(training: Training, state: TrainingState, folder: Path) -> None:
    """Resume a new training from a saved state."""
    ours = training.config.model_dump(mode="json")
    theirs = {"n_items": state.n_items, **_flat(state.config)}
    for key, value in {"n_items": training.student.n_items, **_flat(ours)}.items():
        # A training may be resumed on another device than it began on.
        if key != "train.device" and theirs.get(key) != value:
            raise ArtifactError(
                f"{folder}: its training has {key} = {theirs.get(key)}, expected {value}; "
                "train again in another folder"
            )
    training.load(state)


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """`section.field` of a configuration's plain values."""
    sections = {key: value for key, value in config.items() if isinstance(value, dict)}
    flat = {
        f"{key}.{field}": v for key, section in sections.items() for field, v in section.items()
    }
    return {**flat, **{key: value for key, value in config.items() if key not in sections}}


def _test_best(rows: DeviceRows, folder: Path, name: str, records: Sequence[Record]) -> ResultRow:
    """Score the best checkpoint on the test rows: the only place of a run that reads them."""
    checkpoint = load_checkpoint(folder)
    ks = selection_ks(checkpoint.config)
    counts = split_counts(
        checkpoint.student.to(rows.events.device),
        rows,
        exclude_seen=checkpoint.config.evaluation.exclude_seen,
    )
    test = rank_metrics(counts, ks)
    record = checkpoint.record
    return ResultRow(
        name=name,
        validation={key: record[key] for key in test},
        test=test,
        detail={
            "epoch": record["epoch"],
            "ranking_weight": checkpoint.config.distillation.ranking_weights[0],
            "train_s_per_epoch": record["train_s"],
            "seconds": sum(one["train_s"] + one["validation_s"] for one in records),
        },
    )
