"""The loop: epochs over all rows, selection and early stopping on validation, on one screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm2rec.config import Config
from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.distributed import check_same, own_seed, rank, size
from dllm2rec.errors import NonFiniteError
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.split import split_counts
from dllm2rec.progress import Progress
from dllm2rec.students import Student
from dllm2rec.train.batches import NegativeSampler, TrainingRows, epoch_order
from dllm2rec.train.step import Stepper

SELECTION = "ndcg@20"
# The running loss is read from the device this often: often enough for a person, rare for a GPU.
READ_LOSS_EVERY_S = 0.5
N_NAMED_ROWS = 5


@dataclass(frozen=True, eq=False)
class Task:
    """Everything a training needs, on its device."""

    rows: TrainingRows
    validation: DeviceRows
    target_counts: Tensor  # (N,), how often each item is a train target
    sampler: NegativeSampler | None
    row_names: str  # how to call a row in a message, such as "games train row"


def fit(
    student: Student, task: Task, config: Config, progress: Progress
) -> Iterator[dict[str, float]]:
    """Train epoch by epoch; after each, yield its record with the student as it then stands.

    Stops by itself once `patience` epochs brought no better validation ndcg@20.

    Raises:
        NonFiniteError: a loss term or the gradient is not finite; the update was not made.
    """
    stepper = _stepper(student, task, config)
    best, waited = -1.0, 0
    for epoch in range(config.train.max_epochs):
        began = time.perf_counter()
        losses = _train_epoch(stepper, task, config, epoch, progress)
        check_same(stepper.parameters, f"epoch {epoch + 1}")
        trained = time.perf_counter()
        stepper.optimizer.swap_average()
        counts = split_counts(student, task.validation, exclude_seen=config.evaluation.exclude_seen)
        metrics = rank_metrics(counts, selection_ks(config))
        record = {
            "epoch": float(epoch + 1),
            **losses,
            **metrics,
            "train_s": trained - began,
            "validation_s": time.perf_counter() - trained,
            "rows_per_s": len(task.rows.rows) / (trained - began),
        }
        progress.epoch(record)
        yield record
        stepper.optimizer.swap_average()
        if record[SELECTION] > best:
            best, waited = record[SELECTION], 0
        else:
            waited += 1
        if waited >= config.train.patience:
            return


def selection_ks(config: Config) -> tuple[int, ...]:
    """The reported cut-offs and the one that selects."""
    return tuple(sorted({*config.evaluation.ks, 20}))


def _stepper(student: Student, task: Task, config: Config) -> Stepper:
    propensity = dros_propensity(task.target_counts)
    device = task.target_counts.device
    negatives = None
    if task.sampler is not None:
        shape = (len(task.rows.rows), task.sampler.n_negatives)
        negatives = torch.zeros(shape, dtype=torch.int32, device=device)
    student.train()
    stepper = Stepper(student, task.rows, config, propensity=propensity, negatives=negatives)
    torch.manual_seed(own_seed(config.train.seed))
    if stepper.aids.noise is not None:
        stepper.aids.noise.add_(rank() << 24)  # far from this seed's steps and the next seed's
    batch_size = min(config.train.batch_size, len(task.rows.rows))
    if device.type == "cuda" and size() == 1:
        stepper.capture(batch_size, config.train.seed)
    return stepper


def _train_epoch(
    stepper: Stepper, task: Task, config: Config, epoch: int, progress: Progress
) -> dict[str, float]:
    stepper.student.train()
    stepper.loss_sum.zero_()
    order = epoch_order(len(task.rows.rows), config.train.seed, epoch)
    order = order.to(stepper.loss_sum.device)
    if task.sampler is not None:
        assert stepper.negatives is not None  # noqa: S101 - for mypy
        stepper.negatives.copy_(task.sampler.epoch(config.train.seed, epoch))
    on_cpu = order.device.type == "cpu"
    batches = torch.split(order, config.train.batch_size)
    next_read = time.perf_counter() + READ_LOSS_EVERY_S
    for done, rows in enumerate(batches, start=1):
        stepper.step(rows)
        if on_cpu:
            _stop_if_not_finite(stepper, task, config, epoch, order)
        if time.perf_counter() >= next_read:
            n_rows = min(done * config.train.batch_size, len(order))
            progress.batch(done, len(batches), float(stepper.loss_sum[-1]) / n_rows)
            next_read = time.perf_counter() + READ_LOSS_EVERY_S
    _stop_if_not_finite(stepper, task, config, epoch, order)
    stepper.trouble.clear()
    means = (stepper.loss_sum / len(order)).tolist()
    progress.batch(len(batches), len(batches), means[-1])
    return dict(zip((*(f"loss_{name}" for name in stepper.names), "loss"), means, strict=True))


def _stop_if_not_finite(
    stepper: Stepper, task: Task, config: Config, epoch: int, order: Tensor
) -> None:
    """Raise with the step, the terms and the rows, if the device saw something not finite.

    The weights are those before the bad step, so its terms can be computed once more.
    """
    step = int(stepper.trouble.first)
    if step < 0:
        return
    rows = torch.split(order, config.train.batch_size)[step]
    with torch.no_grad():
        terms = stepper.terms(rows)
    bad = {name: ~torch.isfinite(term) for name, term in terms.items()}
    names = [name for name, where in bad.items() if bool(where.any())]
    if names:
        where = torch.stack(list(bad.values())).any(dim=0)
        culprits = rows[where].tolist()
        listed = ", ".join(map(str, culprits[:N_NAMED_ROWS]))
        what = (
            f"{' and '.join(names)} of {len(culprits)} of {len(rows)} rows not finite "
            f"({task.row_names} {listed}{', ...' if len(culprits) > N_NAMED_ROWS else ''})"
        )
    else:
        listed = ", ".join(map(str, rows.tolist()[:N_NAMED_ROWS]))
        what = f"the gradient is not finite though every loss is ({task.row_names} {listed}, ...)"
    raise NonFiniteError(
        f"E-NONFINITE epoch {epoch + 1} step {step + 1}: {what}; learning rate "
        f"{config.train.learning_rate:g}; the update was not made. hint: lower "
        "train.learning_rate, or raise the temperatures"
    )
