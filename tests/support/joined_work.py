"""What the tests of several processes let each process do; what it returns is JSON."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import ConfigError, ResourceError
from dllm2rec.evaluate import evaluate_split as split
from dllm2rec.evaluate import score_file
from dllm2rec.evaluate.matrices import evaluate_vectors as vector_file
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.training_state import load_state
from dllm2rec.runtime import distributed
from dllm2rec.serve import histories as reading
from dllm2rec.serve.recommend import recommend
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.students import Student
from dllm2rec.tracking.progress import Silent
from dllm2rec.train import loop
from dllm2rec.train.loop import Training, fit
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.step import Stepper
from dllm2rec.train.train_run import train_run
from tests.support.sharded_work import (
    sharded_refusals as sharded_refusals,
)
from tests.support.sharded_work import (
    sharded_resumed as sharded_resumed,
)
from tests.support.sharded_work import (
    sharded_runs as sharded_runs,
)
from tests.support.sharded_work import (
    sharded_stopped as sharded_stopped,
)
from tests.support.sharded_work import (
    sharded_trainings as sharded_trainings,
)
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

CPU = torch.device("cpu")
LEARNER = "gru4rec+dllm2rec"
# 840 rows: thirteen batches of 64 and one of 8. Without dropout, shares change the rounding alone.
CONFIG = changed(
    Config(),
    student={"hidden_size": 8, "dropout": 0.0},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "learning_rate": 0.01, "device": "cpu"},
)


# With all that stands between gradients and weights; the last of two batches is one row.
CAREFUL = changed(
    CONFIG,
    train={
        "batch_size": 839,
        "max_epochs": 6,
        "max_gradient_norm": 0.02,
        "ema_decay": 0.7,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup_steps": 2,
    },
)
# Works that join the others by themselves, as the command line does.
COMMANDS = ("evaluate_command", "evaluate_scores_command", "recommend_command")


def hashed(student: Student) -> str:
    raw = b"".join(p.detach().numpy().tobytes() for p in student.parameters())
    return hashlib.sha256(raw).hexdigest()


def stepper() -> Stepper:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    torch.manual_seed(0)
    student = make_student(CONFIG, dataset, teacher)
    data = make_training_data(CONFIG, dataset, teacher, CPU)
    return loop._stepper(student, data.rows, data, CONFIG)


def gradients(folder: Path) -> dict[str, dict[str, float]]:
    """By batch size, how far from the gradient of one process two ways of joining shares are."""
    own = stepper()
    found = {}
    for n_rows in (1, 2, 5, 7, 64):
        rows = torch.arange(n_rows) * 3
        whole, terms = own._gradients(rows, n_rows)
        mine = distributed.process_rows(rows)
        parts, scatter_buffer = own._gradients(mine, n_rows)
        shared, shared_sums = distributed.average_gradients(own.parameters, parts, scatter_buffer)
        # As DDP does: each process the mean of its own rows, and the mean of those.
        parts, scatter_buffer = own._gradients(mine, max(1, len(mine)) * distributed.size())
        naive, _ = distributed.average_gradients(own.parameters, parts, scatter_buffer)
        found[str(n_rows)] = {
            "shared": distance(shared, whole),
            "naive": distance(naive, whole),
            "terms": float((shared_sums.sum(1) - terms.sum(1)).abs().max()),
            "rows": len(mine),
        }
    return found


def distance(some: Any, others: Any) -> float:
    pairs = [(a, b) for a, b in zip(some, others, strict=True) if b is not None]
    gap, scale = (torch.cat([f(a, b).reshape(-1) for a, b in pairs]) for f in (torch.sub, right))
    return float(gap.norm() / scale.norm())


def right(_: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return other


def training(folder: Path, config: Config = CONFIG) -> dict[str, Any]:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher)
    task = make_training_data(config, dataset, teacher, CPU)
    records = list(fit(Training(student, task, config), Silent()))
    student.eval()
    with torch.no_grad():
        windows, lengths, _ = device_rows(dataset, dataset.test, CPU).windows(torch.arange(20))
        scores = student(windows, lengths)
    timeless = [{k: v for k, v in r.items() if not k.endswith("_s")} for r in records]
    return {
        "hash": hashed(student),
        "scores": scores.tolist(),
        "records": timeless,
    }


def training_with_dropout(folder: Path) -> dict[str, Any]:
    return training(folder, changed(CONFIG, student={"dropout": 0.3}))


def careful_training(folder: Path) -> dict[str, Any]:
    return training(folder, CAREFUL)


def stream(folder: Path) -> list[list[int]]:
    """The rows of which this process made gradients, step by step."""
    rows: list[list[int]] = []
    gradients = Stepper._gradients

    def noted(self: Stepper, own: torch.Tensor, n_rows: int) -> Any:
        rows.append(own.tolist())
        return gradients(self, own, n_rows)

    with patch.object(Stepper, "_gradients", noted):
        training(folder, changed(CONFIG, train={"batch_size": 839}))
    return rows


def noise(folder: Path) -> list[float]:
    """What this process's dropout would draw in the first two steps."""
    drawn: list[float] = []

    def noted(self: Stepper, rows: torch.Tensor) -> None:
        drawn.append(torch.rand(1).item())
        if len(drawn) == 2:
            raise StopIteration

    with patch.object(Stepper, "step", noted), suppress(RuntimeError):  # what a generator makes
        training(folder)
    return drawn


