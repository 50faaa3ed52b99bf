"""Paths of a command line, looked at before anything is done with them."""

from __future__ import annotations

import errno
import functools
import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dllm2rec.errors import ArtifactError, ConfigError, InputError

_SHOWN = 60


def checking_paths(command: Callable[..., None]) -> Callable[..., None]:
    """A command that refuses paths which no file can have, or which results could not name."""

    @functools.wraps(command)
    def checked(**options: Any) -> None:  # noqa: ANN401 - whatever the command takes
        for path in _paths(options):
            check_path(path)
        command(**options)

    return checked


def check_path(path: Path) -> None:
    """Refuse a path that is too long, no UTF-8, or leads in a circle; whether it is there or not.

    Raises:
        ConfigError: with the beginning of the path.
    """
    shown = f"{path}" if len(str(path)) <= _SHOWN else f"{str(path)[:_SHOWN]}..."
    try:
        # With the folders above it and what links lead to: run.json and results hold all of it.
        os.path.realpath(path).encode()
        path.lstat()
    except UnicodeEncodeError as err:
        raise ConfigError(f"{shown}: no UTF-8, expected a path in UTF-8; rename it") from err
    except OSError as err:
        if err.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            n_bytes = len(os.fsencode(path))
            raise ConfigError(
                f"{shown}: {err.strerror} ({n_bytes:,} bytes), expected a path that a file can have"
            ) from err


def _paths(options: dict[str, Any]) -> Iterator[Path]:
    for value in options.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Path):
                yield one


def check_run_there(run: Path) -> None:
    """Refuse a run that does not exist, at once: what would look into it takes seconds to load.

    Raises:
        ArtifactError: nothing has this name.
    """
    if not run.exists():
        raise ArtifactError(f"{run}: no such folder, expected one that dllm2rec train made")


def check_is_run(run: Path) -> None:
    """Refuse a folder that no training ever wrote to, as soon as `check_run_there` does.

    Raises:
        ArtifactError: there is neither a run nor a student.
    """
    signs = (run / "run.json", run.resolve().parent / "run.json", run / "best")
    if not any(sign.is_file() for sign in signs) and not any(run.glob("*/best")):
        raise ArtifactError(
            f"{run}: no trained student, expected a folder that dllm2rec train made"
        )


def check_file_there(path: Path) -> None:
    """Refuse a file that does not exist, before what reads it is loaded.

    Raises:
        InputError: nothing has this name.
    """
    if not path.exists():
        message = "No such file or directory, expected a readable file"
        raise InputError(message, code="E-FILE", path=path)


def check_source_there(path: Path, expected: str) -> None:
    """Refuse a file or folder that does not exist, before what reads it is loaded.

    Raises:
        InputError: nothing has this name.
    """
    if not path.exists():
        message = f"no such file or folder, expected {expected}"
        raise InputError(message, code="E-FILE", path=path)


def check_sources_there(paths: list[Path]) -> list[Path]:
    """Refuse sources of a log that do not exist; what a glob matches is looked for later.

    Raises:
        ConfigError: no file can have this name.
        InputError: nothing has it.
    """
    for path in paths:
        check_path(path)  # an option's own check comes before those of the command
        if not glob.has_magic(str(path)):
            check_source_there(path, "a log")
    return paths


def check_folders_there(dataset: Path | None, teacher: Path | None = None) -> None:
    """Refuse a dataset or a teacher that does not exist, as soon as `check_run_there` does.

    Raises:
        InputError: nothing has this name.
    """
    made_of = {
        dataset: "a folder that dllm2rec prepare made, or one with train_data.csv",
        teacher: "a teacher folder or one with myrank_train.txt",
    }
    for path, expected in made_of.items():
        if path is not None and not path.exists():
            raise InputError(f"no such folder, expected {expected}", code="E-FILE", path=path)


def check_new_file(path: Path, option: str, ending: str) -> None:
    """Refuse a place that a file cannot be written to, before any work.

    Raises:
        ConfigError: another ending, a folder, or there is no folder for it.
    """
    if path.suffix != ending:
        raise ConfigError(f"{option} {path}: expected an ending of {ending}")
    if path.is_dir() or not path.parent.is_dir():
        found = "a folder" if path.is_dir() else "no such folder above it"
        raise ConfigError(f"{option} {path}: {found}, expected a file in a folder that exists")
