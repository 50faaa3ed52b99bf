"""A run: every student without and with the teacher, on the same rows, in one folder and one table.

A run's folder holds `config.toml`, `run.json` (what it was made from), `items.parquet` (what an
index stands for), `results.json` (the table), `report.html` (all of it as a page) and a folder for
each student with its metrics epoch by epoch, its best checkpoint and the state of its training.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import torch

from dllm2rec.batches.device_splits import device_splits
from dllm2rec.batches.training_data import training_data
from dllm2rec.caller import one_or_more
from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.catalogue_file import save_catalogue
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.baselines import (
    fit_window_counts,
    popularity_counts,
    teacher_quality,
)
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.report.curves import load_plots_ahead
from dllm2rec.report.page import write_report
from dllm2rec.runs.run_manifest import (
    RunManifest,
    data_fingerprints,
    new_manifest,
    read_config,
    write_manifest,
)
from dllm2rec.runs.run_result import RunResult, write_result
from dllm2rec.runs.source import Source
from dllm2rec.runtime.device import choose_device, deterministic, device_name
from dllm2rec.runtime.distributed import check_agreed, is_first, size, wait_for_all
from dllm2rec.runtime.signals import interrupts
from dllm2rec.storage.atomic_folder import replace_text
from dllm2rec.storage.output_folder import check_output, clear_output, locked
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import ResultRow
from dllm2rec.tracking.progress import Progress, Silent
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import selection_ks
from dllm2rec.train.train_student import student_config, train_student


@dataclass(frozen=True)
class RunOptions:
    """What a run may be asked for besides its configuration.

    Attributes:
        baseline: also train each student without the teacher.
        n_seeds: train `train.seed` and the following ones; the table has their means and
            deviations.
        source: where dataset and teacher were read, kept in `run.json` so that `evaluate_run` finds
            the dataset again; None where it has to be given one.
        overwrite: replace a run that is in the folder.
    """

    baseline: bool = True
    n_seeds: int = 1
    source: Source | None = None
    overwrite: bool = False


def train_run(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: str | Path,
    *,
    students: str | Iterable[str],
    options: RunOptions | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Train each student without and with the teacher and write the run's folder.

    Args:
        config: for all students; each takes its own name and, alone, no teacher.
        dataset: what to learn from.
        teacher: None trains the students alone.
        folder: new or empty; no other process may write to it meanwhile.
        students: names of `student.name`, one or several.
        options: what else is asked for; by default nothing.
        progress: receives how it goes; by default nothing does.

    Returns:
        The table: settings chosen on validation, the test rows scored once.

    Raises:
        ConfigError: the device asked for is not there, a K exceeds the catalogue, or the folder
            holds something.
        InputError: a split has no rows, or the configuration needs what the teacher lacks.
        ArtifactError: another process writes to the folder.
        NonFiniteError: a loss stopped being finite.
        ResourceError: the disk is full.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, once the state of the run is saved.
    """
    options, folder = options or RunOptions(), Path(folder)
    students = tuple(dict.fromkeys(one_or_more(students, str)))
    progress = progress or Silent()
    device = choose_device(config.train.device)
    check_fit(config, dataset)
    manifest = new_manifest(
        config,
        dataset,
        teacher,
        device,
        students=students,
        baseline=options.baseline,
        n_seeds=options.n_seeds,
        source=options.source,
    )
    check_agreed(
        lambda: f"{data_fingerprints(dataset, teacher)} {config_to_toml(config)}",
        "dataset, teacher or settings",
    )
    if is_first():
        check_output(folder, overwrite=options.overwrite)
    with locked(folder) if is_first() else nullcontext():
        if is_first():
            clear_output(folder)
            replace_text(folder / "config.toml", config_to_toml(config))
            save_catalogue(folder, dataset.catalogue, dataset.target_counts())
            write_manifest(folder, manifest)
            progress.run(manifest.as_json())
        return train_students(manifest, dataset, teacher, folder, device, progress)


