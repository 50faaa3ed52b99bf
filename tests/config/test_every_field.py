"""Every configuration field has a reader: changing it alone changes what a training gives."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config, Section
from dllm2rec.data.dataset import Rows, SequenceDataset, Users
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

DATASET = cycle_dataset(40)
TEACHER = oracle_teacher(DATASET)
TRAIN = {"max_epochs": 2, "batch_size": 64, "learning_rate": 0.01, "device": "cpu"}
SOFT = {"distillation": {"ranking_weight": 0.3, "top_k": 6}, "student": {"hidden_size": 8}}
IMPORTANCE = {
    "loss": {"base": "bce", "dro_weight": 0.5},
    "student": {"hidden_size": 8},
    "distillation": {
        "ranking_weight": 0.5,
        "ranking_form": "importance",
        "top_k": 6,
        "drop_window_items": False,
        "confidence_temperature": 0.2,
    },
}
ALONE = {
    "student": {"hidden_size": 8},
    "distillation": {"ranking_weight": 0.0, "embedding_weight": 0.0},
}

# field -> the configuration in which it acts, and another value
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "student.name": (SOFT, "gru4rec"),
    "student.hidden_size": (SOFT, 16),
    "student.dropout": (SOFT, 0.1),
    "student.n_blocks": (SOFT, 2),
    "student.n_heads": (SOFT, 4),
    "student.n_filters": ({**SOFT, "student": {"name": "caser", "hidden_size": 8}}, 4),
    "student.filter_heights": ({**SOFT, "student": {"name": "caser", "hidden_size": 8}}, [2, 3]),
    "student.tied": (ALONE, False),
    "student.output_bias": (SOFT, True),
    "student.window_offset": (SOFT, False),
    "student.init_std": (SOFT, 0.1),
    "student.projector": (SOFT, "mlp"),
    "loss.base": (ALONE, "bce"),
    "loss.n_negatives": (IMPORTANCE, 3),
    "loss.calibration": ({**ALONE, "loss": {"base": "gbce"}}, 0.2),
    "loss.exclude": (IMPORTANCE, "history"),
    "loss.exclude_listed": (IMPORTANCE, False),
    "loss.dro_weight": (IMPORTANCE, 0.0),
    "loss.dro_temperature": (IMPORTANCE, 0.5),
    "distillation.ranking_weight": (SOFT, 0.1),
    "distillation.ranking_form": (SOFT, "importance"),
    "distillation.top_k": (SOFT, 3),
    "distillation.drop_window_items": (IMPORTANCE, True),
    "distillation.position_gamma": (IMPORTANCE, 0.0),
    "distillation.confidence_gamma": (IMPORTANCE, 0.0),
    "distillation.consistency_gamma": (IMPORTANCE, 0.0),
    "distillation.position_temperature": (IMPORTANCE, 2.0),
    "distillation.confidence_temperature": (SOFT, 0.2),
    "distillation.embedding_weight": (SOFT, 0.0),
    "distillation.embedding_sides": (SOFT, "input"),
    "distillation.ranking_method": (SOFT, "rd"),
    "distillation.embedding_method": (SOFT, "hint"),
    "distillation.item_offset": (SOFT, False),
    "train.all_places": (SOFT, True),
    "train.learning_rate": (SOFT, 0.02),
    "train.batch_size": (SOFT, 32),
    "train.weight_decay": (SOFT, 0.1),
    "train.max_epochs": (SOFT, 1),
    "train.patience": ({**SOFT, "train": {"max_epochs": 9, "learning_rate": 1e-9}}, 2),
    "train.schedule": (SOFT, "cosine"),
    "train.warmup_steps": (SOFT, 5),
    "train.max_gradient_norm": (SOFT, 1e-3),
    "train.ema_decay": (SOFT, 0.9),
    "train.seed": (SOFT, 1),
    "evaluation.ks": (SOFT, [3]),
    "evaluation.exclude_seen": (SOFT, True),
}
# Tested below, and when states are saved in test_resume.
ELSEWHERE = {
    "train.device",
    "train.save_every_s",
    "variant",
    "loss.unseen_by_text",
    "loss.neg_fallback",
    "student.pair_memory",
    "train.prefix_rows",
    "train.refit",
    "train.precision",
    "train.shard_items",
}


def all_fields(section: type[Section], prefix: str = "") -> set[str]:
    """The dotted names of every field."""
    names = set()
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            names |= all_fields(kind, f"{prefix}{name}.")
        else:
            names.add(f"{prefix}{name}")
    return names


def outcome(config: Config, dataset: SequenceDataset = DATASET) -> list[object]:
    """Everything a training gives: its records without the times, and its weights."""
    torch.manual_seed(config.train.seed)
    teacher = TEACHER if dataset is DATASET else oracle_teacher(dataset)
    student = make_student(config, dataset, teacher)
    task = make_training_data(config, dataset, teacher, torch.device("cpu"))
    records = [
        {key: value for key, value in record.items() if not key.endswith("_s")}
        for record in fit(Training(student, task, config), Silent())
    ]
    counts = split_counts(student, task.validation)
    weights = [p.detach().numpy().tobytes() for p in student.parameters()]
    return [records, counts.greater.tolist(), weights]


def test_every_field_is_covered() -> None:
    assert set(CASES) | ELSEWHERE == all_fields(Config)


@pytest.mark.slow
@pytest.mark.parametrize("field", sorted(CASES))
def test_a_field_changes_what_comes_out(field: str) -> None:
    base, value = CASES[field]
    config = changed(
        load_config(recipe="light"), **{**base, "train": TRAIN | base.get("train", {})}
    )
    section, name = field.split(".")
    other = changed(config, **{section: {name: value}})
    assert outcome(config) == outcome(config)
    assert outcome(config) != outcome(other)


def test_the_variant_changes_what_comes_out() -> None:
    theirs = changed(
        load_config(recipe="authors"),
        student={"hidden_size": 8},
        distillation={"top_k": 6},
        train=TRAIN,
    )
    ours = theirs.model_copy(update={"variant": "default"})
    assert outcome(theirs) != outcome(ours)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dllm2rec.runtime.device import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="cuda"):
        choose_device("cuda")


def test_a_gpu_without_the_compiler_of_its_kernels_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dllm2rec.runtime.device import check_compiler

    check_compiler(torch.device("cpu"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    check_compiler(torch.device("cpu"))
    with pytest.raises(ConfigError, match="triton is missing"):
        check_compiler(torch.device("cuda"))


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("loss.unseen_by_text", slice(0, 9)),  # few users: most items are never seen
        ("train.prefix_rows", slice(6, None, 7)),  # one row per user: its window hides the others
    ],
)
def test_a_field_about_what_the_rows_leave_out_changes_what_comes_out(
    field: str, rows: slice
) -> None:
    dataset = replace(DATASET, train=DATASET.train.take(rows))
    section, name = field.split(".")
    other = changed(load_config(recipe="light"), **SOFT, train=TRAIN)
    assert other == changed(other, loss={"unseen_by_text": "auto"}, train={"prefix_rows": True})
    config = changed(other, **{section: {name: False}})
    assert outcome(config, dataset) == outcome(config, dataset)
    assert outcome(config, dataset) != outcome(other, dataset)


def test_rows_without_a_possible_negative_are_refused_or_passed_over() -> None:
    # User 1 walks over all items, so that no negative is left for the last train rows.
    events = np.concatenate([[0, 5, 9, 3], np.arange(N_ITEMS), [0, 1, 0, 1, 2, 3]])
    ends = np.array([2, 20, 41, 44, 45, 47], np.int64)
    starts = np.array([0, 4, 4, 4, 4, 46], np.int64)
    last = Rows(np.array([46], np.int64), np.array([49], np.int64))
    dataset = replace(
        DATASET,
        events=events.astype(np.uint32),
        train=Rows(starts, ends),
        validation=last,
        test=last,
        users=Users(pa.array(["few", "=all", "two"]), np.array([0, 4, 46, 50])),
    )
    config = changed(load_config(recipe="light"), **IMPORTANCE, train=TRAIN)
    config = changed(config, train={"prefix_rows": False})
    config = changed(config, loss={"exclude": "history", "exclude_listed": False})
    with pytest.raises(
        InputError, match=r"E-NEG: cycle: user '=all' has met all 40 items \(2 such"
    ):
        outcome(config, dataset)
    alone = replace(dataset, users=None)
    with pytest.raises(InputError, match="E-NEG: cycle: train row 4 has met all 40 items"):
        outcome(config, alone)
    skipping = changed(config, loss={"neg_fallback": "skip"})
    task = make_training_data(skipping, dataset, oracle_teacher(dataset), torch.device("cpu"))
    assert task.sampler is not None
    assert task.sampler.end.tolist() == [3, 21, 42, 48]
    assert len(task.rows.rows) == 4
    every = make_training_data(
        changed(skipping, loss={"exclude": "window"}),
        dataset,
        oracle_teacher(dataset),
        torch.device("cpu"),
    )
    assert len(every.rows.rows) == 6
    assert task.rows.lists is not None
    assert every.rows.lists is not None
    kept = torch.tensor([0, 1, 2, 5])
    assert torch.equal(task.rows.lists.items, every.rows.lists.items[kept])
    assert torch.equal(task.rows.lists.weight, every.rows.lists.weight[kept])
    assert outcome(skipping, dataset) == outcome(skipping, dataset)


def test_items_that_training_never_sees_have_no_id_vector_and_leave_lists_and_softmax() -> None:
    dataset = replace(DATASET, train=DATASET.train.take(slice(0, 9)))
    config = changed(
        load_config(recipe="light"), **SOFT, train=TRAIN, loss={"unseen_by_text": True}
    )
    task = make_training_data(config, dataset, oracle_teacher(dataset), torch.device("cpu"))
    student = make_student(config, dataset, oracle_teacher(dataset))
    windows = dataset.windows(dataset.train)
    seen = {*windows.sequences.ravel().tolist(), *windows.targets.tolist()} - {dataset.n_items}
    counted = task.rows.in_softmax
    assert counted is not None
    assert set(counted.nonzero().flatten().tolist()) == seen
    assert len(seen) < dataset.n_items
    assert student.embedding.known is not None
    assert student.embedding.known.flatten().bool().tolist() == [*counted.tolist(), False]
    assert task.rows.lists is not None
    kept = task.rows.lists.items[task.rows.lists.kept > 0]
    assert len(kept) > 0
    assert set(kept.tolist()) <= seen
