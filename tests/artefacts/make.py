"""Write the artefacts of the present version: `python -m tests.artefacts.make NAME`.

NAME is the folder beside this file, such as `0.1.0`. Nobody changes one that is there: a format
that changes gets a new folder, and the test reads all of them.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import dllm2rec
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.runs.run_result import RunResult
from dllm2rec.train.check_run import RunOptions

HERE = Path(__file__).resolve().parent
HISTORIES = [["i3", "i4", "i5"], ["i17"]]
SETTINGS: dict[str, dict[str, Any]] = {
    "student": {"hidden_size": 8, "dropout": 0.1},
    "distillation": {"ranking_weight": [0.0, 0.3], "top_k": 4},
    "train": {"batch_size": 64, "learning_rate": 0.02, "max_epochs": 2, "device": "cpu"},
}


def make(folder: Path) -> None:
    """Write a dataset, a teacher, a run, a run that was interrupted, exports, and what they give.

    Raises:
        FileExistsError: the folder is there.
    """
    folder.mkdir()
    # So that no file holds a path of this machine, or how its system is built.
    with chdir(folder), patch("platform.platform", return_value="Linux"):
        _make(Path())


def _make(folder: Path) -> None:
    dllm2rec.save_dataset(_prepared(), folder / "dataset")
    dataset = dllm2rec.load_dataset(folder / "dataset")
    dllm2rec.save_teacher(folder / "teacher", _teacher(dataset), dataset)
    teacher = dllm2rec.load_teacher(folder / "teacher", dataset)
    config = changed(load_config(recipe="light"), **SETTINGS)
    options = RunOptions(source=dllm2rec.Source("dataset", "teacher"))  # no path of this machine
    result = dllm2rec.train_run(
        config,
        dataset,
        teacher,
        folder / "run",
        students=["sasrec", "gru4rec", "caser"],
        options=options,
        progress=False,
    )
    run = folder / "run"
    (run / "report.html").unlink()
    dllm2rec.export(run, folder / "export")
    dllm2rec.export(run, folder / "export-int8", int8=["items", "encoder"])
    _interrupted(folder / "interrupted", dataset, options)
    (folder / "expected.json").write_text(json.dumps(_expected(folder, result), indent=1) + "\n")


def _prepared() -> dllm2rec.Prepared:
    rng = np.random.default_rng(5)
    lines = ["user_id,item_id,timestamp"]
    for user in range(60):
        first = int(rng.integers(24))
        lines += [
            f"u{user},i{(first + step + int(rng.random() < 0.1)) % 24},{1_600_000_000 + step}"
            for step in range(8)
        ]
    titles = ["item_id,title", *(f"i{item},Item number {item}" for item in range(24))]
    with tempfile.TemporaryDirectory() as place:
        log, names = Path(place) / "log.csv", Path(place) / "titles.csv"
        log.write_text("\n".join(lines) + "\n")
        names.write_text("\n".join(titles) + "\n")
        interactions = dllm2rec.read_interactions(log)
        titled = dllm2rec.read_titles(names)
    protocol = dllm2rec.named_protocol("leave-one-out").model_copy(update={"max_length": 5})
    return dllm2rec.prepare(interactions, protocol, titled.table)


def _teacher(dataset: SequenceDataset) -> dllm2rec.TeacherKnowledge:
    last = dataset.events[dataset.train.end - 1].astype(np.int64)
    ranking = (last[:, None] + 1 + np.arange(6)) % dataset.n_items
    angle = 2 * np.pi * np.arange(dataset.n_items) / dataset.n_items
    vectors = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
    distance = np.broadcast_to(np.linspace(0.1, 0.6, 6), ranking.shape)
    return dllm2rec.TeacherKnowledge(
        ranking=ranking.astype(np.uint32),
        distance=distance.astype(np.float32),
        target_distance=np.full(len(ranking), 0.2, np.float32),
        item_embeddings=vectors.astype(np.float32),
    )


class _Stop(dllm2rec.Silent):
    """Sends Ctrl-C after the first epoch."""

    def epoch(self, record: Any) -> None:
        raise KeyboardInterrupt


def _interrupted(folder: Path, dataset: SequenceDataset, options: RunOptions) -> None:
    config = changed(load_config(recipe="light"), **SETTINGS)
    config = changed(config, distillation={"ranking_weight": 0.0, "embedding_weight": 0.0})
    try:
        dllm2rec.train_run(
            config,
            dataset,
            None,
            folder,
            students=["sasrec"],
            options=RunOptions(source=dllm2rec.Source("dataset", None)),
            progress=_Stop(),
        )
    except KeyboardInterrupt:
        return
    raise RuntimeError("it was not interrupted")


def _expected(folder: Path, result: RunResult) -> dict[str, Any]:
    model = dllm2rec.load(folder / "run", device="cpu")
    return {
        "made by": {
            "dllm2rec": version("dllm2rec"),
            "python": platform.python_version(),
            "torch": version("torch"),
        },
        "test": {row.name: row.test for row in result.rows},
        "lists": lists_of(model),
    }


def lists_of(model: dllm2rec.Recommender) -> list[list[tuple[str, float]]]:
    """The five best of each history, with scores that a page can be compared by."""
    return [
        [(place.item_id, round(place.score, 5)) for place in one]
        for one in model.recommend(HISTORIES, k=5)
    ]


if __name__ == "__main__":
    make(HERE / sys.argv[1])
