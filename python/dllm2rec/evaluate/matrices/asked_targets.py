"""Which items of which rows are to be ranked: a split's own targets, or those of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.evaluate.dialects.beside import scorers_beside
from dllm2rec.evaluate.dialects.measured import NO_BASELINES, Measured, MeasuredScorer
from dllm2rec.evaluate.evaluate_split import rows_to_rank
from dllm2rec.evaluate.lists.candidates import allowed_items
from dllm2rec.evaluate.lists.cases import Cases, cases_of_targets
from dllm2rec.evaluate.lists.places import BEYOND
from dllm2rec.evaluate.lists.read import read_list_table
from dllm2rec.evaluate.many_targets import RelevantCounts
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import ScoredRows, Scorer
from dllm2rec.evaluate.seen_items import Pairs, seen_pairs
from dllm2rec.runtime.distributed import gathered

Int64Vector = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AskedBlock:
    """What is asked of a block of rows.

    Attributes:
        rows: of the split.
        pairs: numbers of the pairs that can be ranked, int64 (P,).
        local: the row of each within the block, ascending, int64 (P,).
        items: the item to rank, int64 (P,).
    """

    rows: Rows
    pairs: Int64Vector
    local: Int64Vector
    items: Int64Vector

    @property
    def is_whole(self) -> bool:
        """Whether each row of the block is asked for one item."""
        return len(self.local) == len(self.rows) and bool(np.all(np.diff(self.local) == 1))

    def seen(self, dataset: SequenceDataset) -> Pairs:
        """The seen items of each row of the block but those that are asked for."""
        row, item = seen_pairs(dataset, self.rows)
        keys = row * dataset.n_items + item
        asked = self.local * dataset.n_items + self.items
        return np.divmod(keys[~np.isin(keys, asked)], dataset.n_items)


@dataclass(frozen=True, eq=False)
class AskedTargets:
    """Pairs of a row and an item to rank in it.

    Attributes:
        dataset: whose rows they are.
        request: what was asked.
        rows: all rows of the split.
        row: of each pair, ascending, int64 (M,).
        item: the item; beyond the catalogue for one that it lacks, int64 (M,).
        case: what the pair's metrics are averaged in, ascending, int64 (M,).
        allowed: which items are candidates, bool (N,); None where all are.
        unit: what a case is: "rows" or "users".
        notes: what should be known.
    """

    dataset: SequenceDataset
    request: MeasureRequest
    rows: Rows
    row: Int64Vector
    item: Int64Vector
    case: Int64Vector
    allowed: npt.NDArray[np.bool_] | None
    unit: str
    notes: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether these are the split's own rows and targets, among all items."""
        return self.request.targets is None and self.request.candidates is None

    def block(self, begin: int, end: int) -> AskedBlock:
        """What is asked of the rows `begin..end-1`; what is no candidate cannot be ranked."""
        first, last = np.searchsorted(self.row, [begin, end])
        item = self.item[first:last]
        can_rank = item < self.dataset.n_items
        if self.allowed is not None:
            can_rank &= np.append(self.allowed, False)[np.minimum(item, len(self.allowed))]
        pairs = first + np.flatnonzero(can_rank)
        rows = self.rows.take(slice(begin, end))
        return AskedBlock(rows, pairs, self.row[pairs] - begin, self.item[pairs])

    def counts(self, blocks: Iterable[tuple[AskedBlock, RankCounts]]) -> RelevantCounts:
        """Put the counts of all processes' blocks together; what was not ranked is missed."""
        table = np.zeros((3, len(self.row)), np.int64)
        for block, counts in blocks:
            table[:2, block.pairs] = counts.greater, counts.equal
            table[2, block.pairs] = 1
        greater, equal, is_ranked = gathered(torch.from_numpy(table), "ranking").numpy()
        return RelevantCounts(self.case, np.where(is_ranked, greater, BEYOND), equal)

    def measured(self, name: str, counts: RelevantCounts) -> Measured:
        """A scorer below the baselines, where these have the same rows and candidates."""
        dataset, request, notes = self.dataset, self.request, self.notes
        beside: list[Scorer] = []
        rows = None
        if self.is_plain:
            beside = scorers_beside(
                dataset,
                request.teacher,
                request.split,
                exclude_seen=request.exclude_seen,
                drawn=request.drawn,
            )
            own = Scorer(name, RankCounts(counts.greater, counts.equal))
            rows = ScoredRows.of(
                dataset, request.split, [*beside, own], exclude_seen=request.exclude_seen
            )
        else:
            notes = (*notes, NO_BASELINES)
        n_candidates = dataset.n_items if self.allowed is None else int(self.allowed.sum())
        some = f"full ranking over {n_candidates:,} candidates of {dataset.n_items:,} items"
        return Measured(
            title=f"{dataset.name}, {request.split}",
            scorers=(
                *(MeasuredScorer.of_rows(one.name, one.counts, one.depth) for one in beside),
                MeasuredScorer(name, counts),
            ),
            n_rows=counts.n_cases,
            n_items=dataset.n_items,
            exclude_seen=request.exclude_seen,
            unit=self.unit,
            ranking="" if self.allowed is None else some,
            notes=notes,
            rows=rows,
        )


def asked_targets(dataset: SequenceDataset, request: MeasureRequest) -> AskedTargets:
    """Find what is to be ranked; of targets by user, in the user's first row.

    Raises:
        ConfigError: an unknown split.
        InputError: a split without rows, unknown candidates, or targets of another dataset.
    """
    rows, _ = rows_to_rank(dataset, request.split, 1)
    allowed = allowed_items(dataset, request.candidates)
    notes: list[str] = []
    unit = "rows"
    if request.targets is None:
        row = case = np.arange(len(rows))
        item = dataset.targets(rows).astype(np.int64)
    else:
        table = read_list_table(request.targets)
        cases, notes = cases_of_targets(table, dataset, request.split)
        row, item, case = _of_cases(rows, cases)
        unit = "rows" if table.key == "row" else "users"
    if allowed is not None:
        n_lost = int((~np.append(allowed, False)[np.minimum(item, dataset.n_items)]).sum())
        if n_lost:
            notes.append(f"{n_lost:,} targets are no candidates and count as missed")
    return AskedTargets(dataset, request, rows, row, item, case, allowed, unit, tuple(notes))


def _of_cases(rows: Rows, cases: Cases) -> tuple[Int64Vector, Int64Vector, Int64Vector]:
    """Row, item and case of each target; cases are numbered in the order of their rows."""
    assert cases.rows is not None  # noqa: S101 - for mypy
    order = np.argsort(rows.end, kind="stable")
    row_of_case = order[np.searchsorted(rows.end[order], cases.rows.end)]
    row = row_of_case[cases.case]
    by_row = np.lexsort((cases.target, row))
    row, item = row[by_row], cases.target[by_row]
    begins = np.ones(len(row), np.bool_)
    begins[1:] = row[1:] != row[:-1]
    return row, item, np.cumsum(begins) - 1
