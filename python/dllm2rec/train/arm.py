"""One student, with or without the teacher: each ranking weight is trained, validation chooses."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dllm2rec.artifact import replace_text
from dllm2rec.checkpoint import load_checkpoint
from dllm2rec.config import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.distributed import OthersEndedError, is_first, size, told_by_first, wait_for_all
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.evaluate.split import split_counts
from dllm2rec.pointers import delete_unnamed
from dllm2rec.progress import Later, Progress, TrainingName
from dllm2rec.settings import changed, config_to_toml
from dllm2rec.students import Student, build_student
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.batches import (
    leaves_out_unseen,
    negative_sampler,
    seen_items,
    train_rows,
    training_rows,
)
from dllm2rec.train.interrupt import Interrupts
from dllm2rec.train.keeper import Keeper
from dllm2rec.train.loop import SELECTION, Record, Task, Training, selection_ks, walk
from dllm2rec.train.state import TrainingState, load_state

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class ResultRow:
    """One line of a run's table.

    Attributes:
        name: `popularity`, `window counts`, `teacher`, `sasrec`, `sasrec + dllm2rec`, ...
        validation: metrics by name, such as `ndcg@20`.
        test: the same on the test rows.
        detail: what else there is to say: the epoch, the ranking weight, seconds.
        deviation: standard deviation of each test metric over seeds, empty for one seed.
        seeds: the test metrics of each seed, empty for one seed.
    """

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    detail: dict[str, float] = field(default_factory=dict)
    deviation: dict[str, float] = field(default_factory=dict)
    seeds: list[dict[str, float]] = field(default_factory=list)


def mean_row(rows: Sequence[ResultRow]) -> ResultRow:
    """One row of several seeds of a student: the means, and how far the test metrics spread.

    The deviation is that of a sample: with n seeds it divides by n - 1.
    """
    if len(rows) == 1:
        return rows[0]

    def mean(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        return {key: statistics.fmean(part[key] for part in parts) for key in parts[0]}

    tests = [row.test for row in rows]
    return ResultRow(
        name=rows[0].name,
        validation=mean([row.validation for row in rows]),
        test=mean(tests),
        detail=mean([row.detail for row in rows]),
        deviation={key: statistics.stdev(test[key] for test in tests) for key in tests[0]},
        seeds=tests,
    )


def arm_config(config: Config, student: str, *, with_teacher: bool) -> Config:
    """The configuration of one student with or without the teacher; all else stays as it is."""
    if with_teacher:
        return changed(config, student={"name": student})
    return changed(
        config,
        student={"name": student},
        distillation={"ranking_weight": 0.0, "embedding_weight": 0.0},
    )


def arm_name(config: Config, *, with_teacher: bool) -> str:
    """How tables call a student: `sasrec`, `sasrec+dros`, with ` + dllm2rec` if it was taught."""
    loss = "+dros" if config.loss.dro_weight > 0 else ""
    return f"{config.student.name}{loss}{' + dllm2rec' if with_teacher else ''}"


def train_arm(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    run_folder: Path,
    device: torch.device,
    progress: Progress,
    interrupts: Interrupts,
    *,
    n_seeds: int = 1,
) -> ResultRow:
    """Train one student for each ranking weight, keep what validation likes best, test it once.

    Its folder is `run_folder/<name>` with blanks left out: `sasrec`, `sasrec+dllm2rec`, ...; with
    several seeds each has its own, `sasrec-seed-3`. A student that is done there is not trained
    again; one that was interrupted goes on. Each seed's result is what it would be alone.

    Args:
        config: with a list of ranking weights each is tried, by every seed for itself.
        dataset: what to learn from.
        teacher: None trains the student alone.
        run_folder: the run's.
        device: where to train.
        progress: is told how it goes.
        interrupts: what came of Ctrl-C and SIGTERM.
        n_seeds: train.seed and the following ones; the row is their mean.

    Raises:
        InputError: the configuration needs what the teacher or the dataset does not have.
        ArtifactError: what is in the folder is corrupt, or of another configuration.
        NonFiniteError: a loss stopped being finite.
        ResourceError: the disk is full.
        KeyboardInterrupt, SystemExit: a signal came; where the training stands is saved.
    """
    name = arm_name(config, with_teacher=teacher is not None)
    place = run_folder / name.replace(" ", "")
    seats = [_Seat(name, place, config)]
    if n_seeds > 1:
        first = config.train.seed
        seats = [
            _Seat(
                name,
                place.with_name(f"{place.name}-seed-{seed}"),
                changed(config, train={"seed": seed}),
                seed,
            )
            for seed in range(first, first + n_seeds)
        ]
    trained = [one for one in seats if not one.is_done()]
    _train_seats(trained, dataset, teacher, device, progress, interrupts)
    return mean_row([one.result() for one in seats])


@dataclass(frozen=True)
class _Seat:
    """One seed of a student: what tables call it, its folder and its configuration."""

    name: str
    folder: Path
    config: Config
    seed: int | None = None  # None where the run has only one

    def is_done(self) -> bool:
        return told_by_first(lambda: str((self.folder / RESULT_FILE).is_file())) == str(True)

    def result(self) -> ResultRow:
        return ResultRow(**json.loads((self.folder / RESULT_FILE).read_text(encoding="utf-8")))


def _train_seats(
    seats: Sequence[_Seat],
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """Train all seeds: on CUDA side by side, where none draws from a generator that they share.

    A small student leaves most of a GPU idle; on a CPU one training has all cores.
    """
    if not seats:
        return
    together = device.type == "cuda" and size() == 1 and draws_alone(seats[0].config)
    # One training at a time can be watched: what comes of the others is told when all have ended.
    later = [Later() for _ in seats[1:]] if together else []
    told = [progress, *later] if together else [progress] * len(seats)
    trainings = [
        _train_seat(seat, dataset, teacher, device, one, interrupts)
        for seat, one in zip(seats, told, strict=True)
    ]
    try:
        if together:
            _side_by_side(trainings)
        for training in trainings:
            for _ in training:
                pass
    except (KeyboardInterrupt, SystemExit) as err:
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # what is saved below was written on other streams
        for training in trainings:  # those under way save where they stand
            with suppress(type(err)):
                training.throw(err)
        raise
    for one in later:
        one.tell(progress)


def draws_alone(config: Config) -> bool:
    """Whether what a training draws on CUDA depends on its own seed and step alone."""
    return config.student.name == "sasrec" or config.student.dropout == 0


def _side_by_side(trainings: Sequence[Iterator[None]]) -> None:
    """Take a step of each in turn, each on a stream of its own, until all have ended."""
    streams = [torch.cuda.Stream() for _ in trainings]  # type: ignore[no-untyped-call]
    under_way = list(zip(trainings, streams, strict=True))
    while under_way:
        for training, stream in tuple(under_way):
            with torch.cuda.stream(stream):
                if next(training, True):
                    under_way.remove((training, stream))


def _train_seat(
    seat: _Seat,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    progress: Progress,
    interrupts: Interrupts,
) -> Generator[None, None, None]:
    """Train one seed to its `result.json`, yielding after every step."""
    folder, config = seat.folder, seat.config
    if is_first():
        _clean(folder)
        replace_text(folder / "config.toml", config_to_toml(config))
    wait_for_all(f"{seat.name}: starting")
    state = load_state(folder)
    keeper = Keeper(folder, interrupts, dataset.max_length, [] if state is None else state.records)
    only = len(config.distillation.ranking_weights) == 1
    for weight in _weights_left(config, state):
        one = changed(config, distillation={"ranking_weight": weight})
        progress.start(
            TrainingName(seat.name, ranking_weight=None if only else weight, seed=seat.seed),
            config.train.max_epochs,
            [record for record in keeper.records if record["ranking_weight"] == weight],
        )
        training = _training(one, dataset, teacher, device)
        if state is not None and state.ranking_weight == weight:
            _go_on(training, state, folder)
        with interrupts.held():
            yield from _kept(training, progress, keeper)
        reached = max(record[SELECTION] for record in training.records)
        progress.finish(f"validation {SELECTION} {reached:.4f}")
    wait_for_all(f"{seat.name}: saved")
    result = _test_best(dataset, folder, device, seat.name, keeper.records)
    if is_first():
        replace_text(folder / RESULT_FILE, json.dumps(asdict(result), indent=1) + "\n")
        (folder / "prev").unlink(missing_ok=True)
        delete_unnamed(folder)
    wait_for_all(f"{seat.name}: done")


def _clean(folder: Path) -> None:
    """Leave in a student's folder what an interrupted training can go on from, and nothing else.

    Raises:
        ArtifactError: its state is corrupt, or its best student so far is.
    """
    state = load_state(folder)
    if state is None and folder.is_dir():
        shutil.rmtree(folder)  # it died before it saved where it stood
    folder.mkdir(parents=True, exist_ok=True)
    delete_unnamed(folder)
    if state is not None and state.records:
        load_checkpoint(folder)  # refused now, not after the training


def _weights_left(config: Config, state: TrainingState | None) -> tuple[float, ...]:
    """The ranking weights from the one under way."""
    weights = config.distillation.ranking_weights
    if state is None or state.ranking_weight not in weights:
        return weights
    return weights[weights.index(state.ranking_weight) :]


def _kept(training: Training, progress: Progress, keeper: Keeper) -> Iterator[None]:
    """Train to the end, or until a signal comes; either way the state is saved."""
    try:
        for record in walk(training, progress, keeper):
            if record:
                keeper.after_epoch(training, record)
            else:
                yield
    except (KeyboardInterrupt, SystemExit):
        keeper.save_for_later(training)
        raise
    except OthersEndedError:
        # On the CPU the step that failed has changed nothing; on CUDA it may have.
        if training.device.type == "cpu":
            keeper.save_for_later(training)
        raise
    keeper.save_state(training)


def _training(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> Training:
    """Everything fresh: weights from the seed, data on the device."""
    torch.manual_seed(config.train.seed)
    student = make_student(config, dataset, teacher).to(device)
    return Training(student, make_task(config, dataset, teacher, device), config)


def _go_on(training: Training, state: TrainingState, folder: Path) -> None:
    """Let a fresh training stand where a state was saved."""
    own = training.config.model_dump(mode="json")
    theirs = {"n_items": state.n_items, **_flat(state.config)}
    for key, value in {"n_items": training.student.n_items, **_flat(own)}.items():
        # The device may be told in another way; what it must be, the tensors of the state tell.
        if key != "train.device" and theirs.get(key) != value:
            raise ArtifactError(
                f"{folder}: its training has {key} = {theirs.get(key)}, expected {value}; "
                "train again in another folder"
            )
    records = [r for r in state.records if r["ranking_weight"] == state.ranking_weight]
    training.load(
        state.tensors,
        [{k: v for k, v in record.items() if k != "ranking_weight"} for record in records],
        state.step,
        state.seconds,
    )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """`section.field` of a configuration's plain values."""
    sections = {key: value for key, value in config.items() if isinstance(value, dict)}
    flat = {
        f"{key}.{field}": v for key, section in sections.items() for field, v in section.items()
    }
    return {**flat, **{key: value for key, value in config.items() if key not in sections}}


