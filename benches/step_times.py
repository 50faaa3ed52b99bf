"""Time of a training step and of an epoch, and its memory, as JSON lines.

    python benches/step_times.py --data ../shared/data/games --out steps.jsonl --cases games,sizes

A case that the file holds already is not run again. `--profile` prints the kernels of one step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.authors import load_authors_dataset
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit

PAPER = changed(
    load_config(recipe="paper"),
    loss={"dro_weight": 0.5},
    distillation={"ranking_weight": 0.3},
)
STRONG = changed(load_config(recipe="light"), distillation={"ranking_weight": 0.3})
ALONE = changed(STRONG, distillation={"ranking_weight": 0.0, "embedding_weight": 0.0})
SAMPLED = {"base": "sampled_softmax", "n_negatives": 1024}
STEPS = 200


def world(n_items: int, n_rows: int, length: int = 10, seed: int = 0) -> SequenceDataset:
    """Random rows over a catalogue of any size."""
    rng = np.random.default_rng(seed)
    events = rng.integers(0, n_items, n_rows * (length + 1)).astype(np.uint32)
    first = np.arange(n_rows, dtype=np.int64) * (length + 1)
    rows = Rows(first, first + length)
    few = rows.take(slice(0, 64))
    ids = [str(i) for i in range(n_items)]
    return SequenceDataset("random", Catalogue(ids), events, length, rows, few, few, False)  # noqa: FBT003


def random_teacher(dataset: SequenceDataset, width: int, top_n: int = 10) -> TeacherKnowledge:
    """Lists and vectors that mean nothing."""
    rng = np.random.default_rng(1)
    n_rows = len(dataset.train)
    lists = (rng.integers(0, dataset.n_items, (n_rows, 1)) + np.arange(top_n)) % dataset.n_items
    vectors = rng.standard_normal((dataset.n_items, width), dtype=np.float32) if width else None
    return TeacherKnowledge(
        ranking=lists.astype(np.uint32),
        distance=np.sort(rng.random((n_rows, top_n), dtype=np.float32), axis=1),
        target_distance=rng.random(n_rows, dtype=np.float32),
        item_embeddings=vectors,
        ranking_validation=None,
        ranking_test=None,
    )


def step_time(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    steps: int,
    profile: bool,
) -> dict[str, Any]:
    """Median milliseconds of a step, and the peak of memory."""
    device = choose_device("auto")
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    with deterministic():
        torch.manual_seed(0)
        student = make_student(config, dataset, teacher).to(device)
        task = make_training_data(config, dataset, teacher, device)
        stepper = Training(student, task, config).stepper
        if stepper.negatives is not None and task.sampler is not None:
            stepper.negatives.copy_(task.sampler.epoch(0, 0))
        ready = time.perf_counter() - began
        batch = min(config.train.batch_size, len(dataset.train))
        order = torch.randperm(len(dataset.train)).to(device)
        batches = [b for b in torch.split(order, batch) if len(b) == batch]

        def run(n: int) -> float:
            at = time.perf_counter()
            for i in range(n):
                stepper.step(batches[i % len(batches)])
            if on_gpu:
                torch.cuda.synchronize()
            return (time.perf_counter() - at) / n * 1e3

        run(max(2, steps // 10))
        times = sorted(run(max(1, steps // 5)) for _ in range(5))
        if profile and on_gpu:
            show(lambda: run(3))
    return {
        "ms": round(times[2], 4),
        "ms_low": round(times[0], 4),
        "ms_high": round(times[-1], 4),
        "start_s": round(ready, 2),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None,
        "bad": int(stepper.guard.first),
    }


def show(work: Callable[[], object]) -> None:
    """Print the kernels of some steps."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        work()
    rows = sorted(seen.key_averages(), key=lambda row: -row.device_time_total)
    sys.stdout.write(f"{sum(r.count for r in rows) / 3:.0f} kernels a step\n")
    for row in rows[:32]:
        line = f"{row.device_time_total / 3:8.1f} us {row.count / 3:5.1f} x {row.key[:90]}\n"
        sys.stdout.write(line)


