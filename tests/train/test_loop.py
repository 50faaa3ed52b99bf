"""The loop: one seed one result, validation alone selects, nothing non-finite is ever applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import NonFiniteError
from dllm2rec.students import Student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Silent
from dllm2rec.train.loop import Training, fit
from tests.support.worlds import cycle_dataset, oracle_teacher

CPU = torch.device("cpu")
QUICK = changed(
    Config(),
    student={"hidden_size": 8, "dropout": 0.1},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "learning_rate": 0.01, "device": "cpu"},
)


def train(
    config: Config,
    dataset: SequenceDataset | None = None,
    teacher: TeacherKnowledge | None = None,
    *,
    device: torch.device = CPU,
) -> tuple[Student, list[dict[str, float]]]:
    dataset = cycle_dataset() if dataset is None else dataset
    teacher = oracle_teacher(dataset) if teacher is None else teacher
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    task = make_training_data(config, dataset, teacher, device)
    return student, list(fit(Training(student, task, config), Silent()))


def bits(student: Student) -> bytes:
    return b"".join(p.detach().cpu().numpy().tobytes() for p in student.parameters())


def test_one_seed_gives_one_result_and_another_seed_another() -> None:
    first, again, other = (
        train(config)[0] for config in (QUICK, QUICK, changed(QUICK, train={"seed": 1}))
    )
    assert bits(first) == bits(again)
    assert bits(first) != bits(other)


def test_events_and_rows_of_mapped_files_give_the_same_bits(tmp_path: Path) -> None:
    def mapped(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
        np.save(tmp_path / name, values)
        return np.asarray(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))

    dataset = cycle_dataset()
    train_rows = Rows(mapped(dataset.train.start, "start"), mapped(dataset.train.end, "end"))
    on_disk = replace(dataset, events=mapped(dataset.events, "events"), train=train_rows)
    assert bits(train(QUICK, on_disk)[0]) == bits(train(QUICK, dataset)[0])


def test_test_rows_change_no_bit_of_the_trained_student() -> None:
    dataset = cycle_dataset()
    events = dataset.events.copy()
    events[dataset.test.end] = (events[dataset.test.end] + 7) % dataset.n_items
    assert bits(train(QUICK)[0]) == bits(train(QUICK, replace(dataset, events=events))[0])


def test_validation_rows_change_what_is_selected_by_but_not_the_weights() -> None:
    dataset = cycle_dataset()
    events = dataset.events.copy()
    # Only the validation targets: the test rows' histories hold them too, but are not read.
    events[dataset.validation.end] = (events[dataset.validation.end] + 7) % dataset.n_items
    student, records = train(QUICK)
    other, other_records = train(QUICK, replace(dataset, events=events))
    assert bits(student) == bits(other)
    assert records[-1]["ndcg@20"] != other_records[-1]["ndcg@20"]


def test_training_stops_after_patience_epochs_without_a_better_validation() -> None:
    config = changed(QUICK, train={"max_epochs": 50, "patience": 2, "learning_rate": 1e-9})
    _, records = train(config)
    scores = [record["ndcg@20"] for record in records]
    best = int(np.argmax(scores))
    assert len(records) < 50
    assert len(records) == best + 1 + 2


def test_the_loss_falls_and_its_parts_add_up() -> None:
    config = changed(
        QUICK,
        loss={"base": "bce", "dro_weight": 0.5},
        distillation={"ranking_form": "importance", "confidence_temperature": 0.2},
        train={"max_epochs": 5},
    )
    _, records = train(config)
    assert records[-1]["loss"] < records[0]["loss"]
    for record in records:
        parts = record["loss_base"] + record["loss_dro"] + record["loss_ranking"]
        assert record["loss"] == pytest.approx(parts, rel=1e-5)


def test_a_nan_in_the_weights_stops_before_the_update_and_names_the_rows() -> None:
    dataset = cycle_dataset()
    torch.manual_seed(0)
    student = make_student(QUICK, dataset, oracle_teacher(dataset))
    with torch.no_grad():
        student.embedding.ids.weight[11, 0] = torch.nan
    before = bits(student)
    task = make_training_data(QUICK, dataset, oracle_teacher(dataset), CPU)
    with pytest.raises(
        NonFiniteError, match=r"epoch 1 step 1: base not finite in \d+ of 64 rows"
    ) as caught:
        list(fit(Training(student, task, QUICK), Silent()))
    assert "cycle train row" in str(caught.value)
    assert bits(student) == before


def test_only_the_rows_at_fault_are_named() -> None:
    config = changed(
        QUICK,
        loss={"base": "bce"},
        student={"dropout": 0.0, "window_offset": False},
        distillation={"ranking_weight": 0.0, "embedding_weight": 0.0},
        train={"batch_size": 1024},
    )
    dataset = cycle_dataset()
    task = make_training_data(config, dataset, None, CPU)
    student = make_student(config, dataset, None)
    with torch.no_grad():
        student.embedding.ids.weight[3] = torch.inf
    with pytest.raises(NonFiniteError) as caught:
        list(fit(Training(student, task, config), Silent()))
    message = str(caught.value)
    n_bad = int(message.split("base not finite in ")[1].split(" of ")[0])
    assert 0 < n_bad < len(dataset.train)


def test_a_huge_learning_rate_ends_in_a_message_with_finite_weights() -> None:
    config = changed(
        QUICK,
        loss={"base": "bce", "dro_weight": 1.0},
        train={"learning_rate": 1e20},
        distillation={"ranking_form": "importance"},
    )
    dataset = cycle_dataset()
    student = make_student(config, dataset, oracle_teacher(dataset))
    task = make_training_data(config, dataset, oracle_teacher(dataset), CPU)
    with pytest.raises(NonFiniteError, match="learning rate 1e"):
        list(fit(Training(student, task, config), Silent()))
    assert all(torch.isfinite(p).all() for p in student.parameters())


def test_a_last_batch_of_one_row_is_trained() -> None:
    dataset = cycle_dataset()
    config = changed(QUICK, train={"batch_size": len(dataset.train) - 1, "max_epochs": 1})
    _, records = train(config, dataset)
    assert np.isfinite(records[0]["loss"])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["gru4rec", "caser", "sasrec"])
def test_a_cuda_graph_trains_as_the_cpu_does(name: str) -> None:
    config = changed(
        QUICK,
        student={"name": name, "dropout": 0.0},
        loss={"base": "bce", "dro_weight": 0.5},
        distillation={"ranking_form": "importance"},
        train={"learning_rate": 1e-3},
    )
    on_cpu, records = train(config)
    on_gpu, gpu_records = train(config, device=torch.device("cuda"))
    for mine, theirs in zip(records, gpu_records, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    again, _ = train(config, device=torch.device("cuda"))
    assert bits(on_gpu) == bits(again)
    assert bits(on_cpu) != b""


def diverging(what: str) -> Training:
    """A training that is broken by its last update of an epoch, or found broken at validation."""
    dataset = cycle_dataset()
    config = changed(QUICK, train={"max_epochs": 1, "batch_size": 4096})
    torch.manual_seed(0)
    student = make_student(config, dataset, oracle_teacher(dataset))
    task = make_training_data(config, dataset, oracle_teacher(dataset), CPU)
    training = Training(student, task, config)
    taken = training.stepper.step

    def break_after(rows: torch.Tensor) -> None:
        taken(rows)
        with torch.no_grad():
            if what == "overflow":
                for weight in student.parameters():
                    weight.fill_(3e38)
            else:
                student.embedding.ids.weight[3, 1] = float(what)

    training.stepper.step = break_after  # type: ignore[method-assign]
    return training


@pytest.mark.parametrize("what", ["nan", "inf", "overflow"])
def test_a_student_broken_by_the_last_update_of_an_epoch_is_told_with_its_place(what: str) -> None:
    with pytest.raises(NonFiniteError) as caught:
        list(fit(diverging(what), Silent()))
    message = str(caught.value)
    assert message.startswith("E-NONFINITE sasrec, ranking weight 0")
    assert "epoch 1 step 1: " in message
    assert "cycle train rows " in message
    assert "hint: lower train.learning_rate" in message
    found = "cannot be validated" if what == "overflow" else "in the weights embedding.ids.weight"
    assert found in message


def test_weights_that_are_not_finite_are_never_saved_as_a_state() -> None:
    training = diverging("nan")
    steps = training.steps(Silent())
    next(steps)
    with pytest.raises(NonFiniteError, match="in the weights embedding"):
        training.tensors()
