"""The teacher's text files again, slowly: plain Python, one line and one token at a time.

Knows only well-formed text; it is the specification of the values, not of the errors.
"""

from __future__ import annotations

import gzip
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray


def tokens(data: bytes) -> list[list[str]]:
    """The fields of every row."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    lines = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    return [row.split(",") if "," in row else row.split() for row in rows]


def items(data: bytes, *, id_base: int = 0) -> NDArray[np.uint32]:
    """Whole numbers, exactly."""
    exact = [[Decimal(token.strip()) for token in row] for row in tokens(data)]
    assert all(value == int(value) for row in exact for value in row)
    return np.array([[int(value) - id_base for value in row] for row in exact], dtype=np.uint32)


def distances(data: bytes) -> NDArray[np.float32]:
    """The nearest float64, then the float32 nearest to it."""
    rows = [[float(token) for token in row] for row in tokens(data)]
    return np.array(rows, dtype=np.float64).astype(np.float32)
