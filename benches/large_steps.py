"""Whole training steps on a GPU by rows, catalogue, width and precision: time and peak memory.

    python benches/large_steps.py --out steps.jsonl
    python benches/large_steps.py --out steps.jsonl --only 4096x1000000x64

SASRec on random data, Adam, clipping and an average of the weights, softmax alone and DROS with
lists. Each cell runs in its own process, so that a peak is its own; a cell that the file holds
already is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from dllm2rec.config.load import changed
from step_times import ALONE, PAPER, random_teacher, step_time, world

CELLS = [  # rows, items, width
    (2_048, 17_408, 64),
    (4_096, 17_408, 64),
    (4_096, 100_000, 64),
    (1_024, 1_000_000, 64),
    (4_096, 1_000_000, 64),
    (16_384, 1_000_000, 64),
    (4_096, 1_000_000, 128),
    (4_096, 1_000_000, 256),
    (4_096, 10_000_000, 64),
]
LOSSES = ("softmax", "dros + lists")
PRECISIONS = ("exact", "mixed")
TIMED_S = 0.6  # of steps in a round; a step of 1M items takes some 10 ms
LONGEST_S = 240


def measured(rows: int, n_items: int, width: int, loss: str, precision: str) -> dict[str, object]:
    """One cell in this process."""
    train = {
        "batch_size": rows,
        "precision": precision,
        "max_gradient_norm": 1.0,
        "ema_decay": 0.998 if n_items < 10_000_000 else 0.0,  # the table once more
    }
    data = world(n_items, rows * 4)
    lists = loss != "softmax"
    config = changed(PAPER if lists else ALONE, train=train, student={"hidden_size": width})
    if lists:
        config = changed(config, distillation={"embedding_weight": 0.0})
    steps = max(5, min(200, int(TIMED_S * 1e11 / (rows * n_items * width))))
    teacher = random_teacher(data, 0) if lists else None
    return step_time(config, data, teacher, steps, profile=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="cells whose name begins so")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        name, loss, precision = args.cell.split("/")
        rows, n_items, width = map(int, name.split("x"))
        found = {"device": torch.cuda.get_device_name()}
        found |= measured(rows, n_items, width, loss, precision)
        sys.stdout.write(json.dumps({"case": args.cell, **found}) + "\n")
        return
    done = args.out.read_text() if args.out.exists() else ""
    names = [
        f"{'x'.join(map(str, c))}/{loss}/{p}" for c in CELLS for loss in LOSSES for p in PRECISIONS
    ]
    for name in names:
        if not name.startswith(args.only) or f'"{name}"' in done:
            continue
        command = [sys.executable, __file__, "--out", str(args.out), "--cell", name]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)  # noqa: S603
            line = run.stdout.strip() or json.dumps({"case": name, "error": run.stderr[-300:]})
        except subprocess.TimeoutExpired:
            line = json.dumps({"case": name, "error": f"over {LONGEST_S} s"})
        with args.out.open("a") as file:
            file.write(line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