def train_students(
    manifest: RunManifest,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: Path,
    device: torch.device,
    progress: Progress,
) -> RunResult:
    """Train the students of a run that have no result yet, and write its table.

    Args:
        manifest: the run's, as are `dataset`, `teacher` and `folder`.
        dataset: what to learn from.
        teacher: or None.
        folder: locked by this process.
        device: where to train.
        progress: receives how it goes.
    """
    began = time.perf_counter()
    config = read_config(folder, manifest)
    with deterministic(), interrupts() as signals, background_thread() as (pool, stop):
        baselines = pool.submit(baseline_rows, dataset, teacher, selection_ks(config), stop)
        if device.type == "cpu":
            baselines.result()  # beside a GPU's training, but not where it needs the same cores
        else:
            pool.submit(load_plots_ahead)  # where that fails, the report will say so
        splits = device_splits(config, dataset, device)
        contexts = {}
        for with_teacher in teacher_choices(teacher, baseline=manifest.baseline):
            knowledge = teacher if with_teacher else None
            # All students read the same: only their names differ.
            any_student = student_config(config, config.student.name, with_teacher=with_teacher)
            data = training_data(any_student, splits, knowledge)
            contexts[with_teacher] = TrainingContext(dataset, knowledge, data, progress, signals)
        trained = [
            train_student(
                student_config(config, name, with_teacher=with_teacher),
                context,
                folder,
                n_seeds=manifest.n_seeds,
            )
            for name in manifest.students
            for with_teacher, context in contexts.items()
        ]
        rows = baselines.result() + trained
    result = RunResult(
        folder=str(folder),
        dataset=dataset.name,
        n_items=dataset.n_items,
        n_train=len(dataset.train),
        n_validation=len(dataset.validation),
        n_test=len(dataset.test),
        exclude_seen=config.evaluation.exclude_seen,
        device=device_name(device),
        seconds=time.perf_counter() - began,
        rows=rows,
        notes=[*dataset.notes, *([] if teacher is None else teacher.notes), *manifest.notes],
    )
    if is_first():
        write_result(folder, result)
        write_report(folder)
        progress.results(result.table("test"))
    wait_for_all("the run: written")
    return result


@contextmanager
def background_thread() -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """A thread beside the training, and an event that stops its work if the block fails."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool, stop
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_fit(config: Config, dataset: SequenceDataset) -> None:
    """Refuse what only the dataset or the processes show to be impossible, before any work."""
    if config.variant == "authors" and size() > 1:
        raise ConfigError(
            f"variant = authors in {size()} processes, expected one: its loss of a row depends on "
            "the other rows of the batch; start it without torchrun"
        )
    for name, rows in dataset.splits().items():
        if len(rows) == 0:
            raise InputError(f"{dataset.name}: no {name} rows, expected at least one")
    limits = {"evaluation.ks": max(config.evaluation.ks)}
    if any(config.distillation.ranking_weights):
        limits["distillation.top_k"] = config.distillation.top_k
    for field, value in limits.items():
        if value > dataset.n_items:
            raise ConfigError(
                f"{field}: {value}, expected at most {dataset.n_items}, the items of {dataset.name}"
            )


def teacher_choices(teacher: TeacherKnowledge | None, *, baseline: bool) -> Iterator[bool]:
    """Whether each training of a student is with the teacher, in their order."""
    if baseline or teacher is None:
        yield False
    if teacher is not None:
        yield True


def baseline_rows(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    ks: tuple[int, ...],
    stop: Event | None = None,
) -> list[ResultRow]:
    """Popularity, window counts and, where its lists are known, the teacher itself.

    Raises:
        CancelledError: `stop` was set before the end.
    """
    splits = (dataset.validation, dataset.test)
    fitted = fit_window_counts(dataset, stop)
    popular = (rank_metrics(popularity_counts(dataset, rows), ks) for rows in splits)
    counted = (rank_metrics(fitted.rank_counts(rows, stop), ks) for rows in splits)
    detail = {"power": fitted.power, "constant": fitted.constant}
    results = [
        ResultRow("popularity", next(popular), next(popular)),
        ResultRow("window counts", next(counted), next(counted), detail),
    ]
    quality = {} if teacher is None else teacher_quality(teacher, dataset, ks)
    if "test" in quality:
        results.append(ResultRow("teacher", quality.get("validation", {}), quality["test"]))
    return results