def epochs(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> dict[str, Any]:
    """Seconds of an epoch, training and validation."""
    device = choose_device("auto")
    short = changed(config, train={"max_epochs": 6, "patience": 99})
    with deterministic():
        torch.manual_seed(0)
        student = make_student(short, dataset, teacher).to(device)
        task = make_training_data(short, dataset, teacher, device)
        records = list(fit(Training(student, task, short), Silent()))
    train, validation = (
        np.median([r[k] for r in records[1:]]) for k in ("train_s", "validation_s")
    )
    return {
        "train_s": round(float(train), 4),
        "validation_s": round(float(validation), 4),
        "ndcg20": records[-1]["ndcg@20"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", default="games,epochs", help="also sizes, few, 100000, ...")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    done = set()
    if args.out.exists():
        done = {json.loads(line)["case"] for line in args.out.read_text().splitlines()}
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"

    def record(case: str, work: Callable[[], dict[str, Any]]) -> None:
        if case in done:
            return
        try:
            found = work()
        except (RuntimeError, MemoryError) as err:
            found = {"error": repr(err)[:300]}
        line = json.dumps({"case": case, "device": name, **found})
        with args.out.open("a") as file:
            file.write(line + "\n")
        sys.stdout.write(line + "\n")

    wanted = set(args.cases.split(","))
    sizes = [n for n in (100_000, 1_000_000, 10_000_000) if "sizes" in wanted or str(n) in wanted]
    if {"games", "epochs"} & wanted:
        games = load_authors_dataset(args.data)
        teacher = load_teacher(args.data / "teacher", games)
        cases = {
            "paper+dros+dllm2rec 256": (PAPER, teacher),
            "strong+dllm2rec 2048": (changed(STRONG, train={"batch_size": 2048}), teacher),
            "strong alone 2048": (changed(ALONE, train={"batch_size": 2048}), None),
            "strong+dllm2rec 2048, 1024 negatives": (
                changed(STRONG, train={"batch_size": 2048}, loss=SAMPLED),
                teacher,
            ),
        }
        for case, (config, known) in cases.items():
            if "games" in wanted:
                record(case, lambda: step_time(config, games, known, STEPS, args.profile))  # noqa: B023
            if "epochs" in wanted:
                record(f"epoch {case}", lambda: epochs(config, games, known))  # noqa: B023
    rows = 4096 * 4
    wide = changed(PAPER, train={"batch_size": 4096})
    if "sizes" in wanted:
        games_size = world(17_408, rows)
        record(
            "17k items, vectors 4096 wide, batch 4096",
            lambda: step_time(wide, games_size, random_teacher(games_size, 4096), 50, args.profile),
        )
    if "few" in wanted:  # losses that name a few items per row
        for n_items in (17_408, 100_000, 1_000_000):
            large = world(n_items, 2048 * 8)
            for n_negatives in (1, 16, 128, 1024):
                loss = SAMPLED | {"n_negatives": n_negatives}
                config = changed(ALONE, train={"batch_size": 2048}, loss=loss)
                record(
                    f"{n_items} items, {n_negatives} negatives, batch 2048",
                    partial(step_time, config, large, None, 20, args.profile),
                )
            config = changed(ALONE, train={"batch_size": 2048}, loss={"base": "bce"})
            work = partial(step_time, config, large, None, 20, args.profile)
            record(f"{n_items} items, bce, batch 2048", work)
    for n_items in sizes:
        steps = max(3, 5_000_000 // n_items)
        large = world(n_items, rows)
        lists = random_teacher(large, 0)
        dros = changed(wide, distillation={"embedding_weight": 0.0})
        softmax = changed(ALONE, train={"batch_size": 4096})
        both = {"dros + lists": (dros, lists), "softmax": (softmax, None)}
        for loss, (config, known) in both.items():
            work = partial(step_time, config, large, known, steps, profile=False)
            record(f"{n_items} items, {loss}, batch 4096", work)


if __name__ == "__main__":
    main()