def make_student(
    config: Config, dataset: SequenceDataset, teacher: TeacherKnowledge | None
) -> Student:
    """Build the student that a configuration describes, fresh weights from torch's generator.

    Raises:
        InputError: embedding distillation is asked for and the teacher has no embeddings.
    """
    distillation = config.distillation
    embeddings: Tensor | None = None
    if distillation.embedding_weight > 0:
        if teacher is None or teacher.item_embeddings is None:
            raise InputError(
                "embedding distillation without item embeddings, expected the teacher's",
                hint="add all_embeddings.pt to the teacher's folder, or set "
                "distillation.embedding_weight = 0",
            )
        embeddings = torch.from_numpy(teacher.item_embeddings)
    return build_student(
        config.student,
        n_items=dataset.n_items,
        max_length=dataset.max_length,
        teacher_embeddings=embeddings,
        embedding_weight=distillation.embedding_weight,
        embedding_sides=distillation.embedding_sides,
        variant=config.variant,
        known_items=torch.from_numpy(seen_items(dataset)) if leaves_out_unseen(config) else None,
    )


def make_task(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
) -> Task:
    """Put on the device what the loop reads."""
    return Task(
        rows=training_rows(dataset, teacher, config, device),
        validation=device_rows(dataset, dataset.validation, device),
        target_counts=torch.from_numpy(dataset.target_counts()).to(device),
        sampler=negative_sampler(dataset, config.loss, train_rows(dataset, config)),
        row_names=f"{dataset.name} train rows",
    )


def _test_best(
    dataset: SequenceDataset,
    folder: Path,
    device: torch.device,
    name: str,
    records: Sequence[Record],
) -> ResultRow:
    """Score the best checkpoint on the test rows: the only place of a run that reads them."""
    checkpoint = load_checkpoint(folder)
    ks = selection_ks(checkpoint.config)
    counts = split_counts(
        checkpoint.student.to(device),
        device_rows(dataset, dataset.test, device),
        exclude_seen=checkpoint.config.evaluation.exclude_seen,
    )
    metric_names = rank_metrics(counts, ks)
    record = checkpoint.record
    return ResultRow(
        name=name,
        validation={key: record[key] for key in metric_names},
        test=metric_names,
        detail={
            "epoch": record["epoch"],
            "ranking_weight": checkpoint.config.distillation.ranking_weights[0],
            "train_s_per_epoch": record["train_s"],
            "seconds": sum(one["train_s"] + one["validation_s"] for one in records),
        },
    )
