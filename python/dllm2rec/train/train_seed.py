"""One seed of a student: its trials are trained, from the start or a saved state."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.errors import ArtifactError
from dllm2rec.evaluate.choose_memory import choose_memory
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runs.checkpoint import REFIT, Checkpoint, load_checkpoint, save_checkpoint
from dllm2rec.runs.run_result import RESULT_FILE, read_row, write_row
from dllm2rec.runs.training_state import TrainingState, load_state
from dllm2rec.runs.trial import Trial, trial_of, trials
from dllm2rec.runtime.distributed import (
    OthersEndedError,
    broadcast_from_first,
    is_first,
    wait_for_all,
)
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.storage.pointers import delete_unnamed, pointers_of_weights
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import ResultRow
from dllm2rec.tracking.progress import Progress, TrainingName
from dllm2rec.train.checkpointer import Checkpointer
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import Record, Training, selection_ks, walk
from dllm2rec.train.refit import refit


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
    checkpointer = Checkpointer(
        folder,
        context.interrupts,
        context.dataset.max_length,
        records,
        keeps_each_weight=_chooses_with_memory(config),
    )
    for trial in _trials_left(seed_run, state, checkpointer.records):
        progress.start(
            _training_name(seed_run, trial),
            config.train.max_epochs,
            [record for record in checkpointer.records if trial.is_of(record)],
        )
        training = context.new_training(trial.config(config))
        if state is not None and state.trial == trial:
            _resume(training, state, folder)
        with context.interrupts.deferred():
            yield from _train_to_end(training, progress, checkpointer)
        reached = max(record[SELECTION] for record in training.records)
        progress.finish(f"validation {SELECTION} {reached:.4f}")
        del training  # its memory, before the chosen student is loaded
    wait_for_all(f"{seed_run.name}: saved")
    checkpoint = _chosen(seed_run, context)
    if config.train.refit and REFIT not in checkpoint.record:
        checkpoint = yield from _refitted(seed_run, checkpoint, context)
    result = _result(seed_run, checkpoint, context, checkpointer.records)
    if is_first():
        write_row(folder, result)
        for pointer in ("prev", *pointers_of_weights(folder)):
            (folder / pointer).unlink(missing_ok=True)
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


def _trials_left(
    seed_run: SeedRun, state: TrainingState | None, records: Sequence[Record]
) -> Iterator[Trial]:
    """The trials from the one under way.

    Raises:
        ArtifactError: that one is none of the configuration's.
    """
    under_way = None if state is None else state.trial
    for trial in trials(seed_run.config, records):
        if under_way in (None, trial):
            under_way = None
            yield trial
    if under_way is not None:
        raise ArtifactError(
            f"{seed_run.folder}: its training is {under_way}, expected one of this configuration; "
            "train again in another folder"
        )


def _training_name(seed_run: SeedRun, trial: Trial) -> TrainingName:
    """What a training is called: the values that others of its student do not have."""
    student, distillation = seed_run.config.student, seed_run.config.distillation
    return TrainingName(
        seed_run.name,
        dropout=trial.dropout if len(student.dropouts) > 1 else None,
        ranking_weight=trial.ranking_weight if len(distillation.ranking_weights) > 1 else None,
        seed=seed_run.seed,
    )


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


def _resume(training: Training, state: TrainingState, folder: Path) -> None:
    """Resume a new training from a saved state."""
    ours = training.config.model_dump(mode="json")
    # What a state of before a setting was there does not say has its default: it changed nothing.
    defaults = _flat(Config().model_dump(mode="json"))
    theirs = {**defaults, "n_items": state.n_items, **_flat(state.config)}
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


def _chooses_with_memory(config: Config) -> bool:
    """Whether the ranking weight is chosen by what students reach with their memories.

    Lists and memory may tell a student the same.
    """
    return config.student.pair_memory and len(config.distillation.ranking_weights) > 1


def _chosen(seed_run: SeedRun, context: TrainingContext) -> Checkpoint:
    """The best checkpoint, with the memory that helps it on validation."""
    folder = seed_run.folder
    best = load_checkpoint(folder)
    # A memory or a refit that is there was saved by a process that was killed after it.
    is_chosen = best.memory is not None or REFIT in best.record
    if is_chosen or not best.config.student.pair_memory:
        best.student.to(context.device)
        return best
    # None of a run that began before they were kept.
    pointers = pointers_of_weights(folder) or ["best"]
    tried = (load_checkpoint(folder, pointer) for pointer in pointers)
    chosen = max(
        (_with_memory(seed_run, one, context) for one in tried),
        key=lambda checkpoint: checkpoint.record[SELECTION],
    )
    if is_first() and (chosen.memory is not None or len(pointers) > 1):
        place = f"{trial_of(chosen.config)}-epoch-{chosen.record['epoch']:.0f}"
        save_checkpoint(folder, f"{place}-chosen", chosen)
    return chosen


def _refitted(
    seed_run: SeedRun, chosen: Checkpoint, context: TrainingContext
) -> Generator[None, None, Checkpoint]:
    """The chosen checkpoint trained again on validation rows too, saved."""
    began = time.perf_counter()
    checkpoint = yield from refit(chosen, context)
    n_epochs = checkpoint.record[REFIT]
    if is_first():
        save_checkpoint(seed_run.folder, f"refit-epoch-{n_epochs:.0f}", checkpoint)
    context.progress.remark(
        TrainingName(seed_run.name, seed=seed_run.seed),
        f"trained again on train and validation rows for {n_epochs:.0f} epochs "
        f"({time.perf_counter() - began:.1f} s)",
    )
    return checkpoint


def _result(
    seed_run: SeedRun,
    checkpoint: Checkpoint,
    context: TrainingContext,
    records: Sequence[Record],
) -> ResultRow:
    """Score the checkpoint on the test rows: the only place of a run that reads those."""
    may_remember = checkpoint.config.student.pair_memory
    test = _metrics(checkpoint, context.data.events.rows(context.dataset.test))
    record = checkpoint.record
    chosen = trial_of(checkpoint.config)._asdict()
    if len(seed_run.config.student.dropouts) == 1:
        del chosen["dropout"]
    memory_weight = 0.0 if checkpoint.memory is None else checkpoint.memory.form.weight
    return ResultRow(
        name=seed_run.name,
        validation={key: record[key] for key in test},
        test=test,
        detail={
            "epoch": record["epoch"],
            **chosen,
            **({"memory_weight": memory_weight} if may_remember else {}),
            **({REFIT: record[REFIT]} if REFIT in record else {}),
            "train_s_per_epoch": record["train_s"],
            "answer_ms": 1000 * record["validation_s"] / len(context.dataset.validation),
            "seconds": sum(one["train_s"] + one["validation_s"] for one in records),
        },
    )


def _with_memory(seed_run: SeedRun, alone: Checkpoint, context: TrainingContext) -> Checkpoint:
    """The checkpoint with the memory that helps it most on validation; or as it is."""
    began = time.perf_counter()
    alone.student.to(context.device)
    validation = context.data.validation
    seen = alone.config.evaluation.exclude_seen
    memory = choose_memory(alone.student, validation, context.pair_counts(), seen=seen)
    checkpoint, text = alone, "no pair memory: it adds too little on validation"
    if memory is not None:
        # Chosen on a part of the rows where there are very many; kept where all of them agree.
        remembering = replace(alone, memory=memory)
        metrics = _metrics(remembering, validation)
        before, after = alone.record[SELECTION], metrics[SELECTION]
        if after > before:
            checkpoint = replace(remembering, record={**alone.record, **metrics})
            reached = f"validation {SELECTION} {before:.4f} -> {after:.4f}"
            text = f"pair memory ({memory.form}): {reached}"
    name = _training_name(seed_run, trial_of(alone.config))
    context.progress.remark(name, f"{text} ({time.perf_counter() - began:.1f} s)")
    return checkpoint


def _metrics(checkpoint: Checkpoint, rows: DeviceRows) -> dict[str, float]:
    """What a checkpoint reaches on some rows."""
    counts = split_counts(
        checkpoint.student,
        rows,
        exclude_seen=checkpoint.config.evaluation.exclude_seen,
        memory=checkpoint.memory,
    )
    return rank_metrics(counts, selection_ks(checkpoint.config))
