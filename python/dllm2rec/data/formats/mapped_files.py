"""Events and rows of a large dataset as they lie in memory: read by mapping, not by copying.

`events.npy` holds the items, uint32 (n_events,); `user_starts.npy` where each user's begin, and the
end, int64 (n_users + 1,); `rows.npy` the first event and the target of each row, train rows first,
then validation, then test, int64 (2, R). The Parquet files beside them say the same to others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.storage.npy_file import load_npy, save_npy_parts

# From so many events on: below, a dataset is read from Parquet in a second or two.
MAPPED_FROM = 1 << 24
EVENTS, STARTS, ROWS = "events.npy", "user_starts.npy", "rows.npy"

Read = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], list[Rows]]


def writers(
    dataset: SequenceDataset, user_start: npt.NDArray[np.int64]
) -> dict[str, Callable[[Path], None]]:
    """Return what writes each file, by its name."""
    splits = list(dataset.splits().values())
    pointers = [*(rows.start for rows in splits), *(rows.end for rows in splits)]
    return {
        EVENTS: partial(_write, [dataset.events], (dataset.events.size,), "<u4"),
        STARTS: partial(_write, [user_start], (user_start.size,), "<i8"),
        ROWS: partial(_write, pointers, (2, sum(map(len, splits))), "<i8"),
    }


def _write(
    parts: Sequence[npt.NDArray[np.integer]], shape: tuple[int, ...], dtype: str, path: Path
) -> None:
    save_npy_parts(path, parts, shape, dtype)


def read(folder: Path, sizes: list[int]) -> Read:
    """Map events, where each user's begin, and the rows of each split.

    Args:
        folder: where the files lie, verified.
        sizes: how many rows each split has.

    Raises:
        ValueError: a file holds something else.
    """
    bounds = np.cumsum([0, *sizes])
    events = _mapped(folder / EVENTS, np.uint32, (-1,))
    starts = _mapped(folder / STARTS, np.int64, (-1,))
    start, end = _mapped(folder / ROWS, np.int64, (2, int(bounds[-1])))
    return events, starts, [Rows(start[a:b], end[a:b]) for a, b in pairwise(bounds)]


def _mapped(path: Path, dtype: type[np.integer], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    # The file is ours and verified; replacing the folder leaves what is mapped as it was.
    values = np.asarray(load_npy(path, mapped=True))
    fits = len(values.shape) == len(shape) and all(
        wanted in (-1, got) for wanted, got in zip(shape, values.shape, strict=True)
    )
    if values.dtype != dtype or not fits or not values.flags.c_contiguous:
        raise ValueError(
            f"{path.name}: {values.dtype} {values.shape}, expected {dtype} {shape} in C order"
        )
    return values
