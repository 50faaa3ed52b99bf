"""The paper's table on its Games data: students without and with DLLM2Rec, three seeds a cell.

    python benches/reproduce_games.py --data ../shared/data/games --out games.jsonl

For each student and each side of the embedding distillation, the ranking weight is found on
validation out of {0, .1, .3, .7} with seed 0; the test rows are scored once a training, by the
epoch that validation likes best. One JSON line a training is written as it ends, and what is in
the file already is not trained again, so that a long table can be made in several sittings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.data.formats.authors import load_authors_dataset
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit

STUDENTS = {"gru4rec": ("gru4rec", 0.0), "sasrec": ("sasrec", 0.0), "dros": ("sasrec", 1.0)}
WEIGHTS = (0.0, 0.2, 0.6, 1.4)  # above what the paper tried: its largest were the best before
SOFT_SHARES = (0.0, 0.1, 0.3, 0.5)
SEEDS = (0, 1, 2)


def cells(sides: tuple[str, ...]) -> Iterator[tuple[str, Config, tuple[float, ...]]]:
    """Every cell of the table: its name, its configuration, the ranking weights to choose from."""
    paper = load_config(recipe="paper")
    for name, (student, dro_weight) in STUDENTS.items():
        for side in sides:
            base = changed(
                paper,
                student={"name": student, "tied": side == "both"},
                loss={"dro_weight": dro_weight},
                distillation={"embedding_sides": side, "ranking_weight": 0.0},
            )
            alone = changed(base, distillation={"embedding_weight": 0.0})
            yield f"{name} alone, {'tied' if side == 'both' else 'untied'}", alone, (0.0,)
            yield f"{name} + dllm2rec, {side}", base, WEIGHTS


def softmax_cells() -> Iterator[tuple[str, Config, tuple[float, ...]]]:
    """The strong student without the teacher, and with its vectors and lists."""
    strong = load_config(recipe="light", overrides=["distillation.ranking_weight=0.0"])
    alone = changed(strong, distillation={"embedding_weight": 0.0})
    yield "softmax alone", alone, (0.0,)
    yield "softmax + vectors + lists", strong, SOFT_SHARES


def train(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge, device: torch.device
) -> dict[str, Any]:
    """Train once; the best epoch on validation is scored on test."""
    began = time.perf_counter()
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    task = make_training_data(config, dataset, teacher, device)
    best: dict[str, float] = {"ndcg@20": -1.0}
    state: dict[str, torch.Tensor] = {}
    epochs, epoch_s = 0, []
    for record in fit(Training(student, task, config), Silent()):
        epochs += 1
        epoch_s.append(record["train_s"])
        if record["ndcg@20"] > best["ndcg@20"]:
            best = record
            state = {key: value.clone() for key, value in student.state_dict().items()}
    student.load_state_dict(state)
    test = rank_metrics(split_counts(student, device_rows(dataset, dataset.test, device)), (20,))
    return {
        "epoch": best["epoch"],
        "epochs": epochs,
        "epoch_s": statistics.median(epoch_s),
        "seconds": time.perf_counter() - began,
        "validation": [best["hr@20"], best["ndcg@20"]],
        "test": [test["hr@20"], test["ndcg@20"]],
    }


def main() -> None:
    """Train what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sides", default="both,input")
    parser.add_argument("--only", default="", help="cells whose name begins with this")
    parser.add_argument("--epochs", type=int, help="cap on epochs, for a trial")
    parser.add_argument("--stop-after-s", type=float, default=float("inf"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    dataset = load_authors_dataset(arguments.data)
    teacher = load_teacher(arguments.data / "teacher", dataset)
    device = choose_device("auto")
    done = {}
    if arguments.out.exists():
        for line in arguments.out.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            done[record["cell"], record["weight"], record["seed"]] = record

    def once(cell: str, config: Config, weight: float, seed: int) -> dict[str, Any]:
        key = (cell, weight, seed)
        if key not in done:
            if time.perf_counter() - began > arguments.stop_after_s:
                raise SystemExit("time is up; run again to go on")
            config = changed(config, distillation={"ranking_weight": weight}, train={"seed": seed})
            if arguments.epochs:
                config = changed(config, train={"max_epochs": arguments.epochs})
            result = train(config, dataset, teacher, device)
            done[key] = {"cell": cell, "weight": weight, "seed": seed, **result}
            with arguments.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(done[key]) + "\n")
            print(json.dumps(done[key]), flush=True)  # noqa: T201
        return done[key]

    sides = tuple(arguments.sides.split(","))
    with deterministic():
        for cell, config, weights in [*softmax_cells(), *cells(sides)]:
            if not cell.startswith(arguments.only):
                continue
            first = [once(cell, config, weight, SEEDS[0]) for weight in weights]
            best = max(first, key=lambda record: record["validation"][1])
            results = [once(cell, config, best["weight"], seed) for seed in SEEDS]
            columns = zip(*(record["test"] for record in results), strict=True)
            mean_sd = [f"{statistics.mean(c):.4f} ± {statistics.stdev(c):.4f}" for c in columns]
            seconds = statistics.median(record["epoch_s"] for record in results)
            print(  # noqa: T201
                f"{cell:30s} weight {best['weight']:<4g} HR@20 {mean_sd[0]}  NDCG@20 {mean_sd[1]}"
                f"  {seconds:.2f} s per epoch",
                flush=True,
            )


if __name__ == "__main__":
    main()
