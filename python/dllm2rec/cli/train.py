"""`dllm2rec train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.asked import (
    BaselineOption,
    ConfigOption,
    RecipeOption,
    SeedOption,
    SetOption,
    StudentsOption,
    TeacherOption,
    read_asked,
)
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

EXAMPLES = """\b
Examples:
  dllm2rec train
  dllm2rec train --dataset data/games --teacher data/games/teacher --student sasrec
  dllm2rec train --recipe paper --set train.max_epochs=20 --set loss.dro_weight=0.5 --seed 3
  dllm2rec train --log tensorboard                  then: tensorboard --logdir runs
"""


def train(
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
    baseline: BaselineOption = True,
    device: DeviceOption = None,
    seed: SeedOption = None,
    threads: ThreadsOption = None,
    log: LogOption = None,
    json: JsonOption = False,
) -> None:
    """Train students and compare them on the test rows.

    Without --dataset: all students on an embedded world, in about a minute.
    """
    from dllm2rec.cli.progress import watching
    from dllm2rec.cli.tables import metric_table, print_table
    from dllm2rec.folders import check_output, clear_output, next_run
    from dllm2rec.loggers.open import check_logger, logging_to
    from dllm2rec.progress import Together

    asked = read_asked(
        dataset=dataset,
        teacher=teacher,
        recipe=recipe,
        config=config,
        overrides=set_ or [],
        students=student or [],
        device=device,
        seed=seed,
    )
    folder = out or next_run("demo" if dataset is None else dataset.resolve().name)
    inputs = [path for path in (dataset, teacher, config) if path is not None]
    check_output(folder, overwrite=overwrite, inputs=inputs)
    check_device(asked.settings.train.device)
    for name in log or []:
        check_logger(name)
    # The embedded world is so small that a second thread would mostly wait for the first.
    use_threads(1 if dataset is None and threads is None else threads)

    from dllm2rec.sources import Source
    from dllm2rec.train.run import test_table, train_run

    source = Source.of(dataset, teacher)
    data, knowledge = source.open()
    clear_output(folder)
    with logging_to(log or [], folder) as kept, watching() as shown:
        result = train_run(
            asked.settings,
            data,
            knowledge,
            folder,
            students=asked.students,
            baseline=baseline,
            source=source,
            progress=Together([shown, kept]),
        )
    if json:
        print_json(asdict(result))
        return
    for note in result.notes:
        print(f"note: {note}")
    print_table(metric_table(test_table(result)))
    print(f"{result.seconds:.0f} s on {result.device}; written to {folder}")
