"""One student, with or without the teacher: what a grid holds is trained, validation chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.runtime.distributed import size
from dllm2rec.students.fused_sasrec import fuses
from dllm2rec.tracking.metric_table import ResultRow, mean_row
from dllm2rec.tracking.progress import BufferedProgress
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.train_seed import SeedRun, train_seed


def student_config(config: Config, student: str, *, with_teacher: bool) -> Config:
    """The configuration of one student with or without the teacher; all else stays as it is."""
    if with_teacher:
        return changed(config, student={"name": student})
    return changed(
        config,
        student={"name": student},
        distillation={"ranking_weight": 0.0, "embedding_weight": 0.0},
    )


def student_label(config: Config, *, with_teacher: bool) -> str:
    """How tables call a student: `sasrec`, `sasrec+dros`, with ` + dllm2rec` if it was taught."""
    loss = "+dros" if config.loss.dro_weight > 0 else ""
    return f"{config.student.name}{loss}{' + dllm2rec' if with_teacher else ''}"


def train_student(
    config: Config, context: TrainingContext, run_folder: Path, *, n_seeds: int = 1
) -> ResultRow:
    """Train one student for each dropout and ranking weight, keep the best, test it once.

    Its folder is `run_folder/<name>` with blanks left out: `sasrec`, `sasrec+dllm2rec`, ...; with
    several seeds each has its own, `sasrec-seed-3`. A student that is done there is not trained
    again; one that was interrupted is resumed. Each seed's result is what it would be alone.

    Args:
        config: with lists of dropouts or ranking weights each seed tries them by itself (`trials`).
        context: what it shares with the other students.
        run_folder: the run's.
        n_seeds: train.seed and the following ones; the row is their mean.

    Raises:
        InputError: the configuration needs what the teacher or the dataset does not have.
        ArtifactError: what is in the folder is corrupt, or of another configuration.
        NonFiniteError: a loss stopped being finite.
        ResourceError: the disk is full.
        KeyboardInterrupt, SystemExit: a signal came; the state of the training is saved.
    """
    name = student_label(config, with_teacher=context.teacher is not None)
    place = run_folder / name.replace(" ", "")
    seed_runs = [SeedRun(name, place, config)]
    if n_seeds > 1:
        first = config.train.seed
        seed_runs = [
            SeedRun(
                name,
                place.with_name(f"{place.name}-seed-{seed}"),
                changed(config, train={"seed": seed}),
                seed,
            )
            for seed in range(first, first + n_seeds)
        ]
    _train_seeds([one for one in seed_runs if not one.is_done()], context)
    return mean_row([one.result() for one in seed_runs])


def _train_seeds(seed_runs: Sequence[SeedRun], context: TrainingContext) -> None:
    """Train all seeds: on CUDA side by side, where none draws from a generator that they share.

    A small student leaves most of a GPU idle; on a CPU one training has all cores.
    """
    if not seed_runs:
        return
    device, progress = context.device, context.progress
    side_by_side = (
        device.type == "cuda" and size() == 1 and draws_from_own_seed(seed_runs[0].config, context)
    )
    # One training at a time can be watched: the others are reported when all have ended.
    buffered = [BufferedProgress() for _ in seed_runs[1:]] if side_by_side else []
    listeners = [progress, *buffered] if side_by_side else [progress] * len(seed_runs)
    trainings = [
        train_seed(seed_run, replace(context, progress=one))
        for seed_run, one in zip(seed_runs, listeners, strict=True)
    ]
    try:
        if side_by_side:
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
    for one in buffered:
        one.tell(progress)


def draws_from_own_seed(config: Config, context: TrainingContext) -> bool:
    """Whether what a training draws on CUDA depends on its own seed and step alone.

    That is without dropout, or with that of the fused encoder. CUDA graphs that draw from torch's
    generator keep its seed in one place: replayed on two streams, one would read the other's.
    """
    if config.distillation.ranking_method == "unkd":
        return False
    length, has_users = context.dataset.max_length, context.dataset.has_users
    in_passes = config.learns_all_places(length, has_users=has_users)
    own_table = config.student.tied or config.distillation.embedding_weight == 0
    is_fused = config.variant == "default" and own_table and not in_passes
    return not any(config.student.dropouts) or (is_fused and fuses(config.student, length))


def _side_by_side(trainings: Sequence[Iterator[None]]) -> None:
    """Take a step of each in turn, each on a stream of its own, until all have ended."""
    streams = [torch.cuda.Stream() for _ in trainings]  # type: ignore[no-untyped-call]
    under_way = list(zip(trainings, streams, strict=True))
    while under_way:
        for training, stream in tuple(under_way):
            with torch.cuda.stream(stream):
                if next(training, True):
                    under_way.remove((training, stream))
