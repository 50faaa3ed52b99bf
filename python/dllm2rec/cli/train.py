"""`dllm2rec train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    OverwriteOption,
    StudentName,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.errors import ConfigError

EXAMPLES = """\b
Examples:
  dllm2rec train
  dllm2rec train --dataset data/games --teacher data/games/teacher --student sasrec
  dllm2rec train --recipe paper --set train.max_epochs=20 --set loss.dro_weight=0.5 --seed 3
"""


def train(
    dataset: DatasetOption = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="Folder of the teacher; without it students train alone.", metavar="DIR"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="strong (the default), paper, authors; demo, for the embedded world.",
            metavar="NAME",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings.", metavar="FILE")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting; may be repeated.", metavar="SECTION.FIELD=VALUE"),
    ] = None,
    student: Annotated[
        list[StudentName] | None, typer.Option(help="A student to train; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default runs/NAME-N.", metavar="DIR"),
    ] = None,
    overwrite: OverwriteOption = False,
    baseline: Annotated[
        bool, typer.Option(help="Train each student without the teacher too.")
    ] = True,
    device: DeviceOption = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Same seed, same result.")
    ] = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Train students and compare them on the test rows.

    Without --dataset: all students on an embedded world, in about a minute.
    """
    from dllm2rec.cli.progress import watching
    from dllm2rec.cli.tables import metric_table, print_table
    from dllm2rec.folders import check_output, clear_output, next_run
    from dllm2rec.settings import changed, load_config

    if teacher is not None and dataset is None:
        raise ConfigError(
            "--teacher without --dataset: the embedded world has a teacher of its own"
        )
    if dataset is None and recipe is None and config is None:
        recipe = "demo"
    settings = load_config(recipe=recipe, path=config, overrides=set_ or [])
    own = {"device": None if device is None else device.value, "seed": seed}
    settings = changed(settings, train={key: v for key, v in own.items() if v is not None})
    folder = out or next_run("demo" if dataset is None else dataset.resolve().name)
    inputs = [path for path in (dataset, teacher, config) if path is not None]
    check_output(folder, overwrite=overwrite, inputs=inputs)
    check_device(settings.train.device)
    # The embedded world is so small that a second thread would mostly wait for the first.
    use_threads(1 if dataset is None and threads is None else threads)

    from dllm2rec.sources import Source
    from dllm2rec.train.run import test_table, train_run

    source = Source.of(dataset, teacher)
    data, knowledge = source.open()
    everyone = dataset is None and config is None and not names_student(set_ or [])
    students = student or (list(StudentName) if everyone else [StudentName(settings.student.name)])
    clear_output(folder)
    with watching() as progress:
        result = train_run(
            settings,
            data,
            knowledge,
            folder,
            students=[name.value for name in dict.fromkeys(students)],
            baseline=baseline,
            source=source,
            progress=progress,
        )
    if json:
        print_json(asdict(result))
        return
    for note in result.notes:
        print(f"note: {note}")
    print_table(metric_table(test_table(result)))
    print(f"{result.seconds:.0f} s on {result.device}; written to {folder}")


def names_student(overrides: list[str]) -> bool:
    """Whether an override chooses the student."""
    return any(text.partition("=")[0].strip() == "student.name" for text in overrides)
