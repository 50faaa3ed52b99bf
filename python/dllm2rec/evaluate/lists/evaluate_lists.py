"""What ranked lists of any system score, beside the baselines of a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more, words
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.dialects.measured import Measured, MeasuredScorer
from dllm2rec.evaluate.lists.candidates import allowed_items
from dllm2rec.evaluate.lists.cases import Cases, cases_of_split, cases_of_targets
from dllm2rec.evaluate.lists.places import PlacedTargets, place_targets
from dllm2rec.evaluate.lists.read import read_list_table
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
    measured = measure_lists(
        lists,
        dataset,
        targets=targets,
        split=split,
        exclude_seen=exclude_seen,
        candidates=candidates,
        teacher=teacher,
    )
    return measured.table(ks)


def measure_lists(
    lists: object,
    dataset: SequenceDataset | None = None,
    *,
    targets: object = None,
    split: str = "test",
    exclude_seen: bool = False,
    candidates: Iterable[str] | None = None,
    teacher: TeacherKnowledge | None = None,
) -> Measured:
    """Find the targets as `evaluate_lists`; the metrics are taken of what comes back."""
    placed = _placed_lists(
        lists, dataset, targets, split, exclude_seen=exclude_seen, candidates=candidates
    )
    notes, beside = placed.notes, []
    if dataset is not None and placed.is_of_rows:
        from dllm2rec.evaluate.dialects.beside import scorers_beside  # it needs torch

        beside = scorers_beside(dataset, teacher, split, exclude_seen=exclude_seen)
    elif dataset is not None:
        notes = (*notes, "no baselines: they have one target a row and all items as candidates")
    found = placed.targets
    own = MeasuredScorer(placed.name, found.counts, found.lengths, has_ties=found.has_scores)
    return Measured(
        title=placed.name if dataset is None else f"{dataset.name}, {split}",
        scorers=(*beside, own),
        n_rows=placed.cases.n,
        n_items=placed.cases.n_items or len(placed.cases.items),
        exclude_seen=exclude_seen,
        unit="rows" if placed.cases.key == "row" else "users",
        ranking=placed.ranking,
        notes=notes,
    )


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
    lists: object,
    dataset: SequenceDataset | None,
    targets: object,
    split: str,
    *,
    exclude_seen: bool = False,
    candidates: Iterable[str] | None = None,
) -> _PlacedLists:
    """Read lists and find the targets in them."""
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
        name=Path(os.fspath(lists)).stem if isinstance(lists, (str, os.PathLike)) else "lists",
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
