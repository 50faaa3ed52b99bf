"""The counts and lists of `ranking`, in torch: what runs where the vectors are, tile by tile.

A tile is a product of one shape: some users against `tile_width` items, the last tile padded.
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

TILE_ITEMS = 8192  # of a tile at most
TILE_STEP = 64
BLOCK_USERS = 2048
# A product of vectors is at most that of their lengths: far below what float32 holds, no score has
# to be looked at.
SAFE_SCORE = 1e38
_MASKED_KEY = torch.iinfo(torch.int64).min


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows and the items listed for them.

    Attributes:
        listed: rows and items whose score is moved, int64 (2, n), each pair once, ordered by block
            of users, then item.
        place: where each stands among the scores of its block and tile, int64 (n,).
        cuts: where in `listed` each block's tiles begin, (blocks, tiles + 1).
    """

    listed: torch.Tensor
    place: torch.Tensor
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
        is_safe: whether no score can be NaN or +inf: then none is looked at for that.
    """

    users: torch.Tensor
    items: torch.Tensor
    bias: torch.Tensor | None
    pairs: Pairs | None
    shift: float
    is_safe: bool

    @classmethod
    def of(
        cls,
        users: torch.Tensor,
        items: torch.Tensor,
        bias: torch.Tensor | None,
        pairs: Pairs | None,
        shift: float,
    ) -> Problem:
        """Check bias and shift, and bound the scores."""
        if np.isnan(shift) or shift == np.inf:
            raise InputError(f"window_offset = {shift}, expected a finite number or -inf")
        facts = [_longest(users), _longest(items)]
        if bias is not None:
            bias = bias.detach().float()
            facts += [bias.amax(), bias.masked_fill(bias == -torch.inf, 0).abs().amax()]
        user, item, *of_bias = read(torch.stack(facts))
        if bias is not None and not of_bias[0] < np.inf:
            row = int((~(bias < np.inf)).nonzero()[0, 0])
            raise _refusal("bias", row, 0, float(bias[row]))
        bound = user * item + sum(of_bias[1:]) + (0.0 if shift == -np.inf else abs(shift))
        return cls(users.float(), items, bias, pairs, float(shift), bound < SAFE_SCORE)

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Blocks of users, numbered."""
        begins = range(0, len(self.users), BLOCK_USERS)
        return ((i, slice(b, min(b + BLOCK_USERS, len(self.users)))) for i, b in enumerate(begins))

    def tiles(self) -> Iterator[tuple[int, slice]]:
        """Tiles of items, numbered."""
        width = tile_width(len(self.items))
        begins = range(0, len(self.items), width)
        return ((i, slice(b, min(b + width, len(self.items)))) for i, b in enumerate(begins))

    def scores(self, block: tuple[int, slice], tile: tuple[int, slice]) -> torch.Tensor:
        """The scores of a block and a tile; NaN where one is refused."""
        (block_index, rows), (tile_index, columns) = block, tile
        product = self.product(rows, self.items[columns])
        scores = product[:, : columns.stop - columns.start]
        if self.bias is not None:
            scores += self.bias[columns]
        if self.pairs is not None:
            begin, end = self.pairs.cuts[block_index, tile_index : tile_index + 2]
            place = self.pairs.place[begin:end]
            flat = product.view(-1)
            flat[place] = self.moved(flat[place])
        return scores

    def product(self, rows: slice, vectors: torch.Tensor) -> torch.Tensor:
        """Users x `tile_width`, the shape of all tiles, 0 behind the vectors; NaN for overflows."""
        missing = tile_width(len(self.items)) - len(vectors)
        vectors = vectors.float()
        if missing:
            vectors = torch.nn.functional.pad(vectors, (0, 0, 0, missing))
        product = self.users[rows] @ vectors.T
        return product if self.is_safe else torch.where(product.isfinite(), product, torch.nan)

    def moved(self, scores: torch.Tensor) -> torch.Tensor:
        """The scores of listed items."""
        shifted = scores + self.shift
        return shifted if self.is_safe else torch.where(shifted < torch.inf, shifted, torch.nan)

    def target_scores(self, targets: torch.Tensor) -> torch.Tensor:
        """The score of each row's target, as its tile gives it, (B,)."""
        parts = [self.users.new_zeros(0)]
        for _, rows in self.blocks():
            product = self.product(rows, self.items[targets[rows]])
            parts.append(product.diagonal()[: rows.stop - rows.start].clone())
        target_scores = torch.cat(parts)
        if self.bias is not None:
            target_scores = target_scores + self.bias[targets]
        if self.pairs is not None:
            row, item = self.pairs.listed
            is_target = (item == targets[row]).int()  # of a row's pairs one at most
            is_listed = torch.zeros_like(targets, dtype=torch.int32).index_add_(0, row, is_target)
            target_scores = torch.where(is_listed > 0, self.moved(target_scores), target_scores)
        return target_scores


