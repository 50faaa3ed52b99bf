"""A world whose scores outweigh everything else: trained alone in a process, to see its memory.

`python -m tests.support.plan_world plan|train [cuda] [section.field=value ...]` prints one
number: the bytes that the plan expects, or those that the training took.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.plan.memory import peak_bytes
from dllm2rec.plan.run import plan_run
from dllm2rec.train.train_run import train_run

N_ITEMS, N_USERS = 30_000, 1_500


def wide_dataset() -> SequenceDataset:
    """Many items, few rows."""
    rng = np.random.default_rng(0)
    events = rng.integers(0, N_ITEMS, (N_USERS, 12)).astype(np.uint32)
    start = np.arange(N_USERS) * 12

    def rows(place: int) -> Rows:
        return Rows(start, start + place)

    return SequenceDataset(
        name="wide",
        catalogue=Catalogue([str(item) for item in range(N_ITEMS)]),
        events=events.ravel(),
        max_length=10,
        train=rows(9),
        validation=Rows(start[:64], start[:64] + 10),
        test=Rows(start[:64], start[:64] + 11),
        has_users=True,
    )


def wide_config(device: str, overrides: list[str]) -> Config:
    small = {"batch_size": 512, "max_epochs": 1, "device": device}
    return changed(load_config(recipe="light", overrides=overrides), train=small)


def main(what: str, device: str, overrides: list[str]) -> int:
    torch.set_num_threads(1)
    config, dataset = wide_config(device, overrides), wide_dataset()
    if what == "plan":
        plan = plan_run(config, dataset, None, students=[config.student.name], watch_s=0.01)
        return plan.students[0].memory_bytes if device == "cuda" else plan.host_bytes
    with tempfile.TemporaryDirectory() as folder:
        train_run(config, dataset, None, Path(folder) / "run", students=[config.student.name])
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes()


if __name__ == "__main__":
    words = sys.argv[2:]
    on = "cuda" if words[:1] == ["cuda"] else "cpu"
    sys.stdout.write(f"{main(sys.argv[1], on, [word for word in words if '=' in word])}\n")
