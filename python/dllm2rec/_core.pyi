"""The compiled kernels: C-order arrays in and out; refusals are raised from dllm2rec.errors."""

import os
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Scores: TypeAlias = NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]
_I8: TypeAlias = NDArray[np.int8]
_I64: TypeAlias = NDArray[np.int64]
_U32: TypeAlias = NDArray[np.uint32]
_U64: TypeAlias = NDArray[np.uint64]
_F32: TypeAlias = NDArray[np.float32]
_F64: TypeAlias = NDArray[np.float64]
_Lists: TypeAlias = tuple[_U32, _F32]
_Pairs: TypeAlias = tuple[_I64, _U32, _F32]
_Window: TypeAlias = tuple[_I64, _U32, float]
_Misfit: TypeAlias = tuple[int, int, int, int]  # begin, end, cells, first delimiter too many
__version__: str

def set_threads(n_threads: int) -> None:
    """Set the number of threads of the kernels, 1 to 1,024; results do not depend on it."""

def _instruction_set() -> str: ...
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
    short_lists: bool = False,
    strict: bool = False,
) -> tuple[_U32, list[str]]:
    """Read a file or pipe of item lists, gzipped or not: a row per line, blanks or commas between.

    Args:
        n_items: items are `0..n_items-1`.
        min_columns: refuse lists that are shorter.
        expected_rows: refuse any other number of rows; reading stops at the first one too many.
        id_base: the number of the first item in the file; items count from 0 in the result.
        skip_rows: lines to pass over before anything else, lines of `#` at the start aside.
        on_duplicate: an item twice in a row is refused ("error"), kept with a warning ("keep"), or
            its later copies become `n_items` in place ("keep-first").
        short_lists: accept rows shorter than the longest and -1, nan, the number after the last
            item (and 0 before the first) for no item: `n_items` in the result.
        strict: refuse a last line without newline, which is otherwise a warning.

    Returns the items, (rows, columns), and warnings, each of which starts with its code. Raises
    InputError for the first rule that the file breaks, ResourceError, and ValueError for an option.
    """

def parse_distances(
    path: str | os.PathLike[str],
    *,
    expected_rows: int | None = None,
    expected_columns: int | None = None,
    kind: str = "distance",
    short_lists: bool = False,
    strict: bool = False,
) -> tuple[_F32, list[str]]:
    """Read a text file of distances: as `numpy.loadtxt` in float64, then rounded to float32.

    `path`, `strict`, warnings and errors are those of `parse_items`. `kind` is "distance" (never
    negative, small is sure) or "similarity" (any sign, large is sure); the numbers are returned as
    they are either way, (rows, columns), finite; with `short_lists` NaN for nan, inf, -1, nothing.
    """

# --- logs ----------------------------------------------------------------------------------------

@final
class RowBlock:
    """The cells of a block of rows; columns count those that were read."""

    def __len__(self) -> int: ...
    def ints(self, column: int) -> _I64:
        """Return a column of kind `int`, (rows,)."""

    def floats(self, column: int) -> _F32:
        """Return a column of kind `float`, (rows,)."""

    def texts(self, column: int) -> tuple[NDArray[np.uint8], _I64]:
        """Return a column of kind `id` or `text`: bytes, and where each begins, (rows + 1,)."""

def split_rows(text: bytes, delimiter: int, kinds: list[str]) -> RowBlock | None:
    """Split whole rows of UTF-8, or return None where one is not plain, which is no error.

    Of columns: "skip", "id" (no white space at its ends), "int", "float" (7 digits) and "text".
    """

def first_misfit(text: bytes, delimiter: bytes, quotes: bool, width: int) -> _Misfit | None:
    """Return the first row that has not `width` cells, or None."""

def row_start(text: bytes, row: int, quotes: bool) -> tuple[int | None, int]:
    """Return where row `row` begins, from 0, and 0; or None and how many rows there are."""

def first_bad_quote(text: bytes, delimiter: int) -> tuple[str, int, int] | None:
    """Return what is wrong ("opening", "closing", "unclosed"), where, and where the field began."""

def first_long_row(text: bytes, cap: int, quotes: bool) -> int | None:
    """Return where the first row of more than `cap` bytes begins, or None."""

def last_row_end(text: bytes) -> int:
    """Return where the last whole row ends, 0 where none does; a quoted line end ends none."""

