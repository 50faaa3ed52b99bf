"""A file is read at rest: one that is cut, rewritten or replaced meanwhile is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dllm2rec.errors import InputError

Identity = tuple[int, int, int, int]


@contextmanager
def at_rest(path: Path) -> Iterator[None]:
    """Refuse the file if it is no longer the same when the block ends, however it ends.

    What is wrong with the contents of a file that changes is not the fault of its contents: the
    change is told instead. A pipe has no contents of its own and passes.

    Raises:
        InputError: E-CHANGED.
    """
    before = identity(path)
    try:
        yield
    except Exception as err:
        if identity(path) != before:
            raise changed(path) from err
        raise
    if identity(path) != before:
        raise changed(path)


def identity(file: Path | int) -> Identity | None:
    """Device, inode, size and time of the last change of a path or an open file.

    None: it is missing, or no regular file.
    """
    try:
        found = os.stat(file)  # noqa: PTH116 - an open file will do as well
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def changed(path: Path) -> InputError:
    """Return the error for a file that was not at rest."""
    return InputError(
        "the file changed while it was being read",
        code="E-CHANGED",
        path=path,
        hint="wait until its writer has finished, then run again",
    )
