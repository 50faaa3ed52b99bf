"""The counts and lists of `ranking`, in torch: what runs where the vectors are, tile by tile.

A tile is a product of one fixed shape: some users against `TILE_ITEMS` items, the last tile padded.
A target's score comes from a product of that same shape, of its users with their targets' vectors,
so that it is rounded as it will be in its tile and an item with the same vector ties exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.errors import InputError, NonFiniteError

TILE_ITEMS = 8192
BLOCK_USERS = 2048
_MASKED_KEY = torch.iinfo(torch.int64).min


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows and the items listed for them.

    Attributes:
        listed: rows and items whose score is moved, int64 (2, n), each pair once, ordered by block
            of users, then item.
        cuts: where in `listed` each block's tiles begin, (blocks, tiles + 1).
    """

    listed: torch.Tensor
    cuts: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Vectors, bias and listed items on one device.

    Attributes:
        users: float32 (B, D).
        items: (N, D), of any float type; a tile of them at a time becomes float32.
        bias: float32 (N,) or None.
        pairs: rows and items whose score is moved; None without a window.
        shift: what is added to the scores of listed items.
    """

    users: torch.Tensor
    items: torch.Tensor
    bias: torch.Tensor | None
    pairs: Pairs | None
    shift: float

    @classmethod
    def of(
        cls,
        users: torch.Tensor,
        items: torch.Tensor,
        bias: npt.NDArray[np.float32] | None,
        pairs: Pairs | None,
        shift: float,
    ) -> Problem:
        """Check bias and shift."""
        if np.isnan(shift) or shift == np.inf:
            raise InputError(f"window_offset = {shift}, expected a finite number or -inf")
        if bias is not None and not (bias < np.inf).all():
            row = int(np.argmin(bias < np.inf))
            raise _refusal("bias", row, 0, float(bias[row]))
        added = None if bias is None else torch.from_numpy(bias).to(users.device)
        return cls(users.float(), items, added, pairs, float(shift))

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Blocks of users, numbered."""
        begins = range(0, len(self.users), BLOCK_USERS)
        return ((i, slice(b, min(b + BLOCK_USERS, len(self.users)))) for i, b in enumerate(begins))

    def tiles(self) -> Iterator[tuple[int, slice]]:
        """Tiles of items, numbered."""
        begins = range(0, len(self.items), TILE_ITEMS)
        return ((i, slice(b, min(b + TILE_ITEMS, len(self.items)))) for i, b in enumerate(begins))

    def scores(self, block: tuple[int, slice], tile: tuple[int, slice]) -> torch.Tensor:
        """The scores of a block and a tile; NaN where one is refused."""
        (block_index, rows), (tile_index, columns) = block, tile
        scores = self.product(rows, self.items[columns])
        if self.bias is not None:
            scores += self.bias[columns]
        if self.pairs is not None:
            begin, end = self.pairs.cuts[block_index, tile_index : tile_index + 2]
            row, item = self.pairs.listed[:, begin:end]
            row, column = row - rows.start, item - columns.start
            scores[row, column] = _no_infinity(scores[row, column] + self.shift)
        return scores

    def product(self, rows: slice, vectors: torch.Tensor) -> torch.Tensor:
        """Users x at most TILE_ITEMS vectors, in the shape all tiles share; NaN for overflows."""
        padding = (0, 0, 0, TILE_ITEMS - len(vectors))
        padded = torch.nn.functional.pad(vectors.float(), padding)
        product = (self.users[rows] @ padded.T)[:, : len(vectors)]
        return torch.where(product.isfinite(), product, torch.nan)

    def target_scores(self, rows: slice, targets: torch.Tensor) -> torch.Tensor:
        """The score of each row's target, as its tile gives it."""
        scores = self.product(rows, self.items[targets]).diagonal().clone()
        if self.bias is not None:
            scores += self.bias[targets]
        if self.pairs is not None:
            row, item = self.pairs.listed
            mine = (row >= rows.start) & (row < rows.stop)
            row, item = row[mine] - rows.start, item[mine]
            own = row[item == targets[row]]
            scores[own] = _no_infinity(scores[own] + self.shift)
        return scores