@final
class IdTable:
    """Distinct ids, numbered in the order of their first appearance."""

    def __new__(cls) -> IdTable: ...
    def __len__(self) -> int: ...
    def ids(self) -> tuple[NDArray[np.uint8], _I64]:
        """Return the ids' bytes, and where each begins and the last one ends, (ids + 1,)."""

    def number(self, text: NDArray[np.uint8], offsets: _I64) -> _U32:
        """Return the number of each text, new ones getting the next; `offsets` is (texts + 1,)."""

def number_ids(
    block: RowBlock, user: int, users: IdTable, item: int, items: IdTable
) -> tuple[_U32, _U32]:
    """Return the numbers of two columns of a block, each (rows,), by a table each."""

# --- weights -------------------------------------------------------------------------------------

def position_weight(k: int, temperature: float) -> _F32:
    """Return `exp(-rank / temperature)` over its sum, (k,), for ranks 1 to k >= 1."""

def sequence_confidence(target_distance: _F32, temperature: float, k: int) -> _F32:
    """Return the paper's confidence, (R,): `exp(-d / temperature)` over its mean over rows and k.

    `target_distance` is (R,), from what the teacher generated to the true next item. Raises
    InputError for a negative distance, k 0 and a temperature below 0.001 (as `position_weight`
    does); NonFiniteError for NaN and infinity, naming the row.
    """

def candidate_confidence(distance: _F32) -> _F32:
    """Return the authors' confidence, (R, K): `exp(-d) + 1e-8` over its sum in the row.

    Raises InputError for a negative distance and no columns; NonFiniteError for NaN and infinity,
    naming row and column.
    """

def consistency_from_scores(scores: _F32, ranking: _U32, k: int) -> _F32:
    """Return 1 where the teacher's item, (B, K), is in `top_n(scores, k)` of its row, else 0.

    Raises as `top_n`, and InputError for an item outside 0..N-1.
    """

def blend_weights(
    position: _F32,
    confidence: _F32,
    consistency: _F32 | None,
    gammas: tuple[float, float, float],
    normalise: bool,
) -> _F32:
    """Return the weighted sum of position (K,), confidence (R,) or (R, K), consistency (R, K).

    Without `consistency` its term is left out. `normalise` scales each row to sum to 1; a row that
    sums to 0 becomes 1/K each. Raises InputError for negative weights or gammas and gammas that
    are all 0; NonFiniteError for NaN and infinity.
    """

def blend_distances(position: _F32, distance: _F32, gammas: tuple[float, float, float]) -> _F32:
    """Return `blend_weights` of position (K,) and the `candidate_confidence` of distances (R, K).

    The same bits in one pass. Raises as both.
    """

# --- paired statistics ---------------------------------------------------------------------------

def bootstrap_sums(values: _F64, counts: _U64, *, n_draws: int, seed: int) -> _F64:
    """Return the sums of the values of as many rows drawn with replacement, (n_draws,).

    `values`, (V,), are distinct; `counts`, (V,), says how many rows have each. Raises InputError
    for no rows, 2**32 of them or a count of 0; NonFiniteError for NaN and infinity.
    """

def sign_sums(values: _F64, counts: _U64, *, n_draws: int, seed: int) -> _F64:
    """Return the sums of all rows' values with their signs drawn anew, (n_draws,).

    `values` and `counts` are (V,). Raises as `bootstrap_sums`.
    """

# --- histories -----------------------------------------------------------------------------------

def order_by_user(users: _U32, times: _I64 | None, n_users: int) -> tuple[_U32, _I64]:
    """Number the events of a log by user, then time, then place in the log.

    `users` and `times` are (n,). Returns the events' numbers (n,) and where each user's begin, and
    the end, (n_users + 1,). Raises InputError for a user outside 0..n_users-1 and for more than
    4294967295 events.
    """

def gather_windows(
    events: _U32, start: _I64, end: _I64, max_length: int, padding: int
) -> tuple[_U32, _U32, _U32]:
    """Cut windows: the items of `events[max(start, end - max_length):end]` and `events[end]`.

    `start` and `end` are (R,). Returns sequences (R, max_length), right-padded, lengths (R,) and
    targets (R,). Raises InputError, naming the row, unless 0 <= start < end < n_events.
    """

