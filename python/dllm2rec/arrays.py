"""Checked conversions at the border to the Rust kernels: nothing wraps, rounds or is guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import InputError

UINT32_MAX = 2**32 - 1
COPIED_BYTES = 64 * 2**20  # of a mapped file; a larger one is read where it is


def plain_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Return `values` as a numeric NumPy array in native byte order.

    Args:
        values: array or nested sequence; a tensor must be on the CPU. A mapped file of up to 64 MB
            is copied, so that it may change or shrink afterwards.
        name: what to call it in an error.

    Raises:
        TypeError: it is masked, sparse, nested, has missing values, holds objects or no numbers.
        InputError: it is ragged or lives on a device.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked array, expected one without a mask; fill it first")
    device = getattr(values, "device", None)
    if device is not None and str(device) != "cpu":
        raise InputError(f"{name}: a tensor on {device}, expected CPU memory; call .cpu() first")
    _refuse_missing(values, name)
    if hasattr(values, "detach"):
        values = _numpy_of_tensor(values, name)
    if isinstance(values, np.memmap) and values.nbytes <= COPIED_BYTES:
        values = np.array(values)
    try:
        array = np.asarray(values)
    except ValueError as err:
        if "inhomogeneous" not in str(err):
            raise  # of the object's own __array__
        raise InputError(f"{name}: ragged rows, expected a rectangular array") from err
    if array.dtype.kind not in "iufb":
        raise TypeError(f"{name}: dtype {array.dtype}, expected numbers")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refuse_missing(values: Any, name: str) -> None:  # noqa: ANN401 - pandas is not imported here
    """Refuse a column of pandas with <NA>: NumPy would make it NaN, or an object."""
    dtype = getattr(values, "dtype", None)
    if hasattr(dtype, "na_value") and values.isna().any():
        raise TypeError(f"{name}: dtype {dtype} with missing values, expected none; fill them")


def _numpy_of_tensor(tensor: Any, name: str) -> npt.NDArray[Any]:  # noqa: ANN401 - torch is not imported here
    if str(tensor.layout) != "torch.strided" or tensor.is_nested or tensor.is_quantized:
        kind = "nested" if tensor.is_nested else f"{tensor.layout}, {tensor.dtype}"
        raise TypeError(f"{name}: a tensor of layout {kind}, expected a dense one")
    tensor = tensor.detach()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no bfloat16
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.numpy()
    return array


def whole_numbers(values: npt.ArrayLike, name: str, highest: int) -> npt.NDArray[Any]:
    """Return `values` as an integer array within `0..highest`; float arrays may hold whole numbers.

    Raises:
        TypeError: booleans or not numeric.
        InputError: a negative, fractional, NaN or too large value; the message names its place.
    """
    array = plain_array(values, name)
    if array.dtype.kind == "b":
        raise TypeError(f"{name}: booleans, expected integers")
    with np.errstate(invalid="ignore"):
        bad = (array < 0) | (array > highest)
        if array.dtype.kind == "f":
            bad |= array != np.floor(array)
    if bad.any():
        place = tuple(int(axis) for axis in np.argwhere(bad)[0])
        raise InputError(
            f"{name}[{', '.join(map(str, place))}]: {array[place]}, "
            f"expected a whole number in 0..{highest}"
        )
    return array


def item_indices(
    values: npt.ArrayLike, name: str, n_items: int | None = None
) -> npt.NDArray[np.uint32]:
    """Return item indices as a C-order uint32 array; refuse what would wrap or round.

    Args:
        values: whole numbers of any shape.
        name: what to call it in an error.
        n_items: where given, every index must be below it.

    Raises:
        TypeError: booleans, objects or not numeric.
        InputError: a negative, fractional, NaN or too large value.
    """
    highest = UINT32_MAX if n_items is None else n_items - 1
    return np.ascontiguousarray(whole_numbers(values, name, highest), dtype=np.uint32)


def float_array(
    values: npt.ArrayLike, name: str, *, ndim: int
) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """Return a C-order float array of `ndim` axes: float64 stays, all else becomes float32.

    Raises:
        TypeError: not numeric.
        InputError: another number of axes.
    """
    array = plain_array(values, name)
    if array.ndim != ndim:
        raise InputError(f"{name}: shape {array.shape}, expected {ndim} axes")
    if array.dtype == np.float64:
        return np.ascontiguousarray(array, dtype=np.float64)
    return np.ascontiguousarray(array, dtype=np.float32)
