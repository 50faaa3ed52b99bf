"""Files that are there whole or not at all: written aside, fsynced, renamed; what kills leave."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.errors import ArtifactError, ResourceError

# `.name.PID.tmp` of a file, `.name.PID.HEX.tmp` of a folder.
_ASIDE = re.compile(r"\.(?P<name>.+?)\.(?P<pid>\d+)(\.[0-9a-f]+)?\.tmp", re.DOTALL)


@dataclass(frozen=True)
class FileRecord:
    """What is noted of a file: its size in bytes and its sha256 in hexadecimal."""

    size: int
    sha256: str


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that readers see the old one or the new one, never a part.

    Args:
        path: the file; its folder exists.
        write: writes it at the place it is given, a hidden file beside `path`.

    Raises:
        ResourceError: disk full, quota, no permission; the old file is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        remove_leftovers(path.parent, path.name)
        try:
            write(aside)
            fsync(aside)
            aside.replace(path)
            fsync(path.parent)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as err:
        raise out_of_resources(path, err.strerror or str(err)) from err


def replace_text(path: Path, text: str) -> None:
    """Write a small text file in UTF-8 as `replace_file` does.

    Raises:
        ResourceError: disk full, quota, no permission; the old file is still there.
    """
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a small file as `replace_file` does.

    Raises:
        ResourceError: disk full, quota, no permission; the old file is still there.
    """
    replace_file(path, lambda aside: aside.write_bytes(content))


def check_space(path: Path, n_bytes: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        path: what is about to be written; the nearest folder above it that exists is asked.
        n_bytes: how large it will be.

    Raises:
        ResourceError: fewer bytes are free; the message has both.
    """
    place = next(place for place in path.absolute().parents if place.is_dir())
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise ResourceError(
            f"{path}: {n_bytes:,} bytes to write, {free:,} bytes free; make room there; what was "
            "there before is unchanged"
        )


def record_of(path: Path) -> FileRecord:
    """Size and sha256 of a file."""
    with path.open("rb") as stream:
        return FileRecord(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def read_verified(path: Path, record: FileRecord) -> bytes:
    """Read a file that must be as it was written: what is returned is what was verified.

    Raises:
        ArtifactError: it is missing, no regular file, or differs.
    """
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: missing or no regular file, expected what was written there")
    size = path.stat().st_size
    if size != record.size:
        raise ArtifactError(f"{path}: {size} bytes, expected {record.size}; copy the folder again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise ArtifactError(f"{path}: its sha256 is not the one noted; copy the folder again")
    return content


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what writers in a folder left beside their files when they were killed.

    Args:
        folder: where they wrote.
        name: what they wrote; by default anything, in the folders below as well.
    """
    for leftover in folder.rglob(".*.tmp") if name is None else folder.glob(".*.tmp"):
        found = _ASIDE.fullmatch(leftover.name)
        if found is None or name not in {None, found["name"]} or _is_running(int(found["pid"])):
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def fsync(path: Path) -> None:
    """Have a file or folder written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def out_of_resources(path: Path, reason: str) -> ResourceError:
    """The error of a file or folder that could not be written."""
    parent = path.parent if path.parent.is_dir() else Path.cwd()
    free = shutil.disk_usage(parent).free
    return ResourceError(
        f"{path}: not written ({reason}; {free:,} bytes free); what was there before is unchanged"
    )
