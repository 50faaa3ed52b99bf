"""Ids as dense numbers, chunk by chunk, in the order of first appearance."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec import _core

UInt32Vector = npt.NDArray[np.uint32]


class GrowingArray:
    """Values of one dtype, appended; memory is asked for ahead and given back at the end."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = np.empty(0, dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self._values.dtype

    def append(self, values: npt.NDArray[Any]) -> None:
        """Append some values of the same dtype."""
        needed = self._size + values.size
        if needed > self._values.size:
            # Pages that are never written to cost nothing; realloc moves no bytes of large arrays.
            self._values.resize(max(needed, self._values.size * 3 // 2, 1 << 16), refcheck=False)
        self._values[self._size : needed] = values
        self._size = needed

    def as_floats(self) -> None:
        """Turn integers into float64 in place."""
        floats = self._values.view(np.float64)
        for start in range(0, self._size, 1 << 20):
            part = slice(start, min(start + (1 << 20), self._size))
            floats[part] = self._values[part].astype(np.float64)
        self._values = floats

    def finish(self) -> npt.NDArray[Any]:
        """Return the values, without the memory that was ahead."""
        if self._values.base is not None:
            return self._values[: self._size].copy()
        self._values.resize(self._size, refcheck=False)
        return self._values


class IdCodes:
    """Numbers ids as they come.

    The numbers do not depend on how the rows are cut into chunks.
    """

    def __init__(self) -> None:
        self.table = _core.IdTable()
        self._codes = GrowingArray(np.uint32)

    def __len__(self) -> int:
        """The number of rows so far."""
        return len(self._codes)

    def append(self, chunk: pa.DictionaryArray) -> None:
        """Take the ids of some rows, dictionary<int32, large_string> without nulls."""
        numbers = self.table.number(*_parts(chunk.dictionary))
        self.append_numbers(numbers[chunk.indices.to_numpy()])

    def append_numbers(self, numbers: UInt32Vector) -> None:
        """Take rows whose ids the table has numbered already."""
        self._codes.append(numbers)

    def finish(self) -> tuple[pa.Array, UInt32Vector]:
        """Return the distinct ids and each row's number."""
        text, offsets = self.table.ids()
        return texts_of(text, offsets), self._codes.finish()


def texts_of(text: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> pa.Array:
    """Return texts, whose bytes follow each other, as Arrow strings; nothing is copied."""
    buffers = pa.py_buffer(offsets), pa.py_buffer(text)
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers)


def _parts(names: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The reverse of `texts_of`."""
    _, offsets, text = names.buffers()
    if not len(names):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    bounds = np.frombuffer(offsets, np.int64)[names.offset : names.offset + len(names) + 1]
    return np.frombuffer(text or b"", np.uint8), bounds