def _no_infinity(scores: torch.Tensor) -> torch.Tensor:
    return torch.where(scores < torch.inf, scores, torch.nan)


def listed_pairs(window: tuple[torch.Tensor, torch.Tensor], n_users: int, n_items: int) -> Pairs:
    """Check and order a window: offsets and items, int64 on the device of the users.

    One integer a pair, sorted where it is: on the host this took longer than the ranking.
    """
    offsets, items = window
    lengths = offsets.diff()
    ends = (offsets[:1] == 0).all() & (offsets[-1:] == len(items)).all()
    if len(offsets) != n_users + 1 or bool((lengths < 0).any() | ~ends):
        raise InputError(
            f"window: {len(offsets)} offsets for {n_users} rows and {len(items)} listed items, "
            "expected one more than rows, rising from 0 to the number of listed items"
        )
    rows = torch.repeat_interleave(torch.arange(n_users, device=offsets.device), lengths)
    place = rows // BLOCK_USERS * n_items + items
    keys = torch.unique(place * BLOCK_USERS + rows % BLOCK_USERS)
    place, within = keys // BLOCK_USERS, keys % BLOCK_USERS
    rows = place // n_items * BLOCK_USERS + within
    begins = torch.arange(0, n_items + TILE_ITEMS, TILE_ITEMS, device=keys.device)
    blocks = torch.arange(-(-n_users // BLOCK_USERS), device=keys.device)
    edges = blocks[:, None] * n_items + begins.clamp(max=n_items)
    cuts = torch.searchsorted(place, edges).cpu().numpy()
    return Pairs(torch.stack([rows, place % n_items]), cuts)


@contextmanager
def _exact_float32(device: torch.device) -> Iterator[None]:
    """Products in float32 proper, whatever the caller's settings for speed are."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def count(problem: Problem, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count from vectors: greater and equal, int64 (B,) in CPU memory."""
    parts = []
    with _exact_float32(problem.users.device):
        for block in problem.blocks():
            rows = block[1]
            own = problem.target_scores(rows, targets[rows])
            _check_targets(own, targets, rows.start, problem)
            greater = torch.zeros_like(own, dtype=torch.int64)
            equal, refused = greater - 1, torch.zeros((), dtype=torch.bool, device=own.device)
            for tile in problem.tiles():
                scores = problem.scores(block, tile)
                greater += (scores > own[:, None]).sum(1)
                equal += (scores == own[:, None]).sum(1)
                refused |= scores.isnan().any()
            if refused:
                raise _find_refusal(problem)
            parts.append(torch.stack([greater, equal]).cpu())
    both = torch.cat(parts, 1) if parts else torch.zeros((2, 0), dtype=torch.int64)
    return both[0], both[1]


def best(problem: Problem, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """List from vectors: items int64 (B, n) and scores float32 (B, n) in CPU memory."""
    parts = []
    with _exact_float32(problem.users.device):
        for block in problem.blocks():
            rows = block[1].stop - block[1].start
            device = problem.users.device
            keys = torch.full((rows, n), _MASKED_KEY, dtype=torch.int64, device=device)
            refused = torch.zeros((), dtype=torch.bool, device=device)
            for tile in problem.tiles():
                scores = problem.scores(block, tile)
                refused |= scores.isnan().any()
                keys = torch.cat([keys, _keys(scores, tile[1].start)], 1).topk(n).values
            if refused:
                raise _find_refusal(problem)
            parts.append(_candidates(keys, len(problem.items)))
    if not parts:
        return torch.zeros((0, n), dtype=torch.int64), torch.zeros((0, n))
    return torch.cat([items for items, _ in parts]), torch.cat([scores for _, scores in parts])


def count_matrix(scores: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count from a matrix: greater and equal, int64 (B,) in CPU memory."""
    parts = [torch.zeros((2, 0), dtype=torch.int64)]
    for rows, block in _matrix_blocks(scores):
        own = block.gather(1, targets[rows, None])
        masked = own[:, 0] == -torch.inf
        if masked.any():
            raise _masked(targets, rows.start + int(masked.nonzero()[0, 0]))
        counts = torch.stack([(block > own).sum(1), (block == own).sum(1) - 1])
        parts.append(counts.cpu())
    both = torch.cat(parts, 1)
    return both[0], both[1]


def list_matrix(scores: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """List from a matrix: items int64 (B, n) and scores (B, n) in CPU memory."""
    items = [torch.zeros((0, n), dtype=torch.int64)]
    values = [torch.zeros((0, n))]
    for _, block in _matrix_blocks(scores):
        # + 0: one zero. Stable: ties stay in the order of items.
        ordered = (block + 0).sort(dim=1, descending=True, stable=True)
        best, item = ordered.values[:, :n], ordered.indices[:, :n]
        items.append(torch.where(best == -torch.inf, scores.shape[1], item).cpu())
        values.append(best.cpu().float())
    return torch.cat(items), torch.cat(values)


def _matrix_blocks(scores: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Blocks of rows in float32 or float64, without NaN and +inf."""
    wide = scores.dtype if scores.dtype in (torch.float32, torch.float64) else None
    wide = wide or (torch.float32 if scores.is_floating_point() else torch.float64)
    step = max(1, BLOCK_USERS * TILE_ITEMS // scores.shape[1])
    for begin in range(0, len(scores), step):
        block = scores[begin : begin + step].to(wide)
        refused = ~(block < torch.inf)
        if refused.any():
            row, column = refused.nonzero()[0].tolist()
            raise _refusal("scores", begin + row, column, float(block[row, column]))
        yield slice(begin, begin + len(block)), block


def _keys(scores: torch.Tensor, first_item: int) -> torch.Tensor:
    """A score and its item in one integer: of two candidates the better one has the larger."""
    bits = (scores + 0.0).view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    item = torch.arange(first_item, first_item + scores.shape[1], device=scores.device)
    keys = (ordered << 32) | (0xFFFFFFFF - item)
    return torch.where(scores == -torch.inf, _MASKED_KEY, keys)


def _candidates(keys: torch.Tensor, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    missing = keys == _MASKED_KEY
    items = torch.where(missing, n_items, 0xFFFFFFFF - (keys & 0xFFFFFFFF))
    ordered = (keys >> 32).int()
    scores = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)
    return items.cpu(), torch.where(missing, -torch.inf, scores).cpu()


def _check_targets(
    own: torch.Tensor, targets: torch.Tensor, first_row: int, problem: Problem
) -> None:
    if (own > -torch.inf).all():
        return
    if own.isnan().any():
        raise _find_refusal(problem)
    row = first_row + int((own == -torch.inf).nonzero()[0, 0])
    raise _masked(targets, row)


def _masked(targets: torch.Tensor, row: int) -> InputError:
    return InputError(
        f"row {row}: target {int(targets[row])} is masked, expected a target that is a candidate"
    )


def _refusal(name: str, row: int, column: int, value: float) -> NonFiniteError:
    where = f"{name} row {row} column {column}"
    return NonFiniteError(f"{where}: {value}, expected a finite number")


def _find_refusal(problem: Problem) -> NonFiniteError:
    """Name the first vector that is not finite, or else the first score."""
    for name, vectors in (("users", problem.users), ("items", problem.items)):
        for begin in range(0, len(vectors), TILE_ITEMS):
            part = vectors[begin : begin + TILE_ITEMS]
            if not part.isfinite().all():
                row, column = (~part.isfinite()).nonzero()[0].tolist()
                return _refusal(name, begin + row, column, float(part[row, column]))
    places = []
    for block in problem.blocks():
        for tile in problem.tiles():
            found = problem.scores(block, tile).isnan().nonzero()[:1].tolist()
            places += [(block[1].start + row, tile[1].start + column) for row, column in found]
    row, column = min(places)
    return _refusal("scores", row, column, float("nan"))
