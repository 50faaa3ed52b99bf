"""Arrays too large for memory: mapped from files without a name, beside what is being written.

Inside `scratch_beside(out)` an array of `from_bytes` or more is a file's memory map. The system
writes its pages to the disk, and takes them back, as it needs memory; elsewhere, and below that
size, an array is an ordinary one, and its values are the same. The files have no name from the
start, so nothing is left of them however the process ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import ResourceError
from dllm2rec.storage.atomic_file import out_of_resources

# 64 million numbers of 32 bits: where a log of a hundred million events begins to weigh.
FROM_BYTES = 1 << 28


@dataclass(frozen=True)
class _Scratch:
    """Where files without a name are made, and from which size on."""

    folder: Path
    from_bytes: int


_SCRATCH: ContextVar[_Scratch | None] = ContextVar("scratch", default=None)


@contextmanager
def scratch_beside(out: Path, *, from_bytes: int = FROM_BYTES) -> Iterator[None]:
    """Let large arrays that are made meanwhile lie on the disk of `out`.

    Args:
        out: what will be written; the nearest folder above it that exists is taken.
        from_bytes: the size from which an array lies there.
    """
    folder = next(place for place in out.absolute().parents if place.is_dir())
    token = _SCRATCH.set(_Scratch(folder, from_bytes))
    try:
        yield
    finally:
        _SCRATCH.reset(token)


def empty(n: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of n values that are not set, (n,).

    Raises:
        ResourceError: the disk has no room for it.
    """
    dtype = np.dtype(dtype)
    scratch = _to_disk(n, dtype)
    if scratch is None:
        return np.empty(n, dtype)
    with _room_in(scratch.folder), _unnamed(scratch.folder) as file:
        _reserve(file, n * dtype.itemsize)
        return _mapped(file, n, dtype)


def full(n: int, value: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of n times the same value, (n,).

    Raises:
        ResourceError: the disk has no room for it.
    """
    values = empty(n, dtype)
    values[:] = value
    return values


class GrowingArray:
    """Values of one dtype, appended; once they are many they go to the disk as they come."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = np.empty(0, dtype=dtype)
        self._size = 0
        self._file: IO[bytes] | None = None
        self._folder = Path()

    def __len__(self) -> int:
        return self._size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self._values.dtype

    def append(self, values: npt.NDArray[Any]) -> None:
        """Append some values of the same dtype.

        Raises:
            ResourceError: the disk has no room for them.
        """
        needed = self._size + values.size
        if self._file is None and (scratch := _to_disk(needed, self.dtype)):
            self._folder, self._file = scratch.folder, _unnamed(scratch.folder)
            self._write(self._values[: self._size])
            self._values = np.empty(0, self.dtype)
        if self._file is not None:
            self._write(values)
        else:
            if needed > self._values.size:
                # Pages that are never written to cost nothing; realloc moves no bytes of large
                # arrays.
                ahead = max(needed, self._values.size * 3 // 2, 1 << 16)
                self._values.resize(ahead, refcheck=False)
            self._values[self._size : needed] = values
        self._size = needed

    def as_floats(self) -> None:
        """Turn integers into float64 in place."""
        integers = self._values if self._file is None else self._map()
        floats = integers.view(np.float64)
        for start in range(0, self._size, 1 << 20):
            part = slice(start, min(start + (1 << 20), self._size))
            floats[part] = integers[part].astype(np.float64)
        self._values = floats if self._file is None else np.empty(0, np.float64)

    def finish(self) -> npt.NDArray[Any]:
        """Return the values, without the memory that was ahead."""
        if self._file is not None:
            values = self._map()
            self._file.close()
            return values
        if self._values.base is not None:
            return self._values[: self._size].copy()
        self._values.resize(self._size, refcheck=False)
        return self._values

    def __del__(self) -> None:
        """Close what an error left half read."""
        if self._file is not None:
            self._file.close()

    def _map(self) -> npt.NDArray[Any]:
        assert self._file is not None  # noqa: S101 - for mypy
        with _room_in(self._folder):
            self._file.flush()
        return _mapped(self._file, self._size, self.dtype)

    def _write(self, values: npt.NDArray[Any]) -> None:
        assert self._file is not None  # noqa: S101 - for mypy
        with _room_in(self._folder):
            self._file.write(np.ascontiguousarray(values).data)


def _to_disk(n: int, dtype: np.dtype[Any]) -> _Scratch | None:
    """Where an array of n values goes, if not into memory; a map of nothing cannot be made."""
    scratch = _SCRATCH.get()
    return scratch if scratch and n and n * dtype.itemsize >= scratch.from_bytes else None


def _unnamed(folder: Path) -> IO[bytes]:
    with _room_in(folder):
        return tempfile.TemporaryFile(dir=folder)  # whoever asked closes it, or the last map


def _reserve(file: IO[bytes], n_bytes: int) -> None:
    """Take the room now: a map of what the disk cannot hold would end the process later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return
    block = bytes(1 << 20)
    for begin in range(0, n_bytes, len(block)):
        file.write(block[: n_bytes - begin])
    file.flush()


def _mapped(file: IO[bytes], n: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # The map holds the file, and the array the map.
    return np.frombuffer(mmap.mmap(file.fileno(), n * dtype.itemsize), dtype)


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except ResourceError:
        raise
    except OSError as err:
        raise out_of_resources(folder / "scratch", err.strerror or str(err)) from err
