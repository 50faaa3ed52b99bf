"""`.npy` files: written whole or with an error, and read though a header may be forged."""

from __future__ import annotations

import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# How Python text that is none, or nests without end, ends: NumPy takes a header as such text.
HEADER_ERRORS = (tokenize.TokenError, SyntaxError, TypeError, RecursionError, MemoryError)


def save_npy(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array of numbers in C order.

    Raises:
        OSError: it cannot be written, or not all of it.
    """
    save_npy_parts(path, [array], array.shape, array.dtype.str)


def save_npy_parts(
    path: Path, parts: Sequence[npt.NDArray[Any]], shape: tuple[int, ...], dtype: str
) -> None:
    """Write what lies in several arrays as one.

    Not by `numpy.save` or `tofile`: of the last 4 KiB they lose without an error what a full disk
    does not take.

    Args:
        path: the file.
        parts: one after the other.
        shape: of all of them.
        dtype: the type they are written in, as NumPy names it, such as `<f4`.

    Raises:
        OSError: it cannot be written, or not all of it.
    """
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=dtype).reshape(-1).view(np.uint8).data)


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
