"""The loop: epochs over all rows, selection and early stopping on validation, on one screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from dllm2rec.batches.epoch_sampler import EpochSampler
from dllm2rec.batches.passes import pass_order
from dllm2rec.batches.training_data import TrainingData
from dllm2rec.batches.training_rows import TrainingRows
from dllm2rec.caller import words
from dllm2rec.config.model import Config
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.errors import ArtifactError, NonFiniteError
from dllm2rec.evaluate.evaluate_split import SplitLists, split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runs.training_state import TrainingState
from dllm2rec.runtime.distributed import check_same, process_noise_offset, seed_step
from dllm2rec.students import Student
from dllm2rec.students.sharded import is_sharded, own_tensors, replicated, whole_tensors
from dllm2rec.tracking.metric_names import SELECTION, SELECTION_K
from dllm2rec.tracking.progress import Progress
from dllm2rec.train.loss_readout import loss_readout
from dllm2rec.train.nonfinite import report as nonfinite_report
from dllm2rec.train.sharded.step import ShardedStepper
from dllm2rec.train.step import Stepper

Record = dict[str, float]


class TrainingCallback:
    """What is called while a student is trained; this one does nothing."""

    def after_step(self, training: Training) -> None:
        """Called between two steps: a state saved here resumes exactly there."""

    def released(self, training: Training) -> AbstractContextManager[None]:
        """Entered around the validation pass, which may be interrupted at any moment."""
        return nullcontext()


def fit(
    training: Training, progress: Progress, callback: TrainingCallback | None = None
) -> Iterator[Record]:
    """Train epoch by epoch; after each, yield its record with the student as it then is.

    Stops once `patience` epochs brought no better validation ndcg@20.

    Raises:
        NonFiniteError: a loss term or the gradient is not finite; the update was not made.
    """
    yield from (
        record for record in walk(training, progress, callback or TrainingCallback()) if record
    )


def walk(
    training: Training, progress: Progress, callback: TrainingCallback
) -> Iterator[Record | None]:
    """What `fit` does, yielding None after each step too: several can be trained side by side."""
    while not training.is_over:
        for _ in training.steps(progress):
            callback.after_step(training)
            yield None
        check_same(replicated(training.student), f"epoch {training.epoch + 1}")
        losses = training.losses()
        training.stepper.optimizer.swap_average()
        try:
            with callback.released(training):
                record = training.validated(losses)
        except BaseException:
            training.stepper.optimizer.swap_average()
            raise
        progress.epoch(record)
        yield record
        training.stepper.optimizer.swap_average()
        training.close_epoch(record)


class Training:
    """One student being trained: how far it is, and everything that a resumed training needs.

    Attributes:
        student: on the device of the data.
        config: one ranking weight.
        stepper: what updates the student.
        records: one of every epoch done.
        step: steps taken of the epoch under way.
        seconds: training time of the epoch under way.
    """

    def __init__(self, student: Student, data: TrainingData, config: Config) -> None:
        self.student = student
        self.data = data
        self.config = config
        passes = pass_order(data.rows.rows, config, has_users=data.has_users)
        rows = data.rows if passes is None else data.rows.in_passes(passes.capacity)
        self.stepper = _stepper(student, rows, data, config)
        self.records: list[Record] = []
        self.step, self.seconds = 0, 0.0
        self._epoch_sampler = EpochSampler(
            len(data.rows.rows), data.sampler, config.train, self.device, passes
        )
        seen = config.evaluation.exclude_seen
        self._lists = SplitLists(data.validation, exclude_seen=seen)
        self._order, self._drawn_epoch = torch.empty(0, dtype=torch.int64), -1

    @property
    def device(self) -> torch.device:
        """Where the student is."""
        return self.data.target_counts.device

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0."""
        return len(self.records)

    @property
    def is_over(self) -> bool:
        """Whether there is no further epoch: all are done, or patience has run out."""
        scores = [record[SELECTION] for record in self.records]
        waited = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        return self.epoch >= self.config.train.max_epochs or waited >= self.config.train.patience

    def steps(self, progress: Progress) -> Iterator[None]:
        """Take the steps that are left of the epoch under way, yielding after each."""
        self.student.train()
        if self._drawn_epoch != self.epoch:
            self._draw()
        batches = torch.split(self._order, self.config.train.batch_size)
        readout = loss_readout(self.device)
        for rows in batches[self.step :]:
            began = time.perf_counter()
            seed_step(self.config.train.seed, self.epoch, self.step)
            self.stepper.step(rows)
            self.step += 1
            if self.device.type == "cpu":
                self.check_finite()
            total = readout.step(self.stepper.loss_sum)
            self.seconds += time.perf_counter() - began
            if total is not None:
                n_rows = min(self.step * self.config.train.batch_size, len(self._order))
                progress.batch(self.step, len(batches), total / n_rows)
            yield
        began = time.perf_counter()
        self.check_finite()  # on CUDA this waits for the device
        self.check_weights()
        self.seconds += time.perf_counter() - began
        progress.batch(
            len(batches), len(batches), float(self.stepper.loss_sum[-1]) / len(self._order)
        )

    def losses(self) -> dict[str, float]:
        """The epoch's mean of each term and of their sum, `loss`, once all steps are taken."""
        means = (self.stepper.loss_sum / len(self._order)).tolist()
        names = (*(f"loss_{name}" for name in self.stepper.names), "loss")
        return dict(zip(names, means, strict=True))

    def validated(self, losses: dict[str, float]) -> Record:
        """Score the student as it is now on the validation rows; return the epoch's record."""
        began = time.perf_counter()
        try:
            counts = split_counts(
                self.student,
                self.data.validation,
                exclude_seen=self._lists.exclude_seen,
                lists=self._lists,
            )
        except NonFiniteError as err:  # finite weights, but so large that scores are not
            what = f"the student cannot be validated ({err})"
            raise nonfinite_report.diverged_after(*self._where(), what) from err
        return {
            "epoch": float(self.epoch + 1),
            **losses,
            **rank_metrics(counts, selection_ks(self.config)),
            "train_s": self.seconds,
            "validation_s": time.perf_counter() - began,
            "rows_per_s": len(self.data.rows.rows) / self.seconds,
        }

    def close_epoch(self, record: Record) -> None:
        """Keep an epoch's record and go to the beginning of the next."""
        self.records.append(record)
        self.step, self.seconds = 0, 0.0

    def tensors(self) -> dict[str, Tensor]:
        """What `load` needs: weights, moments, averages, sums and generators; not copied.

        Those of the first process are for all: the others' differ in what `seed_step` sets anew.

        Raises:
            NonFiniteError: the device met a step that must not be resumed from.
        """
        self.check_finite()
        self.check_weights()
        stepper = self.stepper
        result = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        result |= {f"optimizer.{name}": value for name, value in stepper.optimizer.state().items()}
        others = {"loss_sum": stepper.loss_sum, "generator": torch.get_rng_state()}
        result = whole_tensors(self.student, result) | others
        if stepper.buffers.noise is not None:
            result["noise"] = stepper.buffers.noise
        if self.device.type == "cuda":
            result["generator_cuda"] = torch.cuda.get_rng_state(self.device)
        return result

    def load(self, state: TrainingState) -> None:
        """Resume from the state of a training of this configuration, on whichever device.

        From another kind of device, or from the weights alone, generators start afresh.

        Raises:
            ArtifactError: a tensor is missing, or has another shape.
        """
        tensors, stepper = own_tensors(self.student, state.tensors), self.stepper
        noise = stepper.buffers.noise
        try:
            self.student.load_state_dict(_named(tensors, "student."))
            if state.weights_only:
                stepper.optimizer.begin_average()
            else:
                stepper.optimizer.load(_named(tensors, "optimizer."))
                stepper.loss_sum.copy_(tensors["loss_sum"])
                if state.device != self.device.type:
                    if noise is not None:  # no step draws what an earlier one drew
                        noise.add_(int(tensors["optimizer.n_updates"]))
                else:
                    torch.set_rng_state(tensors["generator"])
                    if noise is not None:
                        noise.copy_(tensors["noise"]).add_(process_noise_offset())
                    if self.device.type == "cuda":
                        torch.cuda.set_rng_state(tensors["generator_cuda"], self.device)
        except (KeyError, RuntimeError) as err:
            raise ArtifactError(
                f"{err} in the state of a training, expected that of this configuration; resume "
                "from its weights alone with "
                + words(python="weights_only=True", option="--weights-only-resume")
            ) from err
        self.records = state.own_records()
        self.step, self.seconds = state.step, state.seconds
        stepper.guard.steps.fill_(state.step)

    def check_finite(self) -> None:
        """Stop if the device met a loss or a gradient that is not finite.

        Raises:
            NonFiniteError: with the epoch, the step, the terms and the rows.
        """
        stepper, data, config, epoch, _, order = self._where()
        nonfinite_report.raise_if_not_finite(stepper, data, config, epoch, order)

    def check_weights(self) -> None:
        """Stop, as `check_finite`, if the last update left weights that are not finite."""
        nonfinite_report.raise_if_weights_not_finite(*self._where())

    def _where(self) -> tuple[Stepper, TrainingData, Config, int, int, Tensor]:
        return self.stepper, self.data, self.config, self.epoch, self.step, self._order

    def _draw(self) -> None:
        drawn, stepper = self._epoch_sampler.of(self.epoch), self.stepper
        self._order = drawn.order.to(self.device, non_blocking=True)
        if drawn.negatives is not None and stepper.negatives is not None:
            stepper.negatives.copy_(drawn.negatives, non_blocking=True)
        if drawn.passes is not None and stepper.rows.passes is not None:
            stepper.rows.passes.number.copy_(drawn.passes, non_blocking=True)
        if self.step == 0:
            self.stepper.loss_sum.zero_()
            self.stepper.guard.clear()
        self._drawn_epoch = self.epoch


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def selection_ks(config: Config) -> tuple[int, ...]:
    """The reported cut-offs and the one of the selection metric."""
    return tuple(sorted({*config.evaluation.ks, SELECTION_K}))


def _stepper(student: Student, rows: TrainingRows, data: TrainingData, config: Config) -> Stepper:
    propensity = dros_propensity(data.target_counts)
    device, negatives = data.target_counts.device, None
    if data.sampler is not None:
        shape = (len(rows.rows), data.sampler.n_negatives)
        negatives = torch.zeros(shape, dtype=torch.int32, device=device)
    student.train()
    kind = ShardedStepper if is_sharded(student) else Stepper
    stepper = kind(student, rows, config, propensity=propensity, negatives=negatives)
    torch.manual_seed(config.train.seed)
    if stepper.buffers.noise is not None:
        stepper.buffers.noise.add_(process_noise_offset())
    if device.type == "cuda":
        stepper.prepare(min(config.train.batch_size, len(rows.rows)), config.train.seed)
    return stepper
