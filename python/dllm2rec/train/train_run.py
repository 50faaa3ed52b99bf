"""A run: every student without and with the teacher, on the same rows, in one folder and one table.

A run's folder holds `config.toml`, `run.json` (what it was made from), `items.parquet` (what an
index stands for), `results.json` (the table), `card.json` (all of these in one file),
`test-rows.jsonl` (how often those were scored), `evidence.json` (lists with titles and what else
the page shows), `report.html` (all of it as a page) and a folder for each student with its metrics
epoch by epoch, its best checkpoint and the state of its training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event

import torch

from dllm2rec.batches.device_splits import device_splits
from dllm2rec.batches.training_data import TrainingData, training_data
from dllm2rec.caller import one_or_more
from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.catalogue_file import save_catalogue
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.choose_memory import count_train_pairs
from dllm2rec.report.conclusion import UNTRAINED
from dllm2rec.report.curves import load_plots_ahead
from dllm2rec.report.evidence import write_evidence
from dllm2rec.report.gather_evidence import gather_evidence
from dllm2rec.report.page import write_report
from dllm2rec.runs.held_out_log import log_opening
from dllm2rec.runs.run_card import new_card, write_card
from dllm2rec.runs.run_manifest import (
    CONFIG_FILE,
    RunManifest,
    data_fingerprints,
    new_manifest,
    read_config,
    with_files,
    write_manifest,
)
from dllm2rec.runs.run_result import RESULT_FILE, RunResult, write_result
from dllm2rec.runs.source import Source
from dllm2rec.runs.trial import most_trials
from dllm2rec.runtime.device import choose_device, deterministic, device_name
from dllm2rec.runtime.distributed import check_agreed, is_first, wait_for_all
from dllm2rec.runtime.hardware import EnergyMeter
from dllm2rec.runtime.signals import interrupts
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.storage.output_folder import clear_output, locked_anew
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.teacher.leak import leak_notes
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import ResultRow
from dllm2rec.tracking.printed import as_progress
from dllm2rec.tracking.progress import Outlook, Progress, wait_at_stage
from dllm2rec.train.check_run import RunOptions, check_run, teacher_choices
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import selection_ks
from dllm2rec.train.train_student import student_config, train_student

_log = logging.getLogger(__name__)


def train_run(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: str | Path,
    *,
    students: str | Iterable[str],
    options: RunOptions | None = None,
    progress: Progress | bool = True,
) -> RunResult:
    """Train each student without and with the teacher and write the run's folder.

    Args:
        config: for all students; each takes its own name and, alone, no teacher.
        dataset: what to learn from.
        teacher: None trains the students alone.
        folder: new or empty; no other process may write to it meanwhile.
        students: names of `student.name`, one or several.
        options: what else is asked for; by default nothing.
        progress: receives how it goes; True prints a line per epoch on stderr, False nothing.

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
    progress = as_progress(progress)
    config, lacks = fit_to_teacher(config, teacher)
    check_run(config, dataset, teacher, students, options, folder)
    device = choose_device(config.train.device)
    manifest = new_manifest(
        config,
        dataset,
        teacher,
        device,
        students=students,
        baseline=options.baseline,
        n_seeds=options.n_seeds,
        source=options.source or Source.known(dataset, teacher),
    )
    leaks = [] if teacher is None else leak_notes(teacher, dataset)
    unsaid = [note for note in leaks if teacher is None or note not in teacher.notes]
    manifest = replace(manifest, notes=[*lacks, *unsaid], teacher_ms=options.teacher_ms)
    for note in [*lacks, *leaks] if is_first() else ():
        _log.warning("%s", note)
    check_agreed(
        lambda: f"{data_fingerprints(dataset, teacher)} {config_to_toml(config)}",
        "dataset, teacher or settings",
    )
    told = {*lacks, *leaks}
    for note in [*dataset.notes, *([] if teacher is None else teacher.notes)]:
        if is_first() and note not in told:
            _log.info("%s", note)
    progress.stage(f"preparing {len(dataset.train):,} train rows")
    data = run_data(config, dataset, teacher, device, baseline=options.baseline)
    with locked_anew(folder) if is_first() else ExitStack() as undo:
        if is_first():
            clear_output(folder)
            replace_text(folder / CONFIG_FILE, config_to_toml(config))
            save_catalogue(folder, dataset.catalogue, dataset.target_counts())
            manifest = with_files(manifest, folder)
            write_manifest(folder, manifest)
            progress.run(manifest.as_json())
        undo.pop_all()  # from here on there is something to resume
        return train_students(manifest, dataset, teacher, folder, data, progress)


