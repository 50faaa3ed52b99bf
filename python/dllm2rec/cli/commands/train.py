"""`dllm2rec train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    Device,
    DeviceOption,
    JsonOption,
    LogOption,
    OverwriteOption,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.torchrun import join_and_choose, n_processes, process_name
from dllm2rec.cli.train_options import (
    BaselineOption,
    ConfigOption,
    RecipeOption,
    SeedOption,
    SeedsOption,
    SetOption,
    StudentsOption,
    TeacherOption,
    TrainRequest,
    read_train_request,
)
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:  # torch: `--help` must not wait for it
    from dllm2rec.runs.run_result import RunResult

EXAMPLES = """\b
Examples:
  dllm2rec train
  dllm2rec train --dataset data/games --teacher data/games/teacher --student sasrec
  dllm2rec train --recipe paper --set train.max_epochs=20 --set loss.dro_weight=0.5 --seed 3
  dllm2rec train --log tensorboard                  then: tensorboard --logdir runs
  dllm2rec train --resume runs/games-1
"""


def train(
    context: typer.Context,
    dataset: DatasetOption = None,
    teacher: TeacherOption = None,
    recipe: RecipeOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    student: StudentsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default runs/NAME-N.", metavar="DIR"),
    ] = None,
    overwrite: OverwriteOption = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a run that was interrupted: go on with its own settings.",
            metavar="DIR",
        ),
    ] = None,
    allow_data_change: Annotated[
        bool,
        typer.Option(
            "--allow-data-change",
            help="With --resume: go on though rows or teacher are others; the items must be the "
            "same. The epoch under way begins again.",
        ),
    ] = False,
    weights_only_resume: Annotated[
        bool,
        typer.Option(
            "--weights-only-resume",
            help="With --resume: go on with the weights alone where a state lacks something.",
        ),
    ] = False,
    baseline: BaselineOption = True,
    device: DeviceOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    threads: ThreadsOption = None,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train students and compare them on the test rows.

    Without --dataset: all students on an embedded world, in about a minute.
    """
    if resume is not None:
        _refuse_settings(
            recipe=recipe,
            config=config,
            set=set_,
            student=student,
            out=out,
            overwrite=overwrite or None,
            no_baseline=None if baseline else True,
            seed=seed,
            seeds=None if seeds == 1 else seeds,
        )
        result = _resume(
            context,
            resume,
            dataset,
            teacher,
            device,
            threads,
            log or [],
            allow_data_change=allow_data_change,
            weights_only=weights_only_resume,
        )
    else:
        _refuse_without_resume(
            allow_data_change=allow_data_change, weights_only_resume=weights_only_resume
        )
        request = read_train_request(
            dataset=dataset,
            teacher=teacher,
            recipe=recipe,
            config=config,
            overrides=set_ or [],
            students=student or [],
            device=device,
            seed=seed,
        )
        inputs = [path for path in (dataset, teacher, config) if path is not None]
        result = _start(
            context,
            request,
            dataset,
            teacher,
            out,
            overwrite,
            baseline,
            seeds,
            threads,
            log or [],
            inputs,
        )
    if json:
        print_json(asdict(result))
        return
    from dllm2rec.cli.output.tables import metric_table, print_table
    from dllm2rec.runs.run_result import test_table

    for note in result.notes:
        print(f"note: {note}")
    print_table(metric_table(test_table(result)))
    print(f"{result.seconds:.0f} s on {result.device}; written to {result.folder}")


def _start(
    context: typer.Context,
    request: TrainRequest,
    dataset: Path | None,
    teacher: Path | None,
    out: Path | None,
    overwrite: bool,
    baseline: bool,
    seeds: int,
    threads: int | None,
    log: Sequence[str],
    inputs: list[Path],
) -> RunResult:
    from dllm2rec.cli.output.progress_table import watching
    from dllm2rec.storage.output_folder import check_output, next_run
    from dllm2rec.tracking.loggers import check_logger, logging_to
    from dllm2rec.tracking.progress import ProgressGroup

    def choose() -> Path:
        chosen = out or next_run("demo" if dataset is None else dataset.resolve().name)
        check_output(chosen, overwrite=overwrite, inputs=inputs)
        return chosen

    folder = join_and_choose(context, request.settings.train.device, choose)
    check_device(request.settings.train.device)
    for name in log:
        check_logger(name)
    # The embedded world is so small that a second thread would mostly wait for the first.
    use_threads(1 if dataset is None and threads is None else threads)

    from dllm2rec.runs.source import Source

    _load_compiler_ahead(request.settings.train.device)
    from dllm2rec.train.train_run import train_run

    source = Source.of(dataset, teacher)
    data, knowledge = source.open()
    with logging_to([] if process_name() else log, folder) as kept, watching() as shown:
        return train_run(
            request.settings,
            data,
            knowledge,
            folder,
            students=request.students,
            baseline=baseline,
            source=source,
            overwrite=overwrite,
            n_seeds=seeds,
            progress=ProgressGroup([shown, kept]),
        )


def _resume(
    context: typer.Context,
    run: Path,
    dataset: Path | None,
    teacher: Path | None,
    device: Device | None,
    threads: int | None,
    log: Sequence[str],
    *,
    allow_data_change: bool,
    weights_only: bool,
) -> RunResult:
    from dllm2rec.cli.output.progress_table import watching
    from dllm2rec.runs.run_folder import open_source, read_run
    from dllm2rec.tracking.loggers import check_logger, logging_to
    from dllm2rec.tracking.progress import ProgressGroup

    for name in log:
        check_logger(name)
    facts = read_run(run)
    chosen = facts["config"]["train"]["device"] if device is None else device.value
    join_and_choose(context, chosen, lambda: run)
    check_device(chosen)
    use_threads(facts["threads"] if threads is None else threads)

    _load_compiler_ahead(chosen)
    from dllm2rec.train.resume_run import resume_run

    data, knowledge = open_source(run, dataset, teacher)
    with logging_to([] if process_name() else log, run) as kept, watching() as shown:
        return resume_run(
            run,
            data,
            knowledge,
            device=None if device is None else device.value,
            allow_data_change=allow_data_change,
            weights_only=weights_only,
            progress=ProgressGroup([shown, kept]),
        )


def _load_compiler_ahead(device: str) -> None:
    """Begin to load what a GPU's training compiles with, before the data is read."""
    from dllm2rec.kernels.launch import load_compiler_ahead
    from dllm2rec.runtime.device import choose_device

    if n_processes() == 1:  # another thread would start the first GPU, which may be another's
        load_compiler_ahead(choose_device(device))


def _refuse_settings(**given: object) -> None:
    """Refuse the options that a run cannot change while it is under way."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} beside --resume: a run goes on with its own settings; "
                "expected only --dataset and --teacher, where they have moved, --device, "
                "--threads, --log, --allow-data-change, --weights-only-resume and --json"
            )


def _refuse_without_resume(**given: bool) -> None:
    """Refuse the options that say how to go on where there is nothing to go on with."""
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"--{name.replace('_', '-')} without --resume, expected the folder of the run to "
                "go on with; give --resume DIR"
            )
