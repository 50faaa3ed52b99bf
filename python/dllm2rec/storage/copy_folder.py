"""A folder copied to another place: there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from dllm2rec.errors import ConfigError
from dllm2rec.storage.atomic_file import fsync, out_of_resources, remove_leftovers

_LEFT_OUT = (".*.tmp", ".lock")


def copy_folder(source: Path, target: Path) -> None:
    """Copy all files of a folder, without those that writers left beside them.

    Raises:
        ConfigError: the target exists and is no empty folder, or lies in the source.
        ResourceError: disk full, no permission; nothing is left behind.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigError(f"{target}: it exists, expected a new or empty folder; name another")
    if target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{target}: within {source}, expected a place outside of it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, target.name)
        aside = target.parent / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        try:
            shutil.copytree(source, aside, ignore=shutil.ignore_patterns(*_LEFT_OUT))
            for path in aside.rglob("*"):
                fsync(path)
            aside.rename(target)
            fsync(target.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except (OSError, shutil.Error) as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise out_of_resources(target, reason) from err
