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

def sample_negatives(
    events: NDArray[np.uint32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    keys: NDArray[np.uint64],
    *,
    n_items: int,
    n_negatives: int,
    seed: int,
    epoch: int,
) -> NDArray[np.uint32]:
    """Draw negatives for each row, uniformly among the items outside `events[begin:end]`.

    `events` is (n_events,), `begin`, `end` and `keys` are (B,), the result is (B, n_negatives),
    drawn with replacement. A row's draws depend only on `seed`, `epoch`, its key, the index of the
    draw and the set of items it excludes. Raises InputError for a slice outside the events, an
    item outside 0..n_items-1 and a row that excludes every item.
    """

# --- ranking -------------------------------------------------------------------------------------
