"""Ranks and lists by kernels that hold no tile of scores in memory.

A list is made of the items that may be in it: those above a bound that a sample of the catalogue
gives, found on tensor cores and scored again in float32. A list that too many items might be in is
made again with more room, one whose bound was too high of all items.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import torch

from dllm2rec.evaluate.on_device.list_keys import MASKED_KEY, in_rows, key_of, scores_of
from dllm2rec.evaluate.on_device.score_tiles import Problem

WIDEST = 128  # of vectors that the kernels know
# Below it the compiler of kernels would take longer than the scores.
MANY_SCORES = 1 << 26
SAMPLED = 1 << 12, 1 << 16  # items of a sample, from and to
SAMPLED_PART = 64
MOST_FOUND = 1 << 24  # items of all lists, at a time: 8 bytes each, and as many again for keys


def fits(problem: Problem) -> bool:
    """Whether kernels know the scores: finite ones, many, of vectors that are not too wide."""
    return (
        problem.users.is_cuda
        and problem.is_safe
        and problem.users.shape[1] <= WIDEST
        and len(problem.users) * len(problem.items) >= MANY_SCORES
    )


def count(
    problem: Problem, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Count all items as if none were moved, then those: as `ranking_torch` counts in tiles.

    Returns:
        Greater and equal with the target, int64 (2, B); the targets' scores; that none is refused.
    """
    # Its compiler is there only beside CUDA.
    from dllm2rec.kernels.rank_counts import count_above, row_scores

    users, items, bias = _in_order(problem)
    one_a_row = torch.arange(len(users) + 1, device=users.device)
    target_scores = row_scores(users, items, bias, one_a_row, targets)
    target_scores = problem.moved_targets(target_scores, targets)
    counts = count_above(users, items, bias, target_scores).long()
    for part in problem.moved:
        offsets, target = part.listed.offsets, target_scores[part.listed.rows]
        before = row_scores(users, items, bias, offsets, part.listed.items)
        after = problem.shifted(before, part.shift)
        counts[0] += _of_rows((after > target).int() - (before > target).int(), offsets)
        counts[1] += _of_rows((after == target).int() - (before == target).int(), offsets)
    return counts, target_scores, torch.zeros((), dtype=torch.bool, device=users.device)


def _in_order(problem: Problem) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    bias = None if problem.bias is None else problem.bias.contiguous()
    return problem.users.contiguous(), problem.items.contiguous(), bias


