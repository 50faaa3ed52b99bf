"""The options of `train` and `plan`: mostly the same, and read the same way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import Device, StudentName, use_threads
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:  # pydantic: `--help` must not wait for it
    from dllm2rec.config.model import Config

_log = logging.getLogger(__name__)

TeacherOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the teacher; without one, students train alone.", metavar="DIR"),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        help="strong (default on a GPU), light (default without one), paper, authors or demo.",
        metavar="NAME",
    ),
]
ConfigOption = Annotated[Path | None, typer.Option(help="A TOML file of settings.", metavar="FILE")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting; may be repeated.", metavar="SECTION.FIELD=VALUE"),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        help="A method of the paper's tables instead of DLLM2Rec: rd, cd, rrd, dcd, unkd, hint, "
        "htd, hint-instead, htd-instead, or without-position, -confidence, -consistency, -ranking, "
        "-embedding, -offset.",
        metavar="NAME",
    ),
]
StudentsOption = Annotated[
    list[StudentName] | None, typer.Option(help="Student to train; may be repeated.")
]
BaselineOption = Annotated[bool, typer.Option(help="Also train each student without the teacher.")]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Same seed, same result.")
]
SeedsOption = Annotated[
    int,
    typer.Option(min=1, max=1000, metavar="N", help="Train this many seeds; show their means."),
]


TeacherMsOption = Annotated[
    float | None,
    typer.Option(
        "--teacher-ms",
        help="What one list of the teacher takes, in milliseconds; the report tells the cost.",
        metavar="MS",
    ),
]


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """The options of `train` and `plan` that make settings, students and data, as they were given.

    Each attribute is an option; `overrides` are those of --set.
    """

    dataset: Path | None
    teacher: Path | None
    recipe: str | None
    config: Path | None
    overrides: Sequence[str]
    method: str | None
    students: Sequence[StudentName]
    device: Device | None
    seed: int | None

    def read(self) -> tuple[Config, list[str]]:
        """The settings and the names of the students; nothing heavy is loaded and no data read.

        Raises:
            ConfigError: options that exclude each other, or a setting that cannot be meant.
        """
        from dllm2rec.config.load import changed, load_config
        from dllm2rec.config.methods import with_method
        from dllm2rec.train.default_recipe import default_recipe

        if self.teacher is not None and self.dataset is None:
            raise ConfigError(
                "--teacher without --dataset: the demo world has a teacher of its own; expected "
                "the dataset that this teacher belongs to"
            )
        chosen = self.recipe is not None or self.config is not None
        recipe = "demo" if self.dataset is None and not chosen else self.recipe
        settings = load_config(recipe=recipe, path=self.config, overrides=self.overrides)
        device = None if self.device is None else self.device.value
        given = {"device": device, "seed": self.seed}
        train = {k: v for k, v in given.items() if v is not None}
        settings = changed(settings, train=train)
        suited = default_recipe(settings.train.device)
        if self.dataset is not None and not chosen and suited != "strong":
            _log.info(
                f"no GPU: --recipe {suited}; the wider student of --recipe strong would take hours"
            )
            settings = changed(load_config(recipe=suited, overrides=self.overrides), train=train)
        if self.method is not None:
            settings = with_method(settings, self.method)
        everyone = (
            self.dataset is None and self.config is None and not names_student(self.overrides)
        )
        only = [StudentName(settings.student.name)]
        students = self.students or (list(StudentName) if everyone else only)
        return settings, [name.value for name in dict.fromkeys(students)]

    def use_threads(self, n_threads: int | None) -> None:
        """Set the CPU threads that were asked for; by default one for the demo world.

        It is so small that a second thread would mostly wait for the first.
        """
        use_threads(1 if self.dataset is None and n_threads is None else n_threads)


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The options of `plan`."""

    settings: SettingsOptions
    baseline: bool
    seeds: int
    threads: int | None
    json: bool


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """The options of `train`."""

    settings: SettingsOptions
    out: Path | None
    overwrite: bool
    resume: Path | None
    allow_data_change: bool
    weights_only_resume: bool
    baseline: bool
    seeds: int
    threads: int | None
    log: Sequence[str]
    json: bool
    teacher_ms: float | None = None

    def check_resume(self) -> None:
        """Refuse options of a new run beside --resume, and those of a resumed run without it.

        Raises:
            ConfigError: naming the first such option.
        """
        if self.resume is None:
            given = {
                "allow-data-change": self.allow_data_change,
                "weights-only-resume": self.weights_only_resume,
            }
            rule = "without --resume, expected the folder of the run to resume; give --resume DIR"
        else:
            given = {
                "recipe": self.settings.recipe is not None,
                "config": self.settings.config is not None,
                "set": bool(self.settings.overrides),
                "method": self.settings.method is not None,
                "student": bool(self.settings.students),
                "out": self.out is not None,
                "overwrite": self.overwrite,
                "no-baseline": not self.baseline,
                "seed": self.settings.seed is not None,
                "seeds": self.seeds != 1,
                "teacher-ms": self.teacher_ms is not None,
            }
            rule = (
                "beside --resume: a run is resumed with its own settings; expected only --dataset "
                "and --teacher, where they have moved, --device, --threads, --log, "
                "--allow-data-change, --weights-only-resume and --json"
            )
        for name, is_given in given.items():
            if is_given:
                raise ConfigError(f"--{name} {rule}")


def names_student(overrides: Sequence[str]) -> bool:
    """Whether an override chooses the student."""
    return any(text.partition("=")[0].strip() == "student.name" for text in overrides)
