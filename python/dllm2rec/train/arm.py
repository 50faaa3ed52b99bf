"""One student, with or without the teacher: each ranking weight is trained, validation chooses."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dllm2rec.artifact import replace_text
from dllm2rec.checkpoint import load_checkpoint, save_checkpoint
from dllm2rec.config import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.split import split_counts
from dllm2rec.progress import Progress, TrainingName
from dllm2rec.settings import changed, config_to_toml
from dllm2rec.students import Student, build_student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.batches import (
    leaves_out_unseen,
    negative_sampler,
    seen_items,
    train_rows,
    training_rows,
)
from dllm2rec.train.loop import SELECTION, Task, fit, selection_ks

# `last` is for a person who looks in while a run goes on; `best` is saved whenever it improves.
SAVE_LAST_EVERY_S = 30.0
METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class ResultRow:
    """One line of a run's table.

    Attributes:
        name: `popularity`, `window counts`, `teacher`, `sasrec`, `sasrec + dllm2rec`, ...
        validation: metrics by name, such as `ndcg@20`.
        test: the same on the test rows.
        detail: what else there is to say: the epoch, the ranking weight, seconds.
    """

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    detail: dict[str, float] = field(default_factory=dict)


def arm_config(config: Config, student: str, *, with_teacher: bool) -> Config:
    """The configuration of one student with or without the teacher; all else stays as it is."""
    if with_teacher:
        return changed(config, student={"name": student})
    return changed(
        config,
        student={"name": student},
        distillation={"ranking_weight": 0.0, "embedding_weight": 0.0},
    )


def arm_name(config: Config, *, with_teacher: bool) -> str:
    """How tables call a student: `sasrec`, `sasrec+dros`, with ` + dllm2rec` if it was taught."""
    loss = "+dros" if config.loss.dro_weight > 0 else ""
    return f"{config.student.name}{loss}{' + dllm2rec' if with_teacher else ''}"


def train_arm(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    run_folder: Path,
    device: torch.device,
    progress: Progress,
) -> ResultRow:
    """Train one student for each ranking weight, keep what validation likes best, test it once.

    Its folder is `run_folder/<name>` with blanks left out: `sasrec`, `sasrec+dllm2rec`, ...

    Raises:
        InputError: the configuration needs what the teacher or the dataset does not have.
        NonFiniteError: a loss stopped being finite.
        ResourceError: the disk is full.
    """
    began = time.perf_counter()
    name = arm_name(config, with_teacher=teacher is not None)
    folder = run_folder / name.replace(" ", "")
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / "config.toml", config_to_toml(config))
    replace_text(folder / METRICS_FILE, "")
    weights = config.distillation.ranking_weights
    best = -1.0
    for weight in weights:
        training = TrainingName(name, ranking_weight=weight if len(weights) > 1 else None)
        progress.start(training, config.train.max_epochs)
        one = changed(config, distillation={"ranking_weight": weight})
        reached = _train_one(one, dataset, teacher, folder, device, progress, best)
        progress.finish(f"validation {SELECTION} {reached:.4f}")
        best = max(best, reached)
    return _test_best(dataset, folder, device, name, time.perf_counter() - began)


def _train_one(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: Path,
    device: torch.device,
    progress: Progress,
    to_beat: float,
) -> float:
    """Train one student, saving each epoch that beats all before; return its own best score."""
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    task = make_task(config, dataset, teacher, device)
    weight = config.distillation.ranking_weights[0]
    record: dict[str, float] = {}
    best, saved_last = -1.0, time.monotonic()

    def save(*pointers: str) -> None:
        save_checkpoint(
            folder,
            f"weight-{weight:g}-epoch-{record['epoch']:.0f}",
            student,
            config,
            record,
            n_items=dataset.n_items,
            max_length=dataset.max_length,
            pointers=pointers,
        )

    with (folder / METRICS_FILE).open("a", encoding="utf-8") as log:
        for record in fit(student, task, config, progress):
            log.write(json.dumps({"ranking_weight": weight, **record}) + "\n")
            log.flush()
            best = max(best, record[SELECTION])
            if best > to_beat:
                to_beat = best
                save("best", "last")
            elif time.monotonic() - saved_last > SAVE_LAST_EVERY_S:
                saved_last = time.monotonic()
                save("last")
    save("last")
    return best


def make_student(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> Student:
    """Build the student that a configuration describes, fresh weights from torch's generator.

    Raises:
        InputError: embedding distillation is asked for and the teacher has no embeddings.
    """
    distillation = config.distillation
    embeddings: Tensor | None = None
    if distillation.embedding_weight > 0:
        if teacher is None or teacher.item_embeddings is None:
            raise InputError(
                "embedding distillation without item embeddings, expected the teacher's",
                hint="add all_embeddings.pt to the teacher's folder, or set "
                "distillation.embedding_weight = 0",
            )
        embeddings = torch.from_numpy(teacher.item_embeddings)
    return build_student(
        config.student,
        n_items=dataset.n_items,
        max_length=dataset.max_length,
        teacher_embeddings=embeddings,
        embedding_weight=distillation.embedding_weight,
        embedding_sides=distillation.embedding_sides,
        variant=config.variant,
        known_items=torch.from_numpy(seen_items(dataset)) if leaves_out_unseen(config) else None,
    )


def make_task(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> Task:
    """Put on the device what the loop reads."""
    return Task(
        rows=training_rows(dataset, teacher, config, device),
        validation=device_rows(dataset, dataset.validation, device),
        target_counts=torch.from_numpy(dataset.target_counts()).to(device),
        sampler=negative_sampler(dataset, config.loss, train_rows(dataset, config)),
        row_names=f"{dataset.name} train rows",
    )


def _test_best(
    dataset: SequenceDataset, folder: Path, device: torch.device, name: str, seconds: float
) -> ResultRow:
    """Score the best checkpoint on the test rows: the only place of a run that reads them."""
    checkpoint = load_checkpoint(folder)
    ks = selection_ks(checkpoint.config)
    counts = split_counts(
        checkpoint.student.to(device),
        device_rows(dataset, dataset.test, device),
        exclude_seen=checkpoint.config.evaluation.exclude_seen,
    )
    metric_names = rank_metrics(counts, ks)
    record = checkpoint.record
    return ResultRow(
        name=name,
        validation={key: record[key] for key in metric_names},
        test=metric_names,
        detail={
            "epoch": record["epoch"],
            "ranking_weight": checkpoint.config.distillation.ranking_weights[0],
            "train_s_per_epoch": record["train_s"],
            "seconds": seconds,
        },
    )
