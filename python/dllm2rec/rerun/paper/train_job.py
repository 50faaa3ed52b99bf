"""One line of the table's log: a training, its best epoch on validation scored on test."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.errors import ConfigError, NonFiniteError
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.choose_memory import count_train_pairs
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.rerun.paper.cells import DEFAULT, DEFAULT_ALONE, UNTRAINED
from dllm2rec.rerun.paper.controls import random_teacher, shuffled_teacher
from dllm2rec.rerun.paper.plan import Job
from dllm2rec.runs.source import Source
from dllm2rec.runtime.device import choose_device, deterministic, device_name
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_names import SELECTION, SELECTION_K
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import Record, Training, fit
from dllm2rec.train.train_seed import SeedRun, train_seed

METRICS = (f"hr@{SELECTION_K}", f"ndcg@{SELECTION_K}")
CONTROL_SEED = 0  # of what the controls draw; one teacher for all trainings, as the real one is


class World:
    """The datasets and teachers of a table, each loaded when it is first needed.

    Attributes:
        sources: where each dataset and its teacher are, by the dataset's name.
        scratch: folder for the trainings that keep a state on disk.
    """

    def __init__(self, sources: Mapping[str, Source], scratch: Path) -> None:
        self.sources = dict(sources)
        self.scratch = scratch
        self._datasets: dict[str, SequenceDataset] = {}
        self._teachers: dict[tuple[str, str], TeacherKnowledge] = {}

    def add(self, source: Source) -> str:
        """Open one more dataset and return its name.

        Raises:
            ConfigError: there is one of that name.
        """
        dataset = source.open_dataset()
        if dataset.name in self.sources:
            other = self.sources[dataset.name].dataset
            raise ConfigError(
                f"two datasets called {dataset.name} ({other}, {source.dataset}), expected names "
                "that differ; rename a folder"
            )
        self.sources[dataset.name] = source
        self._datasets[dataset.name] = dataset
        return dataset.name

    def unloaded(self) -> World:
        """The same with nothing in memory, for another process."""
        return World(self.sources, self.scratch)

    def dataset(self, name: str) -> SequenceDataset:
        """A dataset by its name."""
        if name not in self._datasets:
            self._datasets[name] = self.sources[name].open_dataset()
        return self._datasets[name]

    def teacher(self, name: str, kind: str | None) -> TeacherKnowledge | None:
        """A dataset's own teacher, a "random" or a "shuffled" one; None for None."""
        if kind is None:
            return None
        if (name, kind) not in self._teachers:
            self._teachers[name, kind] = self._make_teacher(name, kind)
        return self._teachers[name, kind]

    def _make_teacher(self, name: str, kind: str) -> TeacherKnowledge:
        dataset, rng = self.dataset(name), np.random.default_rng(CONTROL_SEED)
        own = self._teachers.get((name, "own"))
        if own is None:
            own = load_teacher(self.sources[name].teacher or "", dataset)
        if kind == "random":
            return random_teacher(own, dataset.n_items, rng)
        return shuffled_teacher(own, rng) if kind == "shuffled" else own


def train_job(job: Job, world: World) -> dict[str, Any]:
    """Do what a job asks for, and return what the log keeps of it.

    A training that diverges is a result too: a grid may hold weights that are too large.
    """
    began = time.perf_counter()
    dataset, teacher = world.dataset(job.dataset), world.teacher(job.dataset, job.teacher)
    device = choose_device(job.config.train.device)
    distillation, trained = job.config.distillation, job.method != UNTRAINED
    head = {
        "key": job.key,
        "dataset": job.dataset,
        "student": job.student,
        "method": job.method,
        "seed": job.config.train.seed,
        "ranking_weight": distillation.ranking_weight if trained else None,
        "embedding_weight": distillation.embedding_weight if trained else None,
        "device": device_name(device),
    }
    try:
        with deterministic():
            if job.method == UNTRAINED:
                found = _untrained(job.config, dataset, teacher)
            elif job.method in (DEFAULT, DEFAULT_ALONE):
                found = _default(job, dataset, teacher, device, world.scratch / job.key)
            else:
                found = _paper(job.config, dataset, teacher, device)
    except NonFiniteError as err:
        found = {"failed": str(err)}
    return {**head, **found, "seconds": time.perf_counter() - began}


def _paper(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None, device: torch.device
) -> dict[str, Any]:
    """Train without writing anything: what counts is over in seconds on a GPU."""
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    data = make_training_data(config, dataset, teacher, device)
    best: Record = {SELECTION: -1.0}
    state: dict[str, torch.Tensor] = {}
    training = Training(student, data, config)
    for record in fit(training, Silent()):
        if record[SELECTION] > best[SELECTION]:
            best = record
            state = {key: value.clone() for key, value in student.state_dict().items()}
    student.load_state_dict(state)
    rows = device_rows(dataset, dataset.test, device)
    counts = split_counts(student, rows, exclude_seen=config.evaluation.exclude_seen)
    return {
        "epoch": best["epoch"],
        "epochs": training.epoch,
        "validation": _shown(best),
        "test": _shown(rank_metrics(counts, (SELECTION_K,))),
    }


def _default(
    job: Job,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    folder: Path,
) -> dict[str, Any]:
    """Train as `train` does, grids and pair memory by validation; goes on where it was stopped."""
    config, _ = fit_to_teacher(job.config, teacher)
    context = TrainingContext(
        dataset,
        teacher,
        make_training_data(config, dataset, teacher, device),
        cache(lambda: count_train_pairs(dataset)),
        Silent(),
        Interrupts(),
    )
    seed_run = SeedRun(job.method, folder, config)
    if not seed_run.is_done():
        for _ in train_seed(seed_run, context):
            pass
    row = seed_run.result()
    shutil.rmtree(folder)
    return {"validation": _shown(row.validation), "test": _shown(row.test), "detail": row.detail}


def _untrained(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> dict[str, Any]:
    """Popularity, window counts, graph times text and the teacher's own lists."""
    exclude_seen = config.evaluation.exclude_seen
    rows = baseline_rows(
        dataset, teacher, (SELECTION_K,), exclude_seen=exclude_seen, graph_text=True
    )
    return {"rows": {row.name: _shown(row.test) for row in rows if row.test}}


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in METRICS if name in metrics}
