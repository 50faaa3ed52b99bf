"""The compiled kernels: C-order arrays in and out; refusals are raised from dllm2rec.errors."""

import os

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- running -------------------------------------------------------------------------------------

def set_threads(n_threads: int) -> None:
    """Set the number of threads of the kernels; results do not depend on it."""

def _panic_for_test(in_worker: bool) -> None: ...
def _sleep_for_test(seconds: float) -> None: ...

# --- teacher text --------------------------------------------------------------------------------

def parse_items(
    path: str | os.PathLike[str],
    *,
    n_items: int,
    min_columns: int = 1,
    expected_rows: int | None = None,
    id_base: int = 0,
    skip_rows: int = 0,
    on_duplicate: str = "error",
    strict: bool = False,
) -> tuple[NDArray[np.uint32], list[str]]:
    """Read a text file of item lists, gzipped or not: one row a line, blanks or commas between.

    Items are whole numbers, written as such or as `1.000000000000000000e+00`; they never pass
    through a float. Every row has as many columns as the first; leading lines that start with `#`
    and blank lines at the very end are no rows.

    Args:
        path: a file or a pipe.
        n_items: items are `0..n_items-1`.
        min_columns: refuse lists that are shorter.
        expected_rows: refuse any other number of rows; reading stops at the first one too many.
        id_base: the number of the first item in the file; items count from 0 in the result.
        skip_rows: lines to pass over before anything else.
        on_duplicate: an item twice in a row is refused ("error"), kept ("keep"), or its later
            copies become `n_items` in place ("keep-first"); the last two with a warning.
        strict: refuse a last line without newline, which is otherwise a warning.

    Returns:
        The items, (rows, columns), and warnings, each of which starts with its code.

    Raises:
        InputError: the first rule that the file breaks, with code, line, column and hint.
        ResourceError: no memory.
        ValueError: an unknown `on_duplicate`.
    """

def parse_distances(
    path: str | os.PathLike[str],
    *,
    expected_rows: int | None = None,
    expected_columns: int | None = None,
    kind: str = "distance",
    strict: bool = False,
) -> tuple[NDArray[np.float32], list[str]]:
    """Read a text file of distances: as `numpy.loadtxt` in float64, then rounded to float32.

    Args:
        path: a file or a pipe, gzipped or not.
        expected_rows: refuse any other number of rows.
        expected_columns: refuse any other number of columns.
        kind: "distance" (never negative, small is sure) or "similarity" (any sign, large is sure);
            the numbers are returned as they are either way.
        strict: refuse a last line without newline, which is otherwise a warning.

    Returns:
        The numbers, (rows, columns), finite, and warnings, each of which starts with its code.

    Raises:
        InputError: the first rule that the file breaks, with code, line, column and hint.
        ResourceError: no memory.
        ValueError: an unknown `kind`.
    """

# --- weights -------------------------------------------------------------------------------------

# --- negatives -----------------------------------------------------------------------------------

# --- ranking -------------------------------------------------------------------------------------