def _of_rows(numbers: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """The sums of whole numbers that stand in rows, int64 (B,)."""
    sums = _offsets(numbers)
    return sums[offsets[1:]] - sums[offsets[:-1]]


def is_short(problem: Problem, n: int) -> bool:
    """Whether lists of n items are much shorter than the catalogue."""
    return 4 * _bound(problem, n)[2] <= len(problem.items)


@dataclass(frozen=True)
class _Lists:
    """The lists of all rows, as far as they are made.

    Attributes:
        cuts: no item of a lower score was looked at, (B,).
        counts: items that may be above, whether they found room or not, int32 (B,).
        keys: of the best, int64 (B, n), best first.
        is_sure: whether no better item can be left out, bool (B,).
    """

    cuts: torch.Tensor
    counts: torch.Tensor
    keys: torch.Tensor
    is_sure: torch.Tensor


def best(problem: Problem, n: int) -> torch.Tensor:
    """The best keys of each row, int64 (B, n) on the device, best first."""
    n_rows, device = len(problem.users), problem.users.device
    every_row = torch.arange(n_rows, device=device)
    lists = _Lists(
        torch.empty(n_rows, device=device),
        torch.empty(n_rows, dtype=torch.int32, device=device),
        torch.empty((n_rows, n), dtype=torch.int64, device=device),
        torch.empty(n_rows, dtype=torch.bool, device=device),
    )
    sampled, rank, room = _bound(problem, n)
    for rows in torch.split(every_row, max(1, MOST_FOUND // room)):
        lists.cuts[rows] = _cuts(problem, rows, sampled, rank)
    _make(lists, problem, every_row, room)
    # A hundredth of all rows, for which room is made.
    _make(lists, problem, every_row[lists.counts > room], int(lists.counts.max()))
    left = every_row[~lists.is_sure]
    lists.cuts[left] = -torch.inf
    _make(lists, problem, left, len(problem.items))
    return lists.keys


def _make(lists: _Lists, problem: Problem, every_row: torch.Tensor, room: int) -> None:
    """Make the lists of some rows, as many at a time as have room for `room` items each."""
    n = lists.keys.shape[1]
    for rows in torch.split(every_row, max(1, MOST_FOUND // room)) if len(every_row) else ():
        made = _best_above(problem, rows, lists.cuts[rows], n, room)
        lists.counts[rows], lists.keys[rows], lists.is_sure[rows] = made


def _bound(problem: Problem, n: int) -> tuple[int, int, int]:
    """How many items to sample, the place among them whose score is the bound, items to expect.

    Of the catalogue, n items are above the place n * sampled / N, give or take the square root of
    it; the bound is four times that lower, and twice as many items as are expected find room.
    """
    n_items = len(problem.items)
    sampled = min(n_items, max(SAMPLED[0], min(SAMPLED[1], n_items // SAMPLED_PART)))
    # Listed items that are masked or lowered may be above the bound for nothing.
    lowered = [part for part in problem.moved if isinstance(part.shift, float) and part.shift < 0]
    n += sum(2 * len(part.listed.keys) // max(1, part.listed.n_rows) for part in lowered)
    expected = n * sampled / n_items
    rank = min(sampled, ceil(expected + 4 * sqrt(expected) + 4))
    return sampled, rank, 1 << (2 * rank * n_items // sampled - 1).bit_length()


def _cuts(problem: Problem, rows: torch.Tensor, sampled: int, rank: int) -> torch.Tensor:
    """The score of one place among a sample of the items, for some rows."""
    columns = torch.arange(sampled, device=rows.device) * len(problem.items) // sampled
    scores = problem.users[rows] @ problem.items[columns].float().T
    if problem.bias is not None:
        scores += problem.bias[columns]
    return scores.topk(rank).values[:, -1].contiguous()


def _best_above(
    problem: Problem, rows: torch.Tensor, cuts: torch.Tensor, n: int, capacity: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best items of some rows among those whose score is not under a bound.

    Returns:
        Counts, keys and `is_sure` of these rows, as in `_Lists`.
    """
    from dllm2rec.kernels.list_candidates import list_candidates
    from dllm2rec.kernels.rank_counts import row_scores

    users, items, bias = _in_order(problem)
    users = users[rows]
    counts, found = list_candidates(users, items, bias, cuts, capacity)
    inside = torch.arange(capacity, device=rows.device) < counts[:, None]
    row, place = inside.nonzero(as_tuple=True)
    item = found[row, place].long()
    scores = row_scores(users, items, bias, _offsets(counts.clamp(max=capacity)), item)
    for part in problem.moved:
        is_moved = part.listed.find(rows[row] * len(items) + item)[1]
        scores = scores.masked_fill(is_moved, -torch.inf)
    keys = torch.full((len(rows), capacity), MASKED_KEY, dtype=torch.int64, device=rows.device)
    keys[row, place] = key_of(scores, item)
    number = torch.full((len(problem.users),), -1, dtype=torch.int64, device=rows.device)
    number[rows] = torch.arange(len(rows), device=rows.device)
    for part in problem.moved:
        own = part.only(number[part.listed.rows] >= 0)
        row, item = number[own.listed.rows], own.listed.items
        offsets = torch.searchsorted(row, torch.arange(len(rows) + 1, device=rows.device))
        scores = problem.shifted(row_scores(users, items, bias, offsets, item), own.shift)
        kept = scores >= cuts[row]
        keys = torch.cat([keys, in_rows(row[kept], key_of(scores, item)[kept], len(rows))], 1)
    best = keys.topk(n).values
    return counts, best, (counts <= capacity) & (scores_of(best[:, -1]) >= cuts)


def _offsets(counts: torch.Tensor) -> torch.Tensor:
    """Where each row begins, int64 (B + 1,), of how many numbers each has."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