# --- negatives -----------------------------------------------------------------------------------

def sample_negatives(
    events: _U32,
    begin: _I64,
    end: _I64,
    keys: NDArray[np.uint64],
    *,
    n_items: int,
    n_negatives: int,
    seed: int,
    epoch: int,
) -> _U32:
    """Draw negatives for each row, uniformly among the items outside `events[begin:end]`.

    `events` is (n_events,), `begin`, `end` and `keys` are (B,), the result is (B, n_negatives),
    drawn with replacement. A row's draws depend on `seed`, `epoch`, its key, the draw's index and
    the set of items it excludes. Raises InputError where a slice, an item or a row leaves no draw.
    """

# --- ranking -------------------------------------------------------------------------------------

def rank_counts(scores: _Scores, targets: _U32) -> tuple[_U32, _U32]:
    """Count the items above each target, and the others equal to it: (B,) and (B,).

    `scores` is (B, N); -inf masks an item. NaN and +inf raise NonFiniteError, a masked target
    InputError; both name the row.
    """

def top_n(scores: _Scores, n: int) -> _Lists:
    """List the `n` best items of each row and their scores: (B, n) and (B, n).

    Score descending, then index; -inf is not listed: missing places hold N and -inf. Raises
    InputError unless 1 <= n <= N, NonFiniteError for NaN and +inf.
    """

def count_pairs(
    sequences: _U32, lengths: _U32, targets: _U32, age_weights: _F32, n_items: int, most: int
) -> tuple[_I64, _U32, NDArray[np.float64], NDArray[np.float64]]:
    """Count (window item, target): offsets (N + 1,), items, counts, and sums of all (N,)."""

def pair_bonuses(sequences: _U32, lengths: _U32, age_weights: _F32, table: _Pairs) -> _Pairs:
    """Sum `table` over each row's window: offsets (B + 1,), items that ascend, bonuses."""

def similar_rows(matrix: _Pairs, n_columns: int, most: int) -> _Pairs:
    """Of each row of a sparse matrix the `most` others with the highest products above 0."""

def fused_rank_counts(
    users: _F32,
    items: _F32,
    targets: _U32,
    bias: _F32 | None = None,
    window: _Window | None = None,
    bonuses: _Pairs | None = None,
) -> tuple[_U32, _U32]:
    """Count as `rank_counts`, for users (B, D) x items (N, D) + bias (N,), without the matrix.

    `window`, (offsets, items, shift), moves what a row lists, once each; -inf masks. `bonuses` has
    a shift for each item; items ascend within a row.
    """

def fused_top_n(
    users: _F32,
    items: _F32,
    n: int,
    bias: _F32 | None = None,
    window: _Window | None = None,
    bonuses: _Pairs | None = None,
) -> _Lists:
    """List as `top_n`, for users (B, D) x items (N, D) + bias (N,), without the matrix."""

def code_items(items: _F32) -> tuple[_I8, _F32, _F32]:
    """Put items (N, D) in eight bits, by panels; scales (N,), and how far off they are (N,)."""

def coded_top_n(
    users: _F32,
    items: _F32,
    codes: tuple[_I8, _F32, _F32],
    n: int,
    bias: _F32 | None = None,
    window: _Window | None = None,
    bonuses: _Pairs | None = None,
) -> _Lists:
    """List for a few users as `fused_top_n` does, to the last bit, by the codes of all items."""

def log_sums(
    scores: _F32,
    targets: _I64,
    slope: _F32 | None,
    in_softmax: NDArray[np.bool_] | None,
    softmax: bool,
) -> NDArray[np.float64]:
    """Sum exponentials over each row: (B, 2), the logarithms of both sums.

    `scores` is (B, N), `targets` (B,) columns of it that may lie outside, `slope` and `in_softmax`
    are (N,). The first sum is that of a softmax over the items in it, 0 without one; the second is
    that of slope times the squared score, of the score less 1 at the target, 0 without slopes.
    """

def score_gradient_(
    scores: _F32,
    targets: _I64,
    slope: _F32 | None,
    in_softmax: NDArray[np.bool_] | None,
    stats: NDArray[np.float64],
    softmax: bool,
) -> None:
    """Write over each score what flows to it through the sums of `log_sums`.

    `stats` is (B, 4): the first sum and what flows to it, then the same of the second.
    """
