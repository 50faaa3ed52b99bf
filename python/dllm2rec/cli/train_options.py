"""What `train` and `plan` are asked for: the same options, read the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import Device, StudentName
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:  # pydantic: `--help` must not wait for it
    from dllm2rec.config.model import Config

TeacherOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the teacher; without it students train alone.", metavar="DIR"),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        help="strong (the default), paper, authors; demo, for the embedded world.", metavar="NAME"
    ),
]
ConfigOption = Annotated[Path | None, typer.Option(help="A TOML file of settings.", metavar="FILE")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting; may be repeated.", metavar="SECTION.FIELD=VALUE"),
]
StudentsOption = Annotated[
    list[StudentName] | None, typer.Option(help="A student to train; may be repeated.")
]
BaselineOption = Annotated[bool, typer.Option(help="Train each student without the teacher too.")]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Same seed, same result.")
]
SeedsOption = Annotated[
    int,
    typer.Option(min=1, max=1000, metavar="N", help="Train this many seeds; show their means."),
]


@dataclass(frozen=True)
class TrainRequest:
    """The settings of a run and the students it has."""

    settings: Config
    students: list[str]


def read_train_request(
    *,
    dataset: Path | None,
    teacher: Path | None,
    recipe: str | None,
    config: Path | None,
    overrides: Sequence[str],
    students: Sequence[StudentName],
    device: Device | None,
    seed: int | None,
) -> TrainRequest:
    """Read settings and students from the options; nothing heavy is loaded and no data read.

    Raises:
        ConfigError: options that exclude each other, or a setting that cannot be meant.
    """
    from dllm2rec.config.load import changed, load_config

    if teacher is not None and dataset is None:
        raise ConfigError(
            "--teacher without --dataset: the embedded world has a teacher of its own"
        )
    if dataset is None and recipe is None and config is None:
        recipe = "demo"
    settings = load_config(recipe=recipe, path=config, overrides=overrides)
    options = {"device": None if device is None else device.value, "seed": seed}
    settings = changed(settings, train={key: v for key, v in options.items() if v is not None})
    everyone = dataset is None and config is None and not names_student(overrides)
    chosen = students or (list(StudentName) if everyone else [StudentName(settings.student.name)])
    return TrainRequest(settings, [name.value for name in dict.fromkeys(chosen)])


def names_student(overrides: Sequence[str]) -> bool:
    """Whether an override chooses the student."""
    return any(text.partition("=")[0].strip() == "student.name" for text in overrides)
