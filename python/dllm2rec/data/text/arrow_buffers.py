"""Numbers and texts into Arrow arrays and back by their buffers.

pyarrow's own conversions first import pandas where it is installed, which takes as long as reading
a dataset of 100,000 rows does; what every training reads and writes goes this way instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # Arrow's names of them


def numbers_of(array: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of an array of numbers without nulls, without a copy where it is one piece.

    Raises:
        ValueError: there are nulls.
        TypeError: it does not hold numbers.
    """
    if isinstance(array, pa.ChunkedArray):
        pieces = [numbers_of(piece) for piece in array.chunks]
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces or [np.zeros(0, _dtype(array.type))])
    if array.null_count:
        raise ValueError(f"{array.null_count} nulls, expected none")
    dtype = _dtype(array.type)
    values = np.frombuffer(array.buffers()[1] or b"", dtype)
    return values[array.offset : array.offset + len(array)]


def array_of(numbers: npt.NDArray[Any]) -> pa.Array:
    """An Arrow array over the memory of a contiguous vector of numbers."""
    values = np.ascontiguousarray(numbers)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def text_array(texts: Sequence[str]) -> pa.LargeStringArray:
    """An Arrow array of texts."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"an array of {kind}, expected numbers")
    name = str(kind)
    return np.dtype(_FLOATS.get(name, name))
