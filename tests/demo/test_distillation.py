"""On the embedded world a good teacher helps the default student, and a random one does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dllm2rec.batches.training_data import make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.demo.world import demo_world
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.train_student import student_config, train_student
from tests.demo.random_teacher import random_teacher

CPU = torch.device("cpu")


@pytest.mark.slow
def test_the_embedded_teacher_helps_and_a_random_one_does_not(tmp_path: Path) -> None:
    dataset, teacher = demo_world(0)
    config = changed(load_config(recipe="demo"), distillation={"ranking_weight": 0.3})

    def ndcg(name: str, knowledge: TeacherKnowledge | None) -> float:
        student = student_config(config, "sasrec", with_teacher=knowledge is not None)
        data = make_training_data(student, dataset, knowledge, CPU)
        context = TrainingContext(dataset, knowledge, data, dict, Silent(), Interrupts())
        row = train_student(student, context, tmp_path / name)
        return row.test["ndcg@20"]

    alone = ndcg("alone", None)
    assert ndcg("taught", teacher) > 1.15 * alone
    assert ndcg("misled", random_teacher(dataset)) < 1.05 * alone
