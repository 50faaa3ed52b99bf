"""The slices of a run's page are one process's work: the others are not asked for anything."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
import torch

from dllm2rec.config.load import changed, load_config
from dllm2rec.report.gather_slices import gather_slices
from dllm2rec.runtime import distributed
from dllm2rec.train.train_run import train_run
from tests.support.worlds import cycle_dataset, oracle_teacher

pytestmark = pytest.mark.slow  # it trains

CPU = torch.device("cpu")
CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 8},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"max_epochs": 1, "device": "cpu"},
)


def test_no_other_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    train_run(CONFIG, dataset, teacher, tmp_path / "run", students=["sasrec"])
    students = {"sasrec": tmp_path / "run" / "sasrec"}
    alone = gather_slices(students, dataset, teacher, CPU, exclude_seen=False)

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the others were asked")

    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "_reduce", refuse)
    assert gather_slices(students, dataset, teacher, CPU, exclude_seen=False) == alone
