"""Where targets rank, and which items rank first: Rust on the CPU, torch and kernels on a GPU.

All functions follow one set of rules. A score of -inf masks its item: it is no candidate and is
never listed. NaN and +inf are refused. `equal` does not count the target itself. Lists go by score,
descending, then by index, ascending. A CUDA tensor is worked on where it is, everything else on the
CPU; results are NumPy arrays.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec import _core
from dllm2rec.arrays import item_indices, plain_array
from dllm2rec.errors import InputError, InternalError
from dllm2rec.evaluate.listed_items import (
    Bonuses,
    CheckedWindow,
    Moves,
    Numbers,
    Window,
    host_moves,
    moves_on,
)
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.on_device import ranking_torch, score_tiles

Lists: TypeAlias = tuple[npt.NDArray[np.uint32], npt.NDArray[np.float32]]


def rank_counts(scores: Numbers, targets: Numbers) -> RankCounts:
    """Count, for each row, the candidates above its target and the others equal to it.

    Args:
        scores: (B, N), float16, float32 or float64 without a copy if in C order; bfloat16 is taken
            as float32, integers as float64.
        targets: the item of each row, (B,), in 0..N-1.

    Raises:
        TypeError: booleans, objects or another type that is not a number.
        InputError: shapes that do not match, a target outside the catalogue or masked.
        NonFiniteError: NaN or +inf in a row; the message names row and column.
    """
    device = _device(scores)
    if device is not None:
        matrix = _matrix_on(device, scores, "scores")
        return _counts(
            ranking_torch.count_matrix(matrix, _targets_on(device, targets, *matrix.shape))
        )
    array = _score_array(scores)
    return _counts(_core.rank_counts(array, _targets(targets, *array.shape)))


def top_n(scores: Numbers, n: int) -> Lists:
    """List the `n` best items of each row, and their scores.

    Args:
        scores: (B, N), as for `rank_counts`.
        n: places of a list, in 1..N.

    Returns:
        Items uint32 (B, n) and scores float32 (B, n). Places that no candidate is left for hold N
        and -inf.

    Raises:
        TypeError, InputError, NonFiniteError: as `rank_counts`; InputError for `n` outside 1..N.
    """
    device = _device(scores)
    if device is not None:
        matrix = _matrix_on(device, scores, "scores")
        return _lists(ranking_torch.list_matrix(matrix, _places(n, matrix.shape[1])))
    array = _score_array(scores)
    return _core.top_n(array, _places(n, array.shape[1]))


def fused_rank_counts(
    users: Numbers,
    items: Numbers,
    targets: Numbers,
    bias: Numbers | None = None,
    window: Window | CheckedWindow | None = None,
    window_offset: float = 0.0,
    bonuses: Bonuses | None = None,
) -> RankCounts:
    """Count as `rank_counts`, from vectors: no users x items matrix is ever held.

    The score of row b and item i is users[b] . items[i] + bias[i], in float32, plus the sum of
    `window_offset`, if row b lists item i, and its bonus, if it has one.

    Args:
        users: (B, D), finite; float64 is rounded to float32.
        items: (N, D), finite, on the device of `users`.
        targets: the item of each row, (B,), in 0..N-1.
        bias: (N,), finite, or -inf to mask an item for all rows.
        window: items listed for each row: offsets (B + 1,) into items. An item that a row lists
            twice counts once; a row may list its target. Or what `checked_window` made of it.
        window_offset: added to the scores of listed items; -inf masks them.
        bonuses: finite, on the host or the device of the vectors, items ascending within a row.

    Raises:
        TypeError: booleans, objects or another type that is not a number.
        InputError: shapes that do not match, an item outside the catalogue, a masked target.
        NonFiniteError: a vector or score that is not finite; the message names its row.
    """
    device = _device(users, items)
    if device is not None:
        moves = window, window_offset, bonuses
        problem = _problem_on(device, users, items, bias, moves)
        wanted = _targets_on(device, targets, len(problem.users), len(problem.items))
        return _counts(ranking_torch.count(problem, wanted))
    arrays = _vectors(users, items)
    wanted_array = _targets(targets, len(arrays[0]), len(arrays[1]))
    added = _bias(bias, len(arrays[1]))
    moved = host_moves((window, window_offset, bonuses), *map(len, arrays))
    return _counts(_core.fused_rank_counts(*arrays, wanted_array, added, *moved))


def fused_top_n(
    users: Numbers,
    items: Numbers,
    n: int,
    bias: Numbers | None = None,
    window: Window | CheckedWindow | None = None,
    window_offset: float = 0.0,
    bonuses: Bonuses | None = None,
) -> Lists:
    """List as `top_n`, from vectors: no users x items matrix is ever held.

    With `window_offset=-inf` the listed items, such as those a user has seen, are left out.

    Args:
        users: (B, D), as for `fused_rank_counts`, like all that follows but `n`.
        items: (N, D).
        n: places of a list, in 1..N.
        bias: (N,) or None.
        window: (offsets, items), what `checked_window` made of them, or None.
        window_offset: added to the scores of listed items.
        bonuses: added to the scores of their items.

    Returns:
        Items uint32 (B, n) and scores float32 (B, n), as `top_n`.

    Raises:
        TypeError, InputError, NonFiniteError: as `fused_rank_counts` and `top_n`.
    """
    device = _device(users, items)
    if device is not None:
        moves = window, window_offset, bonuses
        problem = _problem_on(device, users, items, bias, moves)
        return _lists(ranking_torch.best(problem, _places(n, len(problem.items))))
    arrays = _vectors(users, items)
    places = _places(n, len(arrays[1]))
    added = _bias(bias, len(arrays[1]))
    moved = host_moves((window, window_offset, bonuses), *map(len, arrays))
    return _core.fused_top_n(*arrays, places, added, *moved)


def _device(*values: Numbers) -> torch.device | None:
    """The GPU that holds the values; None if none of them is on a device."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    devices = {tensor.device for tensor in tensors if tensor.device.type != "cpu"}
    if not devices:
        return None
    device = devices.pop()
    if devices or device.type != "cuda" or any(t.device != device for t in tensors):
        places = ", ".join(str(tensor.device) for tensor in tensors)
        raise InputError(f"tensors on {places}, expected all on the CPU or all on one CUDA device")
    return device


