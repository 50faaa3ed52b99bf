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

def position_weight(k: int, temperature: float) -> NDArray[np.float32]:
    """Return `exp(-rank / temperature)` over its sum, (k,), for ranks 1 to k.

    Raises InputError for k 0 and a temperature below 0.001.
    """

def sequence_confidence(
    target_distance: NDArray[np.float32], temperature: float, k: int
) -> NDArray[np.float32]:
    """Return the paper's confidence, (R,): `exp(-d / temperature)` over its mean over rows and k.

    `target_distance` is (R,), from what the teacher generated to the true next item. Raises
    InputError for a negative distance, k 0 and a temperature below 0.001; NonFiniteError for NaN
    and infinity, naming the row.
    """

def candidate_confidence(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the authors' confidence, (R, K): `exp(-d) + 1e-8` over its sum in the row.

    Raises InputError for a negative distance and no columns; NonFiniteError for NaN and infinity,
    naming row and column.
    """

def consistency_weight(
    ranking: NDArray[np.uint32], student_top: NDArray[np.uint32]
) -> NDArray[np.float32]:
    """Return 1 where the student's list, (B, K'), holds the teacher's item, (B, K), else 0."""

def consistency_from_scores(
    scores: NDArray[np.float32], ranking: NDArray[np.uint32], k: int
) -> NDArray[np.float32]:
    """Return 1 where the teacher's item, (B, K), is among the k best of its row's scores, else 0.

    Best is the higher score, then the lower index; an item of score -inf is no candidate. Raises
    NonFiniteError for NaN and +inf; InputError for k outside 1..N and an item outside 0..N-1.
    """

def blend_weights(
    position: NDArray[np.float32],
    confidence: NDArray[np.float32],
    consistency: NDArray[np.float32] | None,
    gammas: tuple[float, float, float],
    normalise: bool,
) -> NDArray[np.float32]:
    """Return the weighted sum of position (K,), confidence (R,) or (R, K), consistency (R, K).

    Without `consistency` its term is left out. `normalise` scales each row to sum to 1; a row that
    sums to 0 becomes 1/K each. Raises InputError for negative weights or gammas and gammas that
    are all 0; NonFiniteError for NaN and infinity.
    """

def ranking_weights(
    ranking: NDArray[np.uint32],
    confidence: NDArray[np.float32],
    student_top: NDArray[np.uint32],
    k: int,
    position_temperature: float,
    gammas: tuple[float, float, float],
    normalise: bool,
) -> NDArray[np.float32]:
    """Return all three weights of the first k columns of `ranking`, blended in one pass, (R, k).

    `confidence` is (R,) or (R, k); `student_top` is (R, K'), lists of any one length.
    """

def ranking_weights_from_distance(
    ranking: NDArray[np.uint32],
    distance: NDArray[np.float32],
    student_top: NDArray[np.uint32],
    k: int,
    position_temperature: float,
    gammas: tuple[float, float, float],
    normalise: bool,
) -> NDArray[np.float32]:
    """Return `ranking_weights` of `candidate_confidence(distance)`, without the array between."""

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
