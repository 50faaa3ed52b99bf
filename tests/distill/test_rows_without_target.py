"""Histories of the teacher's have a list and no target: what a batch that holds some learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dllm2rec.batches.training_data import TrainingData, make_student, make_training_data
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.distill.objective import choose_objective
from dllm2rec.students import Student
from tests.reference.mixed_rows import mean_loss
from tests.support.worlds import asked_histories, cycle_dataset, oracle_teacher

DATASET = cycle_dataset()
TEACHER = replace(oracle_teacher(DATASET), histories=asked_histories())
N_TRAIN = len(DATASET.train)
ROWS = torch.tensor([0, 3, 77, N_TRAIN, N_TRAIN + 7, N_TRAIN + 31, N_TRAIN + 59])
N_TARGETS = 3
SMALL = changed(
    Config(),
    student={"hidden_size": 8, "dropout": 0.0},
    distillation={"top_k": 6, "ranking_weight": 0.3, "consistency_gamma": 0.0},
)
IMPORTANCE = {"ranking_form": "importance", "confidence_temperature": 0.2}
BCE = {"base": "bce", "n_negatives": 3}
SAMPLED = {"base": "sampled_softmax", "n_negatives": 9}
ROBUST = {"dro_weight": 0.5, "dro_temperature": 2.0}
NO_OFFSET = {"window_offset": False}
FORMS: dict[str, dict[str, Any]] = {
    "soft targets": {},
    "soft targets and dros": {"loss": ROBUST},
    "sampled soft targets, step by step": {"loss": SAMPLED},
    "sampled soft targets, in one pass": {"loss": SAMPLED | ROBUST},
    "softmax and ranks": {"distillation": IMPORTANCE},
    "sampled softmax and ranks": {"loss": SAMPLED, "distillation": IMPORTANCE},
    "bce, step by step": {"loss": BCE, "distillation": IMPORTANCE, "student": NO_OFFSET},
    "bce, in one pass": {"loss": BCE | ROBUST, "distillation": IMPORTANCE, "student": NO_OFFSET},
}


def prepared(config: Config) -> tuple[Student, TrainingData, Batch]:
    torch.manual_seed(3)
    student = make_student(config, DATASET, TEACHER)
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    data = make_training_data(config, DATASET, TEACHER, torch.device("cpu"))
    negatives = None if data.sampler is None else data.sampler.epoch(0, 0)
    return student, data, data.rows.batch(ROWS, negatives)


def terms_of(config: Config, student: Student, data: TrainingData, batch: Batch) -> Tensor:
    propensity = dros_propensity(data.target_counts)
    objective = choose_objective(student, config, propensity, None, len(ROWS), has_lists=True)
    return objective.terms(student, batch)


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_the_mean_and_its_gradient_are_those_of_the_rows_one_by_one(change: Any) -> None:
    config = changed(SMALL, **change)
    student, data, batch = prepared(config)
    assert batch.has_target is not None
    assert batch.has_target.tolist() == [True] * N_TARGETS + [False] * (len(ROWS) - N_TARGETS)
    loss = terms_of(config, student, data, batch).sum() / len(ROWS)
    loss.backward()
    got = {name: p.grad for name, p in student.named_parameters()}
    student.zero_grad()
    scores = student(batch.sequences, batch.lengths).double()
    propensity = dros_propensity(data.target_counts).double()
    expected = mean_loss(scores, batch, N_TARGETS, config, propensity)
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_the_place_of_a_target_says_nothing(change: Any) -> None:
    """Another item of the window there, which no negative is either, teaches the same."""
    config = changed(SMALL, **change)
    student, data, batch = prepared(config)
    long = batch.lengths[N_TARGETS:] > 1
    assert long.any()
    other = replace(batch, targets=batch.targets.clone(), listed=batch.listed.clone())
    other.targets[N_TARGETS:] = batch.sequences[N_TARGETS:, 0]
    other.listed[N_TARGETS:, 0] = batch.sequences[N_TARGETS:, 0]
    found = []
    for one in (batch, other):
        student.zero_grad()
        terms = terms_of(config, student, data, one)
        terms.sum().backward()
        found.append([terms.detach(), *(p.grad.clone() for p in student.parameters())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_rows_with_a_target_have_the_terms_that_they_have_without_histories() -> None:
    for change in FORMS.values():
        config = changed(SMALL, **change)
        student, data, batch = prepared(config)
        terms = terms_of(config, student, data, batch)
        alone = make_training_data(
            config, DATASET, replace(TEACHER, histories=None), torch.device("cpu")
        )
        negatives = None if alone.sampler is None else alone.sampler.epoch(0, 0)
        few = alone.rows.batch(ROWS[:N_TARGETS], negatives)
        assert few.has_target is None
        same = replace(few, negatives=None if batch.negatives is None else batch.negatives[:3])
        same = replace(same, listed=batch.listed[:N_TARGETS])
        expected = terms_of(config, student, alone, same)
        torch.testing.assert_close(terms[:, :N_TARGETS], expected, rtol=1e-5, atol=1e-6)
