"""What ranked lists of any system score, beside the baselines of a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more, words
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.dialects.measured import NO_BASELINES, Measured, MeasuredScorer
from dllm2rec.evaluate.lists.candidates import allowed_items
from dllm2rec.evaluate.lists.cases import Cases, cases_of_split, cases_of_targets
from dllm2rec.evaluate.lists.places import PlacedTargets, place_targets
from dllm2rec.evaluate.lists.read import read_list_table
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.scored_rows import ScoredRows, Scorer
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricTable

_KS = (1, 5, 10, 20)


def evaluate_lists(
    lists: object,
    dataset: SequenceDataset | None = None,
    *,
    targets: object = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    candidates: Iterable[str] | None = None,
    teacher: TeacherKnowledge | None = None,
) -> MetricTable:
    """Measure the ranked lists of any system; who has no list counts as missed.

    Lists are keyed by row of the split or by user, items by their ids in the log. A user's relevant
    items are the distinct targets of all their rows in the split, or those of `targets`. Where each
    row has one target, popularity, window counts and the teacher stand beside the lists.

    Args:
        lists: a file (TREC run, CSV, TSV, Parquet, JSON lines, ranx's JSON), a frame with the same
            columns, or a dict: user -> items, best first, or user -> {item: score}.
        dataset: whose rows and items they are; without it `targets` says what is relevant.
        targets: relevant items, in the same forms or as TREC qrels; above 0 is relevant.
        split: "test" or "validation".
        ks: cut-off or cut-offs of the metrics, by default 1, 5, 10 and 20. A list that is shorter
            has only misses behind its end.
        exclude_seen: take the items of each history out of the lists; what follows moves up.
        candidates: ids of the items that alone may be listed; others leave the lists.
        teacher: whose lists are to stand beside.

    Raises:
        InputError: the lists cannot be read, or are not of this dataset.
        ConfigError: an unknown split, a cut-off beyond the catalogue, or nothing to measure by.
        ArtifactError: a Parquet file is corrupt.
        TypeError: `lists` or `targets` is no file, frame or dict.
    """
    ks = checked_ks(dataset, split, ks)
    request = MeasureRequest(targets, split, exclude_seen, candidates, teacher)
    return measure_lists(lists, dataset, request).table(ks)


def measure_lists(
    lists: object, dataset: SequenceDataset | None, request: MeasureRequest, depth: int = 1
) -> Measured:
    """Find the targets as `evaluate_lists`; the metrics are taken of what comes back.

    Args:
        lists: as there.
        dataset: whose rows and items they are, or None.
        request: by what they are measured.
        depth: the largest cut-off; by row a shorter list has only misses up to it.
    """
    placed = _placed_lists(lists, dataset, request)
    notes = placed.notes
    beside: list[Scorer] = []
    rows = None
    if dataset is not None and placed.is_of_rows:
        from dllm2rec.evaluate.dialects.beside import scorers_beside  # it needs torch

        split, exclude_seen = request.split, request.exclude_seen
        beside = scorers_beside(dataset, request.teacher, split, exclude_seen=exclude_seen)
        scorers = [*beside, _by_row(placed, dataset.splits()[split], depth)]
        rows = ScoredRows.of(dataset, split, scorers, exclude_seen=exclude_seen)
    elif dataset is not None:
        notes = (*notes, NO_BASELINES)
    found = placed.targets
    own = MeasuredScorer(placed.name, found.counts, found.lengths, has_ties=found.has_scores)
    return Measured(
        title=placed.name if dataset is None else f"{dataset.name}, {request.split}",
        scorers=(
            *(MeasuredScorer.of_rows(one.name, one.counts, one.depth) for one in beside),
            own,
        ),
        n_rows=placed.cases.n,
        n_items=placed.cases.n_items or len(placed.cases.items),
        exclude_seen=request.exclude_seen,
        unit="rows" if placed.cases.key == "row" else "users",
        ranking=placed.ranking,
        notes=notes,
        rows=rows,
    )


def _by_row(placed: _PlacedLists, rows: Rows, depth: int) -> Scorer:
    """The lists in the order of the rows: a user's stand where the user's one row does."""
    counts, cases = placed.targets.counts, placed.cases
    depth = max(depth, int(placed.targets.lengths.max(initial=0)))
    row = np.arange(len(rows))
    if cases.key == "user" and cases.rows is not None:
        order = np.argsort(rows.end, kind="stable")
        row = order[np.searchsorted(rows.end[order], cases.rows.end)]
    greater, equal = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    greater[row], equal[row] = np.minimum(counts.greater, depth), counts.equal
    return Scorer(placed.name, RankCounts(greater, equal), depth=depth)


@dataclass(frozen=True, eq=False)
class _PlacedLists:
    """Lists whose targets are found.

    Attributes:
        name: of the system, as its file is called.
        cases: the rows or users.
        targets: where their targets stand.
        is_of_rows: whether each case is a row of the split with its one target.
        ranking: what the lists are out of, for the table's head.
        notes: what should be known.
    """

    name: str
    cases: Cases
    targets: PlacedTargets
    is_of_rows: bool
    ranking: str
    notes: tuple[str, ...]


def _placed_lists(
    lists: object, dataset: SequenceDataset | None, request: MeasureRequest
) -> _PlacedLists:
    """Read lists and find the targets in them."""
    targets, split = request.targets, request.split
    exclude_seen, candidates = request.exclude_seen, request.candidates
    if dataset is None and targets is None:
        given = words(python="dataset= or targets=", option="--dataset or --targets")
        raise ConfigError(f"lists without what is relevant, expected {given}")
    if dataset is None and (exclude_seen or candidates is not None):
        given = words(python="dataset=", option="--dataset")
        raise ConfigError(f"seen items or candidates without a dataset, expected {given}")
    if dataset is not None:
        checked_ks(dataset, split, 1)
    table = read_list_table(lists)
    notes: list[str] = []
    if targets is not None:
        wanted = read_list_table(targets)
        if dataset is not None and wanted.key != table.key:
            message = f"targets by {wanted.key}, expected them by {table.key} as the lists"
            raise InputError(message, code="E-COLUMN", path=wanted.source)
        cases, notes = cases_of_targets(wanted, dataset, split)
    else:
        assert dataset is not None  # noqa: S101 - for mypy
        cases = cases_of_split(dataset, split, table.key, table.source)
    allowed, ranking = _allowed(cases, dataset, candidates, notes)
    found = place_targets(table, cases, dataset, exclude_seen=exclude_seen, candidates=allowed)
    n_rows = 0 if dataset is None else len(dataset.splits()[split])
    return _PlacedLists(
        name=_name_of(lists) if isinstance(lists, (str, os.PathLike)) else "lists",
        cases=cases,
        targets=found,
        is_of_rows=targets is None and candidates is None and cases.n == n_rows,
        ranking=ranking,
        notes=(*notes, *found.notes),
    )


def checked_ks(
    dataset: SequenceDataset | None, split: str, ks: int | Iterable[int] | None
) -> tuple[int, ...]:
    """The cut-offs, by default 1, 5, 10 and 20.

    Raises:
        ConfigError: an unknown split, or a cut-off below 1 or beyond the catalogue.
        InputError: the split has no rows.
    """
    if dataset is not None:
        from dllm2rec.evaluate.evaluate_split import rows_to_rank  # it needs torch

        return rows_to_rank(dataset, split, ks)[1]
    found = _KS if ks is None else one_or_more(ks, int)
    if not found or min(found) < 1:
        raise ConfigError(f"k = {list(found)}, expected at least 1")
    return found


def _allowed(
    cases: Cases,
    dataset: SequenceDataset | None,
    candidates: Iterable[str] | None,
    notes: list[str],
) -> tuple[npt.NDArray[np.bool_] | None, str]:
    """Which items may be listed, and what the lists are out of."""
    if dataset is None:
        return None, "lists"
    if candidates is None:
        return None, f"lists out of {cases.n_items:,} items"
    among = allowed_items(dataset, candidates)
    assert among is not None  # noqa: S101 - for mypy
    allowed = np.append(among, np.zeros(len(cases.items) - len(among), np.bool_))
    n_lost = int((~allowed[cases.target]).sum())
    if n_lost:
        notes.append(f"{n_lost:,} targets are no candidates and count as missed")
    return allowed, f"lists out of {int(allowed.sum()):,} candidates of {cases.n_items:,} items"


def _name_of(path: str | os.PathLike[str]) -> str:
    """What tables call a file's lists: its name without endings, .gz and .zst included."""
    return Path(plain_name(Path(os.fspath(path)))).stem
