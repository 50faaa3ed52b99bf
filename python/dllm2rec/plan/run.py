"""The plan of a run: what `train_run` with the same arguments would make, hold and take."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from dllm2rec.caller import one_or_more
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.evaluate.baselines import popularity_counts
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.plan.memory import peak_bytes
from dllm2rec.plan.student_plan import StudentPlan
from dllm2rec.plan.timing import catalogue_s, report_s
from dllm2rec.plan.trial_training import train_for_a_moment
from dllm2rec.runtime.device import choose_device, deterministic, device_name
from dllm2rec.students import Student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.teacher.leak import leak_notes
from dllm2rec.tracking.progress import Progress, Silent, TrainingName
from dllm2rec.train.check_run import RunOptions, check_run, teacher_choices
from dllm2rec.train.train_student import student_config, student_label

_log = logging.getLogger(__name__)

WATCH_S = 2.0
# What a student's part is called, by the attribute that holds it.
PARTS = {
    "embedding.ids": "item vectors",
    "embedding.projector": "projection of the teacher",
    "embedding.hidden": "hidden layer of the projection",
    "embedding_loss": "layers to the teacher's vectors",
    "encoder": "encoder",
    "bridge": "bridge",
    "output": "output",
    "bias": "output bias",
    "window_offset": "window offset",
}
# `best`, and a second one for a moment, while it replaces the first.
N_CHECKPOINTS = 2
# States of a training: `last` and, until the student is done, `prev`; a third for a moment.
N_STATES = 3


@dataclass(frozen=True)
class Plan:
    """A run before it is started.

    Attributes:
        dataset: its name.
        device: where it would be trained.
        n_items: N.
        n_train: rows to learn from.
        n_validation: rows to choose by.
        n_test: rows to report.
        max_epochs: of each training.
        patience: epochs without a better one after which a training stops earlier.
        students: one for each student's row of the table.
        n_seeds: how often each of them is trained.
        notes: what the teacher lacks and how it may mislead, as `train_run` notes it.
        host_bytes: memory of the process at its peak.
        disk_bytes: checkpoints of the whole run, at most.
        opening_s: seconds to read the data; 0 until `with_opening` sets them.
        baselines_s: seconds of the rows that are not trained.
        report_s: seconds to write the catalogue and to draw the report.
        seconds: all of it, if every training goes to its last epoch; None where a student does
            not fit.
    """

    dataset: str
    device: str
    n_items: int
    n_train: int
    n_validation: int
    n_test: int
    max_epochs: int
    patience: int
    students: list[StudentPlan]
    n_seeds: int
    notes: list[str]
    host_bytes: int
    disk_bytes: int
    opening_s: float
    baselines_s: float
    report_s: float
    seconds: float | None

    def with_opening(self, seconds: float) -> Plan:
        """The same plan, with the seconds that it took to read the data."""
        whole = None if self.seconds is None else self.seconds + seconds
        return replace(self, opening_s=seconds, seconds=whole)


def plan_run(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    *,
    students: str | Iterable[str],
    baseline: bool = True,
    watch_s: float = WATCH_S,
    n_seeds: int = 1,
    progress: Progress | None = None,
) -> Plan:
    """Estimate what `train_run` with the same arguments needs; no test row is read.

    Memory and time are those of the run's own loop, of a checkpoint and of a page drawn.

    Args:
        config: as for `train_run`.
        dataset: as for `train_run`.
        teacher: as for `train_run`.
        students: names of `student.name`.
        baseline: whether each student is also trained without the teacher.
        watch_s: seconds of training to watch for each student.
        n_seeds: as for `train_run`; an upper bound where a GPU trains them side by side.
        progress: receives which student is measured; by default nothing does.

    Raises:
        ConfigError: the device asked for is not there, or a K exceeds the catalogue.
        InputError: a split has no rows, or nothing of the teacher can be used.
        NonFiniteError: a loss stopped being finite within the watch.
    """
    students = tuple(dict.fromkeys(one_or_more(students, str)))
    options = RunOptions(baseline=baseline, n_seeds=n_seeds)
    config, notes = fit_to_teacher(config, teacher)
    check_run(config, dataset, teacher, students, options)
    notes += [] if teacher is None else leak_notes(teacher, dataset)
    for note in notes:
        _log.warning("%s", note)
    device = choose_device(config.train.device)
    progress = progress or Silent()
    peaks = [peak_bytes()]
    writing_s = catalogue_s(dataset.catalogue)
    baselines_s = _baselines_s(dataset)
    peaks.append(peak_bytes())
    plans, keys = [], []
    with deterministic():
        for name in students:
            for with_teacher in teacher_choices(teacher, baseline=baseline):
                student_plan = student_config(config, name, with_teacher=with_teacher)
                progress.start(
                    TrainingName(student_label(student_plan, with_teacher=with_teacher)), 1
                )
                knowledge = teacher if with_teacher else None
                plan, shown = _plan_student(student_plan, dataset, knowledge, device, watch_s)
                progress.finish(f"{plan.n_parameters:,} parameters")
                plans.append(plan)
                keys += [shown] * plan.n_trainings
                peaks += [peak_bytes(), plan.memory_bytes if device.type == "cpu" else 0]
    known = [plan.seconds for plan in plans if plan.seconds is not None]
    drawing_s = writing_s + report_s(keys, config.train.max_epochs)
    peaks.append(peak_bytes())
    whole_s = baselines_s + n_seeds * sum(known) + drawing_s
    return Plan(
        dataset=dataset.name,
        device=device_name(device),
        n_items=dataset.n_items,
        n_train=len(dataset.train),
        n_validation=len(dataset.validation),
        n_test=len(dataset.test),
        max_epochs=config.train.max_epochs,
        patience=config.train.patience,
        students=plans,
        host_bytes=max(peaks),
        n_seeds=n_seeds,
        notes=notes,
        disk_bytes=n_seeds
        * sum(
            N_CHECKPOINTS * plan.checkpoint_bytes + N_STATES * plan.state_bytes for plan in plans
        ),
        opening_s=0.0,
        baselines_s=baselines_s,
        report_s=drawing_s,
        seconds=whole_s if len(known) == len(plans) else None,
    )


def _baselines_s(dataset: SequenceDataset) -> float:
    """Time popularity and window counts on the validation rows; the test rows take as long each."""
    began = time.perf_counter()
    fitted = fit_window_counts(dataset)
    fitting_s = time.perf_counter() - began
    popularity_counts(dataset, dataset.validation)
    fitted.rank_counts(dataset.validation)
    scoring_s = time.perf_counter() - began - fitting_s
    return fitting_s + scoring_s * (1 + len(dataset.test) / len(dataset.validation))


def _plan_student(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    watch_s: float,
) -> tuple[StudentPlan, tuple[str, ...]]:
    """One student, and the keys of its epochs' records."""
    dropouts, weights = config.student.dropouts, config.distillation.ranking_weights
    config = changed(config, student={"dropout": max(dropouts)})  # as dear as the others
    middle = weights[len(weights) // 2]
    others = len(dropouts) - 1 + config.train.refit  # the last one on validation rows as well
    kinds = list(_kinds((*weights, *[middle] * others)))
    seen = []
    for weight, n_trainings in kinds:
        one = changed(config, distillation={"ranking_weight": weight})
        seconds = watch_s / len(kinds)
        again = n_trainings > 1
        seen.append(train_for_a_moment(one, dataset, teacher, device, seconds=seconds, again=again))
    times = [one.times for one in seen if one.times is not None]
    slowest = max(times, key=lambda times: times.epoch_s, default=None)
    taken = [
        one.seconds(n_trainings, config.train)
        for one, (_, n_trainings) in zip(seen, kinds, strict=True)
    ]
    known = [seconds for seconds in taken if seconds is not None]
    student_s = None
    if slowest is not None and len(known) == len(kinds):
        test_s = slowest.validation_s * len(dataset.test) / len(dataset.validation)
        student_s = sum(known) + seen[-1].load_s + test_s
    student = seen[-1].student
    plan = StudentPlan(
        name=student_label(config, with_teacher=teacher is not None),
        dropouts=dropouts,
        ranking_weights=weights,
        refit=config.train.refit,
        parameters=_parameters(student),
        memory=_largest([one.memory for one in seen]),
        fits=student_s is not None,
        checkpoint_bytes=_folded_bytes(student),
        state_bytes=max(one.state_bytes for one in seen),
        steps_per_epoch=-(-seen[-1].n_rows // config.train.batch_size),
        train_s=None if slowest is None else slowest.train_s,
        validation_s=None if slowest is None else slowest.validation_s,
        seconds=student_s,
    )
    return plan, () if slowest is None else slowest.keys


def _largest(kinds: Sequence[dict[str, int]]) -> dict[str, int]:
    """The most of each part: which kind needs most in all is up to what the process did before."""
    parts = dict.fromkeys(part for kind in reversed(kinds) for part in kind)
    return {part: max(kind.get(part, 0) for kind in kinds) for part in parts}


def _kinds(weights: tuple[float, ...]) -> Iterator[tuple[float, int]]:
    """A weight to measure for each kind of step, and how often it is trained.

    All weights above 0 take the same step; at 0 there are no lists in it.
    """
    zeros = sum(weight == 0 for weight in weights)
    if zeros:
        yield 0.0, zeros
    if zeros < len(weights):
        yield max(weights), len(weights) - zeros


def _parameters(student: Student) -> dict[str, int]:
    counts = dict.fromkeys(PARTS.values(), 0)
    for name, parameter in student.named_parameters():
        part = next(word for start, word in PARTS.items() if name.startswith(start))
        counts[part] += parameter.numel()
    return {part: count for part, count in counts.items() if count}


def _folded_bytes(student: Student) -> int:
    """The tensors that a checkpoint holds: those of the student without the teacher."""
    tensors = student.fold().state_dict().values()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
