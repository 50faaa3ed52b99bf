"""`.npy` files whose headers may be damaged or forged."""

from __future__ import annotations

import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# How Python text that is none, or nests without end, ends: NumPy takes a header as such text.
HEADER_ERRORS = (tokenize.TokenError, SyntaxError, TypeError, RecursionError, MemoryError)


def load_npy(path: Path, *, mapped: bool = False) -> npt.NDArray[Any]:
    """Read an array of numbers.

    Args:
        path: the file.
        mapped: let the system read what is used, instead of all of it now.

    Raises:
        ValueError: it is no such file, is cut, or its header is damaged.
        OSError: it cannot be read.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None)
    except HEADER_ERRORS as err:
        if isinstance(err, MemoryError) and not mapped:
            raise
        raise ValueError(f"{path.name}: the header of the array is damaged") from err
    except EOFError as err:
        raise ValueError(f"{path.name}: the array is cut off") from err
    return array