def tile_width(n_items: int) -> int:
    """How many items a tile has: tiles as even as can be, no narrower than a block of users."""
    n_tiles = max(1, -(-n_items // TILE_ITEMS))
    even = -(-n_items // (n_tiles * TILE_STEP)) * TILE_STEP
    return min(TILE_ITEMS, max(BLOCK_USERS, even))


def _longest(vectors: torch.Tensor) -> torch.Tensor:
    """The length of the longest vector, float32 (); 0 of none."""
    is_wide = vectors.dtype == torch.float64 or not vectors.is_floating_point()
    single = vectors.float() if is_wide else vectors
    lengths = torch.linalg.vector_norm(single, dim=1, dtype=torch.float32)
    return torch.cat([lengths, lengths.new_zeros(1)]).amax()


def read(numbers: torch.Tensor) -> list[float]:
    """Wait for the device and read some numbers: all that the host asks for in between."""
    return [float(number) for number in numbers.tolist()]


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
    rows, items = place // n_items * BLOCK_USERS + within, place % n_items
    width = tile_width(n_items)
    begins = torch.arange(0, n_items + width, width, device=keys.device)
    blocks = torch.arange(-(-n_users // BLOCK_USERS), device=keys.device)
    edges = blocks[:, None] * n_items + begins.clamp(max=n_items)
    cuts = torch.searchsorted(place, edges).cpu().numpy()
    return Pairs(torch.stack([rows, items]), within * width + items % width, cuts)


@contextmanager
def _exact_float32(device: torch.device) -> Iterator[None]:
    """Products in float32 proper, whatever the caller's settings for speed are.

    Nor is torch told to be deterministic: each listed place is written once, whole numbers alone
    are added up, and what torch does instead sorts the places of every tile.
    """
    before = torch.get_float32_matmul_precision(), torch.get_deterministic_debug_mode()
    torch.set_float32_matmul_precision("highest")
    torch.set_deterministic_debug_mode("default")
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_deterministic_debug_mode(before[1])


def count(problem: Problem, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count from vectors: greater and equal, int64 (B,) in CPU memory."""
    with _exact_float32(problem.users.device):
        target_scores = problem.target_scores(targets)
        counts = torch.zeros(
            (2, len(target_scores)), dtype=torch.int64, device=target_scores.device
        )
        refused = torch.zeros((), dtype=torch.bool, device=target_scores.device)
        for block in problem.blocks():
            rows = block[1]
            greater, equal = counts[:, rows]
            for tile in problem.tiles():
                scores = problem.scores(block, tile)
                greater += (scores > target_scores[rows, None]).sum(1)
                equal += (scores == target_scores[rows, None]).sum(1)
                if not problem.is_safe:
                    refused |= scores.isnan().any()
        counts[1] -= 1  # the target itself
        _check(problem, refused, target_scores, targets)
        both = counts.cpu()
    return both[0], both[1]


def best(problem: Problem, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """List from vectors: items int64 (B, n) and scores float32 (B, n) in CPU memory."""
    parts = []
    with _exact_float32(problem.users.device):
        device = problem.users.device
        refused = torch.zeros((), dtype=torch.bool, device=device)
        for block in problem.blocks():
            rows = block[1].stop - block[1].start
            keys = torch.full((rows, n), _MASKED_KEY, dtype=torch.int64, device=device)
            for tile in problem.tiles():
                scores = problem.scores(block, tile)
                if not problem.is_safe:
                    refused |= scores.isnan().any()
                keys = torch.cat([keys, _keys(scores, tile[1].start)], 1).topk(n).values
            parts.append(_candidates(keys, len(problem.items)))
        _check(problem, refused)
    if not parts:
        return torch.zeros((0, n), dtype=torch.int64), torch.zeros((0, n))
    return torch.cat([items for items, _ in parts]), torch.cat([scores for _, scores in parts])


def _check(
    problem: Problem,
    refused: torch.Tensor,
    target_scores: torch.Tensor | None = None,
    targets: torch.Tensor | None = None,
) -> None:
    """Refuse scores that are not finite and targets that are masked.

    Raises:
        NonFiniteError: names the first vector that is not finite, or else the first score.
        InputError: names the first row whose target is masked.
    """
    is_masked = refused if target_scores is None else (target_scores == -torch.inf).any()
    any_refused, any_masked = read(torch.stack([refused, is_masked]))
    if any_refused:
        raise _find_refusal(problem)
    if any_masked and target_scores is not None and targets is not None:
        raise _masked(targets, int((target_scores == -torch.inf).nonzero()[0, 0]))


def count_matrix(scores: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Count from a matrix: greater and equal, int64 (B,) in CPU memory."""
    parts = [torch.zeros((2, 0), dtype=torch.int64)]
    for rows, block in _matrix_blocks(scores):
        target_scores = block.gather(1, targets[rows, None])
        masked = target_scores[:, 0] == -torch.inf
        if masked.any():
            raise _masked(targets, rows.start + int(masked.nonzero()[0, 0]))
        counts = torch.stack([(block > target_scores).sum(1), (block == target_scores).sum(1) - 1])
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