def evaluation(folder: Path) -> dict[str, Any]:
    """Rank 840 rows, sixteen at a time, and say how many of the blocks were this process's."""
    dataset = cycle_dataset()
    torch.manual_seed(3)
    student = make_student(CONFIG, dataset, oracle_teacher(dataset))
    rows = device_rows(dataset, dataset.train, CPU)
    watched = patch.object(split, "encode_block", wraps=split.encode_block)
    sizes = patch.multiple(split, BLOCK_ROWS=16, TOGETHER=2)
    with sizes, watched as calls:
        counts = [split.split_counts(student, rows, exclude_seen=seen) for seen in (False, True)]
    pairs = [[c.greater.tolist(), c.equal.tolist()] for c in counts]
    n_blocks = sum(len(call.args[-1]) for call in calls.call_args_list)
    return {"counts": pairs, "blocks": n_blocks // 2}


def evaluation_of_files(folder: Path) -> dict[str, Any]:
    """Rank the scores and vectors of 120 rows, sixteen at a time; say how many blocks were ours."""
    dataset = cycle_dataset()
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 8)).astype(np.float32) for n in (120, N_ITEMS))
    scores = folder / f"scores-{distributed.rank()}.npy"
    np.save(scores, users @ items.T)
    targets = [("row", row, f"item-{item}") for row in range(9) for item in (1, 5)]
    table = pa.table({"row": [one[1] for one in targets], "item_id": [one[2] for one in targets]})
    found: dict[str, Any] = {}
    for name, request in {
        "all": MeasureRequest(),
        "unseen": MeasureRequest(exclude_seen=True),
        "targets": MeasureRequest(targets=table),
    }.items():
        watched = patch.object(score_file, "rank_counts", wraps=score_file.rank_counts)
        with patch.object(score_file, "BLOCK_BYTES", 16 * 4 * N_ITEMS), watched as calls:
            of_scores = score_file.measure_scores(scores, dataset, request)
        with patch.object(vector_file, "BLOCK_ROWS", 16):
            of_vectors = vector_file.measure_vectors((users, items), dataset, request)
        for kind, measured in (("scores", of_scores), ("vectors", of_vectors)):
            counts = measured.scorers[-1].counts
            found[f"{kind}, {name}"] = [counts.greater.tolist(), counts.equal.tolist()]
        found[f"blocks, {name}"] = calls.call_count
    return found


def a_run(folder: Path) -> list[Any]:
    """Train a run into a folder that the processes share."""
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    result = train_run(CONFIG, dataset, teacher, folder / "run", students=["gru4rec"])
    return [(row.name, row.validation, row.test) for row in result.rows]


WITH_DROPOUT = changed(CONFIG, student={"dropout": 0.3}, train={"max_epochs": 3})


def whole_run(folder: Path) -> dict[str, Any]:
    """Train a run that nobody interrupts."""
    dataset, folder = cycle_dataset(), folder / "run"
    train_run(WITH_DROPOUT, dataset, oracle_teacher(dataset), folder, students=["gru4rec"])
    return {"made": what_it_made(folder)}


def broken_run(folder: Path) -> dict[str, Any]:
    """The same run, but the last process is killed in the second epoch of the first student."""
    step, taken = Stepper.step, iter(range(10**9))

    def fatal(self: Stepper, rows: torch.Tensor) -> None:
        if next(taken) == 20 and distributed.rank() == distributed.size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, rows)

    with patch.object(Stepper, "step", fatal):
        return whole_run(folder)


def resumed_run(folder: Path) -> dict[str, Any]:
    """Go on with it; say at which of its steps it had stood."""
    dataset, run = cycle_dataset(), folder / "run"
    state = load_state(run / "gru4rec")
    stood = None if state is None else len(state.records) * 14 + state.step
    distributed.wait_for_all("looking")
    resume_run(run, dataset, oracle_teacher(dataset))
    return {"made": what_it_made(run), "stood": stood}


def what_it_made(run: Path) -> list[str]:
    """The metrics of a run, and the weights that made them."""
    distributed.wait_for_all("all is written")
    rows = json.loads((run / "results.json").read_text())["rows"]
    weights = [hashed(load_checkpoint(run / name).student) for name in ("gru4rec", LEARNER)]
    return [json.dumps([row["validation"], row["test"]]) for row in rows] + weights