def run_data(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    *,
    baseline: bool,
) -> dict[bool, TrainingData]:
    """What the students without and with the teacher read, on the device; nothing is written.

    All students read the same: only their names differ.

    Raises:
        InputError: a train row leaves no item to draw as a negative.
    """
    with deterministic():
        splits = device_splits(config, dataset, device)
        return {
            with_teacher: training_data(
                student_config(config, config.student.name, with_teacher=with_teacher),
                splits,
                teacher if with_teacher else None,
            )
            for with_teacher in teacher_choices(teacher, baseline=baseline)
        }


def train_students(
    manifest: RunManifest,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: Path,
    data: Mapping[bool, TrainingData],
    progress: Progress,
) -> RunResult:
    """Train the students of a run that have no result yet, and write its table.

    Args:
        manifest: the run's, as are `dataset`, `teacher` and `folder`.
        dataset: what to learn from.
        teacher: or None.
        folder: locked by this process.
        data: what `run_data` returned.
        progress: receives how it goes.
    """
    began = time.perf_counter()
    config = read_config(folder, manifest)
    device = next(iter(data.values())).target_counts.device
    meter = EnergyMeter(device)
    with deterministic(), interrupts() as signals, background_thread() as (pool, stop):
        baselines = pool.submit(
            baseline_rows,
            dataset,
            teacher,
            selection_ks(config),
            stop,
            exclude_seen=config.evaluation.exclude_seen,
        )
        n_left = _n_left(config, manifest, folder, list(data))
        progress.outlook(Outlook(n_left))
        if device.type == "cpu":
            # Beside a GPU's training, but not where it needs the same cores.
            wait_at_stage(baselines, progress, "scoring popularity and window counts")
        else:
            progress.stage("compiling the training's kernels")
            pool.submit(load_plots_ahead)  # where that fails, the report will say so
        baselines.add_done_callback(lambda done: progress.outlook(_outlook(n_left, done)))
        pair_counts = cache(lambda: count_train_pairs(dataset))
        contexts = {
            with_teacher: TrainingContext(
                dataset, teacher if with_teacher else None, read, pair_counts, progress, signals
            )
            for with_teacher, read in data.items()
        }
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
        evidence = gather_evidence(folder, result, manifest, dataset, teacher, device)
        if evidence is not None:
            write_evidence(folder, evidence)
        log_opening(folder, "train")
        write_card(folder, new_card(folder, manifest, result, dataset, meter.read()))
        write_result(folder, result)  # last but for the page: a run that has it has ended
        write_report(folder)
        progress.results(result.table("test"))
    wait_for_all("the run: written")
    return result


def _n_left(
    config: Config, manifest: RunManifest, folder: Path, with_teachers: Sequence[bool]
) -> int:
    """How many trainings the students that are not done may still take."""
    of_one = {
        with_teacher: most_trials(student_config(config, name, with_teacher=with_teacher))
        for name in manifest.students[:1]
        for with_teacher in with_teachers
    }
    total = sum(of_one.values()) * len(manifest.students) * manifest.n_seeds
    done = [file.parent.name for file in folder.glob(f"*/{RESULT_FILE}")]
    return total - sum(of_one.get("+dllm2rec" in name, 0) for name in done)


def _outlook(n_left: int, baselines: Future[list[ResultRow]]) -> Outlook:
    """The outlook with the row to beat; without it where the baselines failed or were stopped."""
    if baselines.cancelled() or baselines.exception() is not None:
        return Outlook(n_left)
    reached = [
        (row.name, row.validation[SELECTION])
        for row in baselines.result()
        if row.name in UNTRAINED and SELECTION in row.validation
    ]
    return Outlook(n_left, max(reached, key=lambda one: one[1], default=None))


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
