"""Where the targets of each case stand in its list."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.lists.cases import Cases, numbers_of
from dllm2rec.evaluate.lists.tables import ListTable
from dllm2rec.evaluate.many_targets import RelevantCounts
from dllm2rec.evaluate.seen_items import blocks_of_histories, seen_pairs

Int32Vector = npt.NDArray[np.int32]
Int64Vector = npt.NDArray[np.int64]
BEYOND = 1 << 40  # the place of what is not listed: beyond every K


@dataclass(frozen=True, eq=False)
class PlacedTargets:
    """The targets of all cases in their lists.

    Attributes:
        counts: items above each target in its list, and items of the same score.
        lengths: of each case's list, 0 where it has none, int64 (n,).
        has_scores: whether scores order the lists, so that there may be ties.
        notes: what should be known of the lists.
    """

    counts: RelevantCounts
    lengths: Int64Vector
    has_scores: bool
    notes: list[str] = field(default_factory=list)


def place_targets(
    lists: ListTable,
    cases: Cases,
    dataset: SequenceDataset | None,
    *,
    exclude_seen: bool,
    candidates: npt.NDArray[np.bool_] | None,
) -> PlacedTargets:
    """Find the targets in the lists.

    A rank orders a list, else the scores, else the file: equal ranks stand as in the file, equal
    scores are a tie. An item that is not in the catalogue, or is there twice, takes its place; a
    target counts where it is first. What is no candidate leaves its list, and the rest moves up.

    Raises:
        InputError: no list is of a known row or user, or no item is known.
    """
    notes: list[str] = []
    case, item, order = _known_lines(lists, cases, notes)
    keep = np.ones(len(case), np.bool_)
    if candidates is not None:
        keep &= (item >= 0) & np.append(candidates, False)[item]
    if exclude_seen and dataset is not None and cases.rows is not None:
        keep &= ~_is_seen(case, item, cases, dataset, cases.rows)
    if not keep.all():
        case, item, order = case[keep], item[keep], order[keep] if order is not None else None
    by_score = lists.rank is None and lists.score is not None
    case, item, order = _sorted(case, item, order)
    lengths = np.bincount(case, minlength=cases.n).astype(np.int64)
    target, line = _hits(case, item, cases)
    above, equal = _above(case, order if by_score else None, lengths, line)
    greater = np.full(len(cases.case), BEYOND, np.int64)
    others = np.zeros_like(greater)
    greater[target], others[target] = above, equal
    counts = RelevantCounts(cases.case, greater, others)
    return PlacedTargets(counts, lengths, by_score, notes)


def _known_lines(
    lists: ListTable, cases: Cases, notes: list[str]
) -> tuple[Int32Vector, Int32Vector, npt.NDArray[np.float64] | None]:
    """Case, item and what orders the lines of known owners; the least comes first."""
    n_owners = len(cases.case_of)
    owner = numbers_of(lists.owners, cases.owners, n_owners, lists)
    item = numbers_of(lists.items, cases.items, len(cases.items), lists)
    case = np.append(cases.case_of, -1).astype(np.int32)[owner]
    is_known = case >= 0
    if lists.items.null_count:
        is_known &= lists.items.is_valid().to_numpy()
    _check_known(lists, cases, case, item, notes)
    order = None
    if lists.rank is not None:
        order = lists.rank
    elif lists.score is not None:
        order = -lists.score
    if not is_known.all():
        case, item = case[is_known], item[is_known]
        order = None if order is None else order[is_known]
    return case, item, order


def _check_known(
    lists: ListTable, cases: Cases, case: Int32Vector, item: Int32Vector, notes: list[str]
) -> None:
    whose = "rows" if cases.key == "row" else "users"
    if not (case >= 0).any():
        first = lists.owners[0].as_py()
        message = f"no list is for one of the {cases.n:,} {whose}, the first is for {first!a}"
        raise InputError(message, code="E-FOREIGN", path=lists.source)
    is_unknown = (item < 0) & (case >= 0)
    if lists.items.null_count:
        is_unknown &= lists.items.is_valid().to_numpy()
    if cases.n_items and is_unknown.any():
        if (item[case >= 0] < 0).all():
            first = lists.items[int(is_unknown.argmax())].as_py()
            message = f"no item is of the catalogue, the first is {first!a}, expected its item ids"
            raise InputError(message, code="E-FOREIGN", path=lists.source)
        what = "listed items are not in the catalogue; each takes its place as a wrong one"
        notes.append(f"{int(is_unknown.sum()):,} {what}")
    n_other = int((case < 0).sum())
    if n_other:
        what = f"listed items of who is not among the {cases.n:,} {whose} are passed over"
        notes.append(f"{n_other:,} {what}")


def _is_seen(
    case: Int32Vector, item: Int32Vector, cases: Cases, dataset: SequenceDataset, rows: Rows
) -> npt.NDArray[np.bool_]:
    """Whether each line lists an item of its case's history that is no target of it."""
    result = np.zeros(len(case), np.bool_)
    n_items = dataset.n_items
    for block in blocks_of_histories(rows):
        row, seen = seen_pairs(dataset, rows.take(block))
        own = (cases.case >= block.start) & (cases.case < block.stop)
        targets = (cases.case[own] - block.start) * n_items + cases.target[own]
        keys = np.setdiff1d(row * n_items + seen, targets[cases.target[own] < n_items])
        lines = np.flatnonzero((case >= block.start) & (case < block.stop) & (item >= 0))
        lines = lines[item[lines] < n_items]
        listed = (case[lines].astype(np.int64) - block.start) * n_items + item[lines]
        result[lines] = np.isin(listed, keys)
    return result


