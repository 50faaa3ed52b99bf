"""The compiled kernels: C-order arrays in and out; refusals are raised from dllm2rec.errors."""

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- running -------------------------------------------------------------------------------------

def set_threads(n_threads: int) -> None:
    """Set the number of threads of the kernels; results do not depend on it."""

def _panic_for_test(in_worker: bool) -> None: ...
def _sleep_for_test(seconds: float) -> None: ...

# --- teacher text --------------------------------------------------------------------------------

# --- weights -------------------------------------------------------------------------------------

# --- negatives -----------------------------------------------------------------------------------

# --- ranking -------------------------------------------------------------------------------------

def rank_counts(
    scores: NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64],
    targets: NDArray[np.uint32],
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Count the items above each target, and the others equal to it: (B,) and (B,).

    `scores` is (B, N); -inf masks an item. NaN and +inf raise NonFiniteError, a masked target
    InputError; both name the row.
    """

def top_n(
    scores: NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64], n: int
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """List the `n` best items of each row and their scores: (B, n) and (B, n).

    Score descending, then index ascending. Items at -inf are not listed: missing places hold N and
    -inf. Raises InputError unless 1 <= n <= N, NonFiniteError for NaN and +inf.
    """

def fused_rank_counts(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    targets: NDArray[np.uint32],
    bias: NDArray[np.float32] | None = None,
    window: tuple[NDArray[np.int64], NDArray[np.uint32]] | None = None,
    window_offset: float = 0.0,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Count as `rank_counts`, for users (B, D) x items (N, D) + bias (N,), without the matrix.

    `window` is (offsets (B + 1,), items): `window_offset` is added to the scores of the items that
    a row lists, once each; -inf masks them.
    """

def fused_top_n(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    n: int,
    bias: NDArray[np.float32] | None = None,
    window: tuple[NDArray[np.int64], NDArray[np.uint32]] | None = None,
    window_offset: float = 0.0,
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """List as `top_n`, for users (B, D) x items (N, D) + bias (N,), without the matrix."""
