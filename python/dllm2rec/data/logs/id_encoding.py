"""Ids as dense numbers, chunk by chunk, in the order of first appearance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec import _core
from dllm2rec.storage.scratch import GrowingArray

UInt32Vector = npt.NDArray[np.uint32]


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