def _counts(counts: tuple[Any, Any]) -> RankCounts:
    greater, equal = (np.asarray(plain_array(part, "counts"), dtype=np.int64) for part in counts)
    if (equal < 0).any():
        raise InternalError(f"row {int(equal.argmin())}: its target is not as high as itself")
    return RankCounts(greater, equal)


def _lists(lists: tuple[torch.Tensor, torch.Tensor]) -> Lists:
    items, scores = lists
    return items.cpu().numpy().astype(np.uint32), scores.cpu().float().numpy()


def _score_array(scores: Numbers) -> npt.NDArray[Any]:
    array = _floats(scores, "scores")
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    checked: npt.NDArray[Any] = _checked_matrix(np.ascontiguousarray(array), "scores")
    return checked


def _floats(values: Numbers, name: str) -> npt.NDArray[Any]:
    array = plain_array(values, name)
    if array.dtype.kind == "b" or array.dtype.itemsize > 8:
        raise TypeError(f"{name}: dtype {array.dtype}, expected float16, float32 or float64")
    return array


def _single(values: Numbers, name: str, ndim: int) -> npt.NDArray[np.float32]:
    array = _floats(values, name)
    if array.ndim != ndim:
        raise InputError(f"{name}: shape {array.shape}, expected {ndim} axes")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and that is refused
        return np.ascontiguousarray(array, dtype=np.float32)


def _checked_matrix(array: Any, name: str) -> Any:  # noqa: ANN401 - an array or a tensor
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"{name}: shape {tuple(array.shape)}, expected two axes, the last not 0")
    return array


def _vectors(
    users: Numbers, items: Numbers
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    pair = _single(users, "users", 2), _single(items, "items", 2)
    _check_vectors(*pair)
    return pair


def _check_vectors(users: Any, items: Any) -> None:  # noqa: ANN401 - arrays or tensors
    shapes = f"users {tuple(users.shape)}, items {tuple(items.shape)}"
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise InputError(f"{shapes}: expected (B, D) and (N, D)")
    if 0 in (len(items), items.shape[1]):
        raise InputError(f"{shapes}: expected at least one item and one number per vector")


def _targets(targets: Numbers, n_rows: int, n_items: int) -> npt.NDArray[np.uint32]:
    array = item_indices(targets, "targets", n_items)
    if array.shape != (n_rows,):
        raise InputError(f"targets: shape {array.shape}, expected ({n_rows},), one per row")
    return array


def _places(n: int, n_items: int) -> int:
    n = operator.index(n)
    if not 1 <= n <= n_items:
        raise InputError(f"n = {n}, expected 1 <= n <= {n_items}, the number of items")
    return n


def _bias(bias: Numbers | None, n_items: int) -> npt.NDArray[np.float32] | None:
    if bias is None:
        return None
    array = _single(bias, "bias", 1)
    if array.shape != (n_items,):
        raise InputError(f"bias: shape {array.shape}, expected ({n_items},), one per item")
    return array


def _matrix_on(device: torch.device, values: Numbers, name: str) -> torch.Tensor:
    if not isinstance(values, torch.Tensor):
        raise InputError(f"{name}: in CPU memory, expected a tensor on {device}")
    if values.layout != torch.strided or values.is_complex() or values.dtype == torch.bool:
        raise TypeError(
            f"{name}: a {values.layout} tensor of {values.dtype}, expected dense floats"
        )
    matrix: torch.Tensor = _checked_matrix(values.detach(), name)
    return matrix


def _bias_on(device: torch.device, bias: Numbers, n_items: int) -> torch.Tensor:
    if isinstance(bias, torch.Tensor) and bias.device == device and bias.is_floating_point():
        if bias.shape == (n_items,):
            return bias
        bias = bias.cpu()
    checked = _bias(bias.cpu() if isinstance(bias, torch.Tensor) else bias, n_items)
    assert checked is not None  # noqa: S101 - for mypy
    return torch.from_numpy(checked).to(device)


def _targets_on(device: torch.device, targets: Numbers, n_rows: int, n_items: int) -> torch.Tensor:
    if (
        isinstance(targets, torch.Tensor)
        and targets.device == device
        and targets.dtype == torch.int64
        and targets.shape == (n_rows,)
        and n_rows > 0
    ):
        lowest, highest = score_tiles.read(torch.stack([targets.amin(), targets.amax()]))
        if lowest >= 0 and highest < n_items:
            return targets
    # Everything else, and what will be refused, goes by the host's checks and messages.
    host = targets.cpu() if isinstance(targets, torch.Tensor) else targets
    return torch.from_numpy(_targets(host, n_rows, n_items).astype(np.int64)).to(device)


def _problem_on(
    device: torch.device, users: Numbers, items: Numbers, bias: Numbers | None, moves: Moves
) -> score_tiles.Problem:
    left, right = _matrix_on(device, users, "users"), _matrix_on(device, items, "items")
    _check_vectors(left, right)
    moved = moves_on(device, moves, len(left), len(right))
    added = None if bias is None else _bias_on(device, bias, len(right))
    return score_tiles.Problem.of(left, right, added, moved)
