"""A dataset, a teacher and a run as folders, for tests of commands and of files."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.runs.source import Source
from dllm2rec.teacher.folder import save_teacher
from dllm2rec.train.train_run import RunOptions, train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 8},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "device": "cpu"},
)


def make_home(home: Path) -> Path:
    """Write `data`, `theirs` (the authors' layout of it), `teacher` and `run` into a folder."""
    events = cycle_dataset(40).events.reshape(-1, 10)
    lines = [
        f"u{user},item-{item},{time}"
        for user, items in enumerate(events)
        for time, item in enumerate(items)
    ]
    (home / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines, ""]))
    assert main(["prepare", str(home / "log.csv"), "--out", str(home / "data")]) == 0
    words = ["prepare", str(home / "data"), "--out", str(home / "theirs"), "--write", "authors"]
    assert main(words) == 0
    dataset = load_dataset(home / "data")
    save_teacher(home / "teacher", oracle_teacher(dataset), dataset)
    train_run(
        CONFIG,
        dataset,
        oracle_teacher(dataset),
        home / "run",
        students=["sasrec"],
        options=RunOptions(source=Source.of(home / "data", home / "teacher")),
    )
    return home
