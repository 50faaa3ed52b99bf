"""What the tests of a table in parts let each process do; what it returns is JSON."""

from __future__ import annotations

import hashlib
import json
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import Dllm2RecError
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.rows import sharded_ranks
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.training_state import load_state
from dllm2rec.runtime.distributed import rank, size, wait_for_all
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.students import Student
from dllm2rec.students.sharded import shard, whole_student
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.loop import Training, fit
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.sharded.step import ShardedStepper
from dllm2rec.train.train_run import train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

CPU = torch.device("cpu")
# 840 rows: batches of 839 and of one, which is fewer rows than processes.
BASE = changed(
    Config(),
    student={"name": "sasrec", "hidden_size": 8, "dropout": 0.0, "pair_memory": False},
    distillation={"ranking_weight": 0.0, "embedding_weight": 0.0, "top_k": 6},
    train={"batch_size": 839, "max_epochs": 4, "learning_rate": 0.01, "device": "cpu"},
)
LISTS = {"ranking_weight": 0.3}
CONFIGS = {
    "plain": changed(BASE, student={"window_offset": False}),
    "careful": changed(
        BASE,
        student={"output_bias": True},
        distillation=LISTS,
        loss={"dro_weight": 0.5},
        train={"max_gradient_norm": 0.02, "ema_decay": 0.7, "weight_decay": 0.01},
    ),
    "importance": changed(
        BASE,
        distillation=LISTS | {"ranking_form": "importance", "consistency_gamma": 0.0},
    ),
    "gru4rec": changed(BASE, student={"name": "gru4rec"}),
    "caser": changed(BASE, student={"name": "caser"}),
}


def _fresh(config: Config) -> tuple[Student, Training]:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset) if max(config.distillation.ranking_weights) else None
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher)
    if size() > 1:
        student = shard(student)
    return student, Training(student, make_training_data(config, dataset, teacher, CPU), config)


def sharded_trainings(folder: Path) -> dict[str, Any]:
    """Each training, in parts where there are several processes; its weights put together."""
    found = {}
    for name, config in CONFIGS.items():
        student, training = _fresh(config)
        n_own = len(student.embedding.ids.weight)
        before = whole_student(student)
        first = before and _hash(before)
        records = list(fit(training, Silent()))
        rows = device_rows(cycle_dataset(), cycle_dataset().train, CPU)
        with patch.object(sharded_ranks, "PIECE", 4):
            counts = [split_counts(student, rows, exclude_seen=seen) for seen in (False, True)]
        whole, scores, again = whole_student(student), None, None
        if whole is not None:
            whole.eval()
            with torch.no_grad():
                scores = whole(*rows.windows(torch.arange(20))[:2]).tolist()
            # What one process gives of the same weights.
            again = [
                split_counts(whole, rows, exclude_seen=seen, shared=False) for seen in (False, True)
            ]
        found[name] = {
            "n_own": n_own,
            "first": first,
            "hash": None if whole is None else _hash(whole),
            "records": [{k: v for k, v in r.items() if not k.endswith("_s")} for r in records],
            "scores": scores,
            "counts": [[c.greater.tolist(), c.equal.tolist()] for c in counts],
            "counts_again": again and [[c.greater.tolist(), c.equal.tolist()] for c in again],
        }
    return found


def _hash(student: Student) -> str:
    raw = b"".join(t.detach().numpy().tobytes() for _, t in sorted(student.state_dict().items()))
    return hashlib.sha256(raw).hexdigest()


RUN = changed(
    CONFIGS["careful"],
    student={"dropout": 0.3},
    train={"batch_size": 64, "max_epochs": 3, "shard_items": True, "save_every_s": 0.0},
)


def sharded_runs(folder: Path) -> Any:
    """A run that nobody interrupts."""
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    train_run(RUN, dataset, teacher, folder / "run", students=["sasrec"], progress=False)
    return _made(folder / "run")


def sharded_stopped(folder: Path) -> str:
    """The same run; in its twentieth step a signal comes to the last process alone."""
    step, taken = ShardedStepper.step, count()
    held: list[Interrupts] = []
    init = Interrupts.__init__

    def noted(self: Interrupts) -> None:
        init(self)
        held.append(self)

    def signalled(self: ShardedStepper, rows: torch.Tensor) -> None:
        if next(taken) == 20 and rank() == size() - 1:
            held[-1].join()
        step(self, rows)

    dataset = cycle_dataset()
    with (
        patch.object(Interrupts, "__init__", noted),
        patch.object(ShardedStepper, "step", signalled),
    ):
        try:
            train_run(
                RUN, dataset, oracle_teacher(dataset), folder / "stopped", students=["sasrec"]
            )
        except SystemExit:
            return "stopped"
    return "went on"


def sharded_resumed(folder: Path) -> Any:
    """Go on with what `sharded_stopped` left."""
    dataset, run = cycle_dataset(), folder / "stopped"
    state = load_state(run / "sasrec+dros")
    stood = None if state is None else len(state.records) * 14 + state.step
    wait_for_all("looking")
    resume_run(run, dataset, oracle_teacher(dataset))
    return {"stood": stood, "made": _made(run)}


def _made(run: Path) -> list[str]:
    """The metrics of a run, and the weights that made them."""
    wait_for_all("all is written")
    rows = json.loads((run / "results.json").read_text())["rows"]
    names = ("sasrec+dros", "sasrec+dros+dllm2rec")
    weights = [_hash(load_checkpoint(run / name).student) for name in names]
    return [json.dumps([row["validation"], row["test"]]) for row in rows] + weights


def sharded_refusals(folder: Path) -> dict[str, str]:
    """What each combination that cannot be is refused with."""
    asked: dict[str, dict[str, Any]] = {
        "untied": {"student": {"tied": False}},
        "bce": {"loss": {"base": "bce"}},
        "vectors": {"distillation": {"embedding_weight": 1.0}},
        "places": {"train": {"all_places": True}},
        "refit": {"train": {"refit": True}},
        "mixed": {"train": {"precision": "mixed"}},
        "lists": {"distillation": {**LISTS, "ranking_form": "importance"}},
    }
    dataset = cycle_dataset()
    told = {}
    for name, change in {"none": {}, **asked}.items():
        config = changed(changed(BASE, train={"shard_items": True, "max_epochs": 1}), **change)
        try:
            train_run(
                config,
                dataset,
                oracle_teacher(dataset),
                folder / f"refused-{name}",
                students=["sasrec"],
                options=RunOptions(baseline=False),
                progress=False,
            )
            told[name] = "no refusal"
        except Dllm2RecError as err:
            told[name] = str(err)
    return told
