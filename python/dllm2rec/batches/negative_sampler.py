"""Negatives: items a row has not seen, drawn uniformly and reproducibly."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.arrays import UINT32_MAX, whole_numbers
from dllm2rec.errors import InputError

INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1
UINT32, INT64, UINT64 = np.dtype(np.uint32), np.dtype(np.int64), np.dtype(np.uint64)

Whole = TypeVar("Whole", np.int64, np.uint32, np.uint64)


def sample_negatives(
    events: npt.ArrayLike,
    begin: npt.ArrayLike,
    end: npt.ArrayLike,
    keys: npt.ArrayLike,
    *,
    n_items: int,
    n_negatives: int,
    seed: int,
    epoch: int,
) -> npt.NDArray[np.uint32]:
    """Draw `n_negatives` items for each row, uniformly among those outside `events[begin:end]`.

    Exact, in at most two steps a draw, whatever share of the catalogue a row excludes. A draw
    depends only on `seed`, `epoch`, the row's key, its index in the row and the set of excluded
    items: not on threads, on the other rows of the batch or on where a run resumed. Draws are with
    replacement. The generator is defined in rust/core/src/negatives/mod.rs.

    Args:
        events: items in the order they happened, (n_events,); uint32 is taken as it is.
        begin: where each row's excluded events begin, (B,).
        end: where they end, exclusive, (B,): past the window and the target, or past the whole
            history and the target.
        keys: what tells the rows apart, (B,), 0 to 2**64 - 1; equal keys draw alike.
        n_items: size of the catalogue, 1 to 2**32 - 1.
        n_negatives: draws per row, at least 1.
        seed: seed of the run, 0 to 2**64 - 1.
        epoch: another epoch gives other draws, 0 to 2**64 - 1.

    Returns:
        Items in 0..n_items-1, (B, n_negatives).

    Raises:
        InputError: a row excludes every item, holds an item outside the catalogue or reaches
            outside the events; the message names the row. Or a number is out of range.
    """
    if not (
        1 <= n_items <= UINT32_MAX
        and 1 <= n_negatives <= INT64_MAX
        and 0 <= seed <= UINT64_MAX
        and 0 <= epoch <= UINT64_MAX
    ):
        raise InputError(
            f"n_items = {n_items}, n_negatives = {n_negatives}, seed = {seed}, epoch = {epoch}: "
            "expected n_items 1 to 2**32 - 1, n_negatives at least 1, seed and epoch 0 to 2**64 - 1"
        )
    return _core.sample_negatives(
        _vector(events, "events", UINT32, UINT32_MAX),
        _vector(begin, "begin", INT64, INT64_MAX),
        _vector(end, "end", INT64, INT64_MAX),
        _vector(keys, "keys", UINT64, UINT64_MAX),
        n_items=n_items,
        n_negatives=n_negatives,
        seed=seed,
        epoch=epoch,
    )


def _vector(
    values: npt.ArrayLike, name: str, dtype: np.dtype[Whole], highest: int
) -> npt.NDArray[Whole]:
    # An array that is right already is not looked at: the kernel checks what it uses, and a look
    # at all events would cost a batch more than its draws.
    if isinstance(values, np.ndarray) and values.dtype == dtype and values.ndim == 1:
        flags = values.flags
        if flags.c_contiguous and flags.aligned:
            return values
    array = whole_numbers(values, name, highest)
    if array.ndim != 1:
        raise InputError(f"{name}: shape {array.shape}, expected 1 axis")
    return np.array(array, dtype=dtype, order="C")
