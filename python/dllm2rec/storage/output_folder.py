"""Where a command may write: checked before any work, so that nothing is lost and nothing mixed."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dllm2rec.caller import words
from dllm2rec.errors import ArtifactError, ConfigError, ResourceError

# Every folder of this package holds one of these; --overwrite removes no other folder.
MARKS = ("manifest.json", "config.toml")
LOCK = ".lock"


def next_run(name: str, root: Path = Path("runs")) -> Path:
    """Return the first `root/name-n`, n from 1, that does not exist."""
    return next(
        path for n in itertools.count(1) if not os.path.lexists(path := root / f"{name}-{n}")
    )


def check_output(out: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse a folder that must not or cannot be written to. Nothing there is changed.

    Args:
        out: the folder to write.
        overwrite: whether a folder that this package wrote may be replaced.
        inputs: files and folders that are read; `out` may neither be nor hold one.

    Raises:
        ConfigError: `out` is an input, a file, or holds something that must not be replaced.
        ResourceError: the place cannot be written to.
    """
    place = out.resolve()
    for source in inputs:
        read = source.resolve()
        if place == read or place in read.parents:
            raise ConfigError(f"{out}: is or holds the input {source}, expected another place")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: a file, expected a folder or a new name")
    if out.is_dir() and any(not _is_left_by_a_kill(path) for path in out.iterdir()):
        if not overwrite:
            given = words(python="RunOptions(overwrite=True)", option="--overwrite")
            raise ConfigError(f"{out}: not empty, expected a new folder; or give {given}")
        if not any((out / mark).is_file() for mark in MARKS):
            raise ConfigError(
                f"{out}: holds neither {' nor '.join(MARKS)}, expected a folder that dllm2rec "
                "wrote; remove it yourself if it may go"
            )
    check_writable(out)


def _is_left_by_a_kill(path: Path) -> bool:
    """Whether a file is a lock, or one that a killed process had not yet renamed to its place."""
    return path.name == LOCK or (path.name.startswith(".") and path.name.endswith(".tmp"))


def clear_output(out: Path) -> None:
    """Make `out` an empty folder; call `check_output` first."""
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        if path.name == LOCK:
            continue  # whoever holds it holds the file, not its name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder, made if it is not there, from every other process within the block.

    The system lets go of it when the process ends, however it ends.

    Raises:
        ArtifactError: another process holds it; the message has its number and its machine.
        ResourceError: the place cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as err:
        raise _cannot_write(folder, err) from err
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ArtifactError(
                f"{folder}: {holder} is writing to it, expected nobody; wait for it, or give "
                "another folder"
            ) from err
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


@contextmanager
def locked_anew(folder: Path) -> Iterator[ExitStack]:
    """Keep a folder as `locked` does, and leave nothing behind if the block fails.

    Neither the folders that were made nor what was written stay. Call `pop_all` of what it gives
    when they are to stay, whatever comes. `check_output` comes first: what is in the folder by then
    may go.

    Raises:
        ArtifactError, ResourceError: as for `locked`.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with locked(folder), ExitStack() as undo:
        undo.callback(_remove, folder, made)
        yield undo
        undo.pop_all()


def _remove(folder: Path, made: Sequence[Path]) -> None:
    """Empty a folder; remove it and the folders around it that were made, where nothing is left."""
    with suppress(OSError):
        clear_output(folder)
        (folder / LOCK).unlink(missing_ok=True)
        for path in made:
            path.rmdir()


def check_writable(out: Path) -> None:
    """Write and remove a file in the nearest folder that exists.

    Raises:
        ResourceError: that is not possible.
    """
    place = next(path for path in [out, *out.absolute().parents] if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"dllm2rec")
            file.flush()
    except OSError as err:
        raise _cannot_write(out, err) from err


def _cannot_write(place: Path, err: OSError) -> ResourceError:
    return ResourceError(f"{place}: {err.strerror or err}, expected a place that can be written to")