def _sorted(
    case: Int32Vector, item: Int32Vector, order: npt.NDArray[np.float64] | None
) -> tuple[Int32Vector, Int32Vector, npt.NDArray[np.float64] | None]:
    """Bring the lines into the order of cases and places; most files have it."""
    same = case[1:] == case[:-1]
    is_sorted = (case[1:] >= case[:-1]).all()
    if order is not None and is_sorted:
        is_sorted = (~same | (order[1:] >= order[:-1])).all()
    if is_sorted:
        return case, item, order
    places = np.argsort(case, kind="stable") if order is None else np.lexsort((order, case))
    return case[places], item[places], None if order is None else order[places]


def _hits(
    case: Int32Vector, item: Int32Vector, cases: Cases
) -> tuple[npt.NDArray[np.integer], Int64Vector]:
    """Targets that are listed, and their lines; of one that is listed twice the first comes last.

    So it is the one that stays where both are written to one place.
    """
    if cases.has_one_target_each:
        lines = np.flatnonzero(item == cases.target[case])[::-1]
        return case[lines], lines
    width = len(cases.items)
    keys = cases.case * width + cases.target
    wanted = case.astype(np.int64) * width + item
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    lines = np.flatnonzero((keys[place] == wanted) & (item >= 0))[::-1]
    return place[lines], lines


def _above(
    case: Int32Vector,
    scores: npt.NDArray[np.float64] | None,
    lengths: Int64Vector,
    lines: Int64Vector,
) -> tuple[Int64Vector, Int64Vector]:
    """Items above some lines in their lists, and others of their scores (0 without scores)."""
    start = (np.cumsum(lengths) - lengths)[case[lines]]
    if scores is None:
        return lines - start, np.zeros_like(lines)
    begins = np.ones(len(case), np.bool_)
    begins[1:] = (case[1:] != case[:-1]) | (scores[1:] != scores[:-1])
    edges = np.append(np.flatnonzero(begins), len(case))
    group = np.searchsorted(edges, lines, side="right") - 1
    return edges[group] - start, edges[group + 1] - edges[group] - 1
