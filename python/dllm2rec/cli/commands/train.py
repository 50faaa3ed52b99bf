"""`dllm2rec train`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    LogOption,
    OverwriteOption,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there, check_is_run, check_run_there
from dllm2rec.cli.raw_teacher import naming_import
from dllm2rec.cli.streams import tell
from dllm2rec.cli.torchrun import join_and_choose, n_processes, process_name
from dllm2rec.cli.train_options import (
    BaselineOption,
    ConfigOption,
    MethodOption,
    RecipeOption,
    SeedOption,
    SeedsOption,
    SetOption,
    SettingsOptions,
    StudentsOption,
    TeacherMsOption,
    TeacherOption,
    TrainRequest,
)

if TYPE_CHECKING:  # torch: `--help` must not wait for it
    from dllm2rec.runs.run_result import RunResult
    from dllm2rec.tracking.progress import Progress

EXAMPLES = """\b
Examples:
  dllm2rec train
  dllm2rec train --dataset data/games --teacher data/games/teacher --student sasrec
  dllm2rec train --recipe paper --set train.max_epochs=20 --set loss.dro_weight=1 --seed 3
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
    method: MethodOption = None,
    student: StudentsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default runs/NAME-N.", metavar="DIR"),
    ] = None,
    overwrite: OverwriteOption = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Folder of an interrupted run: resume it with its own settings.",
            metavar="DIR",
        ),
    ] = None,
    allow_data_change: Annotated[
        bool,
        typer.Option(
            "--allow-data-change",
            help="With --resume: resume even if rows or teacher changed; the items must be the "
            "same. The current epoch starts again.",
        ),
    ] = False,
    weights_only_resume: Annotated[
        bool,
        typer.Option(
            "--weights-only-resume",
            help="With --resume: resume from the weights alone if the state is incomplete.",
        ),
    ] = False,
    baseline: BaselineOption = True,
    device: DeviceOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    threads: ThreadsOption = None,
    teacher_ms: TeacherMsOption = None,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train students and compare them on the test rows.

    Without --dataset: all students on synthetic demo data, in about a minute.
    """
    _run(
        context,
        TrainRequest(
            settings=SettingsOptions(
                dataset=dataset,
                teacher=teacher,
                recipe=recipe,
                config=config,
                overrides=set_ or [],
                method=method,
                students=student or [],
                device=device,
                seed=seed,
            ),
            out=out,
            overwrite=overwrite,
            resume=resume,
            allow_data_change=allow_data_change,
            weights_only_resume=weights_only_resume,
            baseline=baseline,
            seeds=seeds,
            threads=threads,
            log=log or [],
            json=json,
            teacher_ms=teacher_ms,
        ),
    )


def _run(context: typer.Context, request: TrainRequest) -> None:
    request.check_resume()
    if request.resume is None:
        result = _start(context, request)
    else:
        result = _resume(context, request, request.resume)
    from dllm2rec.report.conclusion import conclude

    conclusion = conclude(result.folder)
    if request.json:
        print_json({**asdict(result), "conclusion": conclusion.as_json()})
        return
    from dllm2rec.cli.output.tables import metric_table, print_table

    for note in result.notes:
        say(f"note: {note}")
    print_table(metric_table(result.table("test")))
    say(conclusion.sentence())
    for caution in conclusion.lines():
        say(f"caution: {caution}")
    say(f"{result.seconds:.0f} s on {result.device}; written to {result.folder}")


def _start(context: typer.Context, request: TrainRequest) -> RunResult:
    """Begin a new run."""
    from dllm2rec.storage.output_folder import check_output, next_run
    from dllm2rec.tracking.loggers import check_logger

    options = request.settings
    settings, students = options.read()
    check_folders_there(options.dataset, options.teacher)
    inputs = [path for path in (options.dataset, options.teacher, options.config) if path]

    def choose() -> Path:
        dataset = options.dataset
        chosen = request.out or next_run("demo" if dataset is None else dataset.resolve().name)
        check_output(chosen, overwrite=request.overwrite, inputs=inputs)
        return chosen

    folder = join_and_choose(context, settings.train.device, choose)
    _say_first(f"the run is written to {folder}")
    check_device(settings.train.device)
    for name in request.log:
        check_logger(name)
    options.use_threads(request.threads)

    with _watched() as terminal:
        terminal.stage("loading torch")
        from dllm2rec.runs.source import Source

        _load_compiler_ahead(settings.train.device)
        from dllm2rec.train.check_run import RunOptions
        from dllm2rec.train.train_run import train_run

        terminal.stage("reading the data")
        source = Source.of(options.dataset, options.teacher)
        with naming_import(options.teacher, options.dataset):
            data, knowledge = source.open()
        with _progress(terminal, request.log, folder) as progress:
            return train_run(
                settings,
                data,
                knowledge,
                folder,
                students=students,
                options=RunOptions(
                    baseline=request.baseline,
                    n_seeds=request.seeds,
                    source=source,
                    overwrite=request.overwrite,
                    teacher_ms=request.teacher_ms,
                ),
                progress=progress,
            )


def _resume(context: typer.Context, request: TrainRequest, run: Path) -> RunResult:
    """Resume a run that was interrupted."""
    check_run_there(run)
    check_folders_there(request.settings.dataset, request.settings.teacher)
    check_is_run(run)
    from dllm2rec.runs.run_folder import open_source
    from dllm2rec.runs.run_manifest import read_config, read_run
    from dllm2rec.tracking.loggers import check_logger

    for name in request.log:
        check_logger(name)
    options, manifest = request.settings, read_run(run)
    device = None if options.device is None else options.device.value
    chosen = device or read_config(run, manifest).train.device
    join_and_choose(context, chosen, lambda: run)
    _say_first(f"{run} is resumed")
    check_device(chosen)
    use_threads(manifest.threads if request.threads is None else request.threads)

    _load_compiler_ahead(chosen)
    from dllm2rec.train.resume_run import resume_run

    with _watched() as terminal, _progress(terminal, request.log, run) as progress:
        terminal.stage("reading the data")
        data, knowledge = open_source(run, options.dataset, options.teacher)
        return resume_run(
            run,
            data,
            knowledge,
            device=device,
            allow_data_change=request.allow_data_change,
            weights_only=request.weights_only_resume,
            progress=progress,
        )


def _say_first(line: str) -> None:
    """Say at once that work is under way: torch takes seconds to load."""
    if not process_name():
        tell(f"note: {line}")


@contextmanager
def _watched() -> Iterator[Progress]:
    """The terminal, from before torch is loaded: what is under way is said at once."""
    from dllm2rec.cli.output.progress_table import watching

    with watching() as terminal:
        yield terminal


@contextmanager
def _progress(terminal: Progress, log: Sequence[str], folder: Path) -> Iterator[Progress]:
    """Who receives how the run goes: the terminal and, in the first process, trackers."""
    from dllm2rec.tracking.loggers import logging_to
    from dllm2rec.tracking.progress import ProgressGroup

    with logging_to([] if process_name() else log, folder) as trackers:
        yield ProgressGroup([terminal, trackers])


def _load_compiler_ahead(device: str) -> None:
    """Begin to load what a GPU's training compiles with, before the data is read."""
    from dllm2rec.kernels.launch import load_compiler_ahead
    from dllm2rec.runtime.device import choose_device

    if n_processes() == 1:  # another thread would start the first GPU, which may be another's
        load_compiler_ahead(choose_device(device))
