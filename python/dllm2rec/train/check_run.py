"""All that must be right before a run is begun, checked together and before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from dllm2rec.batches.training_data import no_vectors
from dllm2rec.config.model import Config, StudentConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.distill.choose_loss import list_meaning, mixed_faults
from dllm2rec.distill.teacher_lists import list_faults
from dllm2rec.errors import ConfigError, Dllm2RecError, InputError, all_at_once
from dllm2rec.runs.source import Source
from dllm2rec.runtime.device import check_compiler, choose_device
from dllm2rec.runtime.distributed import is_first, size
from dllm2rec.storage.output_folder import check_output
from dllm2rec.students.build import student_faults
from dllm2rec.teacher.knowledge import TeacherKnowledge, check_teacher
from dllm2rec.train.sharded.faults import shard_faults
from dllm2rec.train.train_student import student_config

STUDENTS: tuple[str, ...] = get_args(StudentConfig.model_fields["name"].annotation)
MAX_SEED = 2**63


@dataclass(frozen=True)
class RunOptions:
    """What a run may be asked for besides its configuration.

    Attributes:
        baseline: also train each student without the teacher.
        n_seeds: train `train.seed` and the following ones; the table has their means and
            deviations.
        source: where dataset and teacher were read, kept in `run.json` so that `evaluate_run` finds
            the dataset again; by default the folders that they know they are from.
        overwrite: replace a run that is in the folder.
        teacher_ms: milliseconds that the teacher takes for one list, where they are known: what was
            won is then told with its cost.
    """

    baseline: bool = True
    n_seeds: int = 1
    source: Source | None = None
    overwrite: bool = False
    teacher_ms: float | None = None


def check_run(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    students: Sequence[str],
    options: RunOptions,
    folder: Path | None = None,
) -> None:
    """Refuse a run that could not be finished, naming everything that stands in its way.

    Nothing is trained, written or put on a device.

    Args:
        config: for all students.
        dataset: what to learn from.
        teacher: or None.
        students: names of `student.name`.
        options: what else is asked for.
        folder: to be written, if any.

    Raises:
        ConfigError, InputError: what was found, all of it where there is more than one thing.
        ResourceError: the folder cannot be written to.
    """
    faults = [
        *_dataset_faults(config, dataset),
        *_student_faults(config, dataset, teacher, students, options),
        *_teacher_faults(config, dataset, teacher),
        *_process_faults(config, options),
    ]
    if folder is not None and is_first():
        faults += _refusal(lambda: check_output(folder, overwrite=options.overwrite))
    if faults:
        raise all_at_once(list({str(fault): fault for fault in faults}.values()))


def _refusal(check: Callable[[], object]) -> list[Dllm2RecError]:
    """What a check raises, as a list of at most one."""
    try:
        check()
    except Dllm2RecError as err:
        return [err]
    return []


def _dataset_faults(config: Config, dataset: SequenceDataset) -> Iterator[Dllm2RecError]:
    for name, rows in dataset.splits().items():
        if len(rows) == 0:
            yield InputError(
                f"{dataset.name}: no {name} rows, expected at least one",
                hint='prepare the log with split = "leave_one_out", or give it all three splits'
                + (", or set cut_validation = true" if name == "validation" else ""),
            )
    limits = {"evaluation.ks": max(config.evaluation.ks)}
    if any(config.distillation.ranking_weights):
        limits["distillation.top_k"] = config.distillation.top_k
    for field, value in limits.items():
        if value > dataset.n_items:
            yield ConfigError(
                f"{field}: {value}, expected at most {dataset.n_items}, the items of {dataset.name}"
            )


def _student_faults(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    students: Sequence[str],
    options: RunOptions,
) -> Iterator[Dllm2RecError]:
    if not students:
        yield ConfigError(f"no students, expected some of {', '.join(STUDENTS)}")
    for name in students:
        if name not in STUDENTS:
            yield ConfigError(f"students: {name!r}, expected some of {', '.join(STUDENTS)}")
            continue
        for with_teacher in teacher_choices(teacher, baseline=options.baseline):
            try:
                own = student_config(config, name, with_teacher=with_teacher)
            except ConfigError as err:
                yield err
                continue
            for device in _device(config):
                yield from mixed_faults(own, dataset.n_items, device)
            vectors = None if teacher is None else teacher.item_embeddings
            has_vectors = vectors is not None and own.distillation.projects
            yield from student_faults(
                own.student,
                dataset.max_length,
                own.distillation.embedding_sides if has_vectors else "both",
                has_vectors=has_vectors,
                variant=own.variant,
            )
            yield from shard_faults(own, dataset.n_items, has_teacher=with_teacher)


def _device(config: Config) -> Iterator[torch.device]:
    """Where the training is to be, if that is there: `_process_faults` says what is not."""
    with suppress(Dllm2RecError):
        yield choose_device(config.train.device)


def _teacher_faults(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> Iterator[Dllm2RecError]:
    if teacher is None:
        return
    misfit = _refusal(lambda: check_teacher(teacher, dataset))
    yield from misfit
    distillation = config.distillation
    if any(distillation.ranking_weights) and not misfit:
        yield from list_faults(dataset.n_items, teacher, distillation, list_meaning(config))
    if distillation.embedding_weight > 0 and teacher.item_embeddings is None:
        yield no_vectors()
    if not distillation.item_offset and not distillation.projects:
        yield ConfigError(
            "distillation.item_offset = false without projected vectors, expected "
            'embedding_weight above 0 and embedding_method = "projection": items would have no '
            "vector at all"
        )


def _process_faults(config: Config, options: RunOptions) -> Iterator[Dllm2RecError]:
    yield from _refusal(lambda: check_compiler(choose_device(config.train.device)))
    if config.variant == "authors" and size() > 1:
        yield ConfigError(
            f"variant = authors in {size()} processes, expected one: its loss of a row depends on "
            "the other rows of the batch; start it without torchrun"
        )
    if config.distillation.embedding_method == "htd" and size() > 1:
        yield ConfigError(
            f"distillation.embedding_method = htd in {size()} processes, expected one: its loss of "
            "a row depends on the other rows of the batch; start it without torchrun"
        )
    if options.teacher_ms is not None and not 0 < options.teacher_ms < math.inf:
        yield ConfigError(f"teacher_ms = {options.teacher_ms}, expected milliseconds above 0")
    if options.n_seeds < 1:
        yield ConfigError(f"n_seeds = {options.n_seeds}, expected at least 1")
    if config.train.seed + options.n_seeds > MAX_SEED:
        yield ConfigError(
            f"train.seed = {config.train.seed} and {options.n_seeds} seeds, expected the last one "
            f"below {MAX_SEED}"
        )


def teacher_choices(teacher: TeacherKnowledge | None, *, baseline: bool) -> Iterator[bool]:
    """Whether each training of a student is with the teacher, in their order."""
    if baseline or teacher is None:
        yield False
    if teacher is not None:
        yield True