def lists(folder: Path) -> dict[str, Any]:
    """Recommend from a run that one process made, eight of fifty histories at a time."""
    drawn = np.random.default_rng(0).integers(0, N_ITEMS, (50, 4))
    histories = [[f"item-{i}" for i in row] for row in drawn]
    watched = patch.object(ItemScorer, "top_n", autospec=True, side_effect=ItemScorer.top_n)
    with patch.object(reading, "BLOCK_ROWS", 8), watched as calls:
        found = recommend(folder.parent / "run", histories, k=N_ITEMS, device="cpu")
    shown = [[(r.rank, r.item_id, r.score.hex()) for r in places] for places in found]
    return {"lists": shown, "blocks": calls.call_count}


def not_finite(folder: Path) -> dict[str, Any]:
    """The teacher's row of one train row is not a number; only one process ever reads it."""
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    torch.manual_seed(0)
    student = make_student(CONFIG, dataset, teacher)
    task = make_training_data(CONFIG, dataset, teacher, CPU)
    assert task.rows.lists is not None
    task.rows.lists.values[100] = torch.nan
    before = hashlib.sha256(b"").hexdigest()
    try:
        for _ in fit(Training(student, task, CONFIG), Silent()):
            before = hashed(student)
    except ArithmeticError as err:
        finite = all(bool(torch.isfinite(p).all()) for p in student.parameters())
        return {"message": str(err), "finite": finite, "hash": hashed(student), "before": before}
    return {}


def differing(folder: Path) -> None:
    weights = torch.ones(10)
    distributed.check_same([weights, torch.tensor(1.0)], "at first")
    if distributed.rank() == 1:
        weights[3] += 2e-7
    distributed.check_same([weights, torch.tensor(1.0)], "epoch 1")


def killed(folder: Path) -> dict[str, Any]:
    """Process 1 is killed in the middle of training; say when the others stopped, and how."""
    step, taken = Stepper.step, iter(range(10**9))

    def fatal(self: Stepper, rows: torch.Tensor) -> None:
        if next(taken) == 20 and distributed.rank() == 1:
            (folder / "killed").write_text(str(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, rows)

    try:
        with patch.object(Stepper, "step", fatal):
            return training(folder, changed(CONFIG, train={"max_epochs": 40, "patience": 40}))
    except ResourceError as err:
        after = time.monotonic() - float((folder / "killed").read_text())
        return {"message": str(err), "after_s": after}


def absent(folder: Path) -> None:
    """Process 1 does not come to the barrier in time."""
    if distributed.rank() == 1:
        time.sleep(3)
        return
    distributed.wait_for_all("epoch 7")


def other_inputs(folder: Path) -> None:
    """The last process has a log that differs in one event."""
    dataset = cycle_dataset()
    if distributed.rank() == distributed.size() - 1:
        dataset.events[-1] = (dataset.events[-1] + 1) % N_ITEMS
    train_run(CONFIG, dataset, None, folder / "other", students=["gru4rec"])


def first_refuses(folder: Path) -> str:
    def refuse() -> str:
        raise ConfigError("runs/x: not empty")

    return distributed.broadcast_from_first(refuse)


def first_tells(folder: Path) -> str:
    return distributed.broadcast_from_first(lambda: f"runs/größe-{distributed.rank()}")


def authors_variant(folder: Path) -> None:
    dataset = cycle_dataset()
    config = load_config(recipe="authors", overrides=["train.device=cpu", "distillation.top_k=8"])
    train_run(config, dataset, oracle_teacher(dataset), folder / "run", students=["sasrec"])


def evaluate_command(folder: Path) -> list[Any]:
    return command(["evaluate", str(folder.parent / "trained"), "--device", "cpu", "--json"])


def evaluate_scores_command(folder: Path) -> list[Any]:
    home = folder.parent
    words = ["evaluate", "--scores", str(home / "own.npy"), "--dataset", str(home / "data")]
    return command([*words, "--json", "--per-row", str(folder / "rows.parquet")])


def recommend_command(folder: Path) -> list[Any]:
    (folder / "histories.jsonl").write_text('{"history": ["7", "8"]}\n{"history": ["3"]}\n')
    words = ["--input", str(folder / "histories.jsonl"), "--out", str(folder / "lists.csv")]
    run = str(folder.parent / "trained")
    return command(["recommend", run, *words, "--device", "cpu", "--overwrite"])


def command(words: list[str]) -> list[Any]:
    """The exit code of a command and what it printed."""
    with redirect_stdout(io.StringIO()) as printed:
        code = main(words)
    return [code, printed.getvalue()]
