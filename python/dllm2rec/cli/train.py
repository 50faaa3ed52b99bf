"""`dllm2rec train`."""

from __future__ import annotations

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
        str | None, typer.Option(help="strong (the default), paper or authors.", metavar="NAME")
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
    from dllm2rec.folders import check_output, next_run
    from dllm2rec.settings import changed, load_config

    if teacher is not None and dataset is None:
        raise ConfigError(
            "--teacher without --dataset: the embedded world has a teacher of its own"
        )
    settings = load_config(recipe=recipe, path=config, overrides=set_ or [])
    own = {"device": None if device is None else device.value, "seed": seed}
    settings = changed(settings, train={key: v for key, v in own.items() if v is not None})
    folder = out or next_run("demo" if dataset is None else dataset.resolve().name)
    inputs = [path for path in (dataset, teacher, config) if path is not None]
    check_output(folder, overwrite=overwrite, inputs=inputs)
    check_device(settings.train.device)
    use_threads(threads)

    from dllm2rec.train.run import train_run  # type: ignore[import-not-found]

    everyone = dataset is None and config is None and not names_student(set_ or [])
    students = student or (list(StudentName) if everyone else [StudentName(settings.student.name)])
    with watching() as progress:
        table = train_run(
            settings,
            dataset=dataset,
            teacher=teacher,
            students=[name.value for name in dict.fromkeys(students)],
            baseline=baseline,
            out=folder,
            overwrite=overwrite,
            progress=progress,
        )
    if json:
        print_json({"run": str(folder), **table.as_json()})
    else:
        print_table(metric_table(table))
        print(f"written to {folder}")


def names_student(overrides: list[str]) -> bool:
    """Whether an override chooses the student."""
    return any(text.partition("=")[0].strip() == "student.name" for text in overrides)
