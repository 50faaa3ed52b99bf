"""The counts and lists of `ranking`, in torch: what runs where the vectors or the scores are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dllm2rec.errors import InputError, NonFiniteError
from dllm2rec.evaluate.on_device import on_chip, score_tiles
from dllm2rec.evaluate.on_device.list_keys import MASKED_KEY, in_rows, items_of, key_of, scores_of
from dllm2rec.evaluate.on_device.moved_items import BLOCK_USERS, TILE_ITEMS
from dllm2rec.evaluate.on_device.score_tiles import Problem, refusal

# Of a tile's scores; where more may enter the lists, all are ordered.
_FEW = 1 / 16


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
    count_all = on_chip.count if on_chip.fits(problem) else _count_in_tiles
    with _exact_float32(problem.users.device):
        counts, target_scores, refused = count_all(problem, targets)
        counts[1] -= 1  # the target itself
        _check(problem, refused, target_scores, targets)
        both = counts.cpu()
    return both[0], both[1]


def _count_in_tiles(
    problem: Problem, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Count in tiles of scores: counts (2, B) with the target, its scores, whether one is NaN."""
    target_scores = problem.target_scores(targets)
    device = target_scores.device
    counts = torch.zeros((2, len(target_scores)), dtype=torch.int64, device=device)
    refused = torch.zeros((), dtype=torch.bool, device=device)
    for block in problem.blocks():
        rows = block[1]
        greater, equal = counts[:, rows]
        for tile in problem.tiles():
            scores = problem.scores(block, tile)
            greater += (scores > target_scores[rows, None]).sum(1)
            equal += (scores == target_scores[rows, None]).sum(1)
            if not problem.is_safe:
                refused |= scores.isnan().any()
    return counts, target_scores, refused


def best(problem: Problem, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """List from vectors: items (B, n), of 32 bits, and scores float32 (B, n) in CPU memory."""
    with _exact_float32(problem.users.device):
        if on_chip.fits(problem) and on_chip.is_short(problem, n):
            keys = on_chip.best(problem, n)
        else:
            keys, refused = _best_in_tiles(problem, n)
            _check(problem, refused)
        return _candidates(keys, len(problem.items))


def _best_in_tiles(problem: Problem, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The best keys of each row, (B, n) best first, and whether a score is NaN."""
    device = problem.users.device
    refused = torch.zeros((), dtype=torch.bool, device=device)
    parts = [torch.zeros((0, n), dtype=torch.int64, device=device)]
    for block in problem.blocks():
        rows = block[1].stop - block[1].start
        keys = torch.full((rows, n), MASKED_KEY, dtype=torch.int64, device=device)
        for tile in problem.tiles():
            scores = problem.scores(block, tile)
            if not problem.is_safe:
                refused |= scores.isnan().any()
            keys = _merged(keys, scores, tile[1].start)
        parts.append(keys)
    return torch.cat(parts), refused


def _merged(keys: torch.Tensor, scores: torch.Tensor, first_item: int) -> torch.Tensor:
    """The best keys of some, (rows, n) best first, and of a tile of scores behind them.

    Few scores are above the last of a list that is full: an equal one is of a later item.
    """
    n = keys.shape[1]
    last = scores_of(keys[:, -1:])
    row, column = (scores > last).nonzero(as_tuple=True)
    if len(row) > _FEW * scores.numel():
        return torch.cat([keys, _keys(scores, first_item)], 1).topk(n).values
    if len(row) == 0:
        return keys
    found = in_rows(row, key_of(scores[row, column], column + first_item), len(keys))
    return torch.cat([keys, found], 1).topk(n).values


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
    any_refused, any_masked = score_tiles.read(torch.stack([refused, is_masked]))
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
            raise refusal("scores", begin + row, column, float(block[row, column]))
        yield slice(begin, begin + len(block)), block


def _keys(scores: torch.Tensor, first_item: int) -> torch.Tensor:
    """The keys of a tile; those of masked items are below all others."""
    item = torch.arange(first_item, first_item + scores.shape[1], device=scores.device)
    return key_of(scores, item)


def _candidates(keys: torch.Tensor, n_items: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Items and scores in CPU memory; items as int32, whose bits are those of uint32."""
    items = torch.where(keys == MASKED_KEY, n_items, items_of(keys))
    return items.int().cpu(), scores_of(keys).cpu()


def _masked(targets: torch.Tensor, row: int) -> InputError:
    """Return the error for a row whose target is no candidate."""
    return InputError(
        f"row {row}: target {int(targets[row])} is masked, expected a target that is a candidate"
    )


def _find_refusal(problem: Problem) -> NonFiniteError:
    """Name the first vector that is not finite, or else the first score."""
    for name, vectors in (("users", problem.users), ("items", problem.items)):
        for begin in range(0, len(vectors), TILE_ITEMS):
            part = vectors[begin : begin + TILE_ITEMS]
            if not part.isfinite().all():
                row, column = (~part.isfinite()).nonzero()[0].tolist()
                return refusal(name, begin + row, column, float(part[row, column]))
    places = []
    for block in problem.blocks():
        for tile in problem.tiles():
            found = problem.scores(block, tile).isnan().nonzero()[:1].tolist()
            places += [(block[1].start + row, tile[1].start + column) for row, column in found]
    row, column = min(places)
    return refusal("scores", row, column, float("nan"))
