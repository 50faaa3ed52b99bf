"""Ids as dense numbers, chunk by chunk, in the order of first appearance and in bounded memory.

Arrow numbers the ids of each part of a file on its own; the parts' dictionaries are unified once
they are together as large as what is known already, so that no id is hashed more often than twice
on average and what waits is never more than what is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec.errors import InputError

_LEAST_IDS = 1 << 20
_LEAST_ROWS = 1 << 23
_MOST_IDS = 2**31 - 1


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
        self._names = pa.nulls(0, pa.large_string())
        self._codes = GrowingArray(np.uint32)
        self._waiting: list[pa.DictionaryArray] = []
        self._n_ids = self._n_rows = 0

    def append(self, chunk: pa.DictionaryArray) -> None:
        """Take the ids of some rows, dictionary<int32, large_string> without nulls."""
        self._waiting.append(chunk)
        self._n_ids += len(chunk.dictionary)
        self._n_rows += len(chunk)
        known = len(self._names)
        if self._n_ids > max(_LEAST_IDS, known) or self._n_rows > max(_LEAST_ROWS, known):
            self.settle()

    def settle(self) -> None:
        """Number what waits."""
        none = pa.DictionaryArray.from_arrays(pa.nulls(0, pa.int32()), self._names)
        unified = pa.chunked_array([none, *self._waiting]).unify_dictionaries()
        self._waiting.clear()
        for part in unified.chunks:
            if len(part):
                self._codes.append(part.indices.to_numpy().view(np.uint32))
        self._names = unified.chunk(0).dictionary
        self._n_ids = self._n_rows = 0
        if len(self._names) > _MOST_IDS:
            raise InputError(f"more than {_MOST_IDS} ids, expected fewer", code="E-MANY")

    def finish(self) -> tuple[pa.Array, npt.NDArray[np.uint32]]:
        """Return the distinct ids and each row's number."""
        self.settle()
        return self._names, self._codes.finish()
