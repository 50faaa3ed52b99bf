"""Rows cut by what they are: popular targets, long histories, active users, repeats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.rows.item_groups import popularity_groups
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from dllm2rec.evaluate.seen_items import blocks_of_histories

N_QUANTILES = 4
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Slicing:
    """One way to cut rows into groups; every row is in exactly one.

    Attributes:
        name: such as "target popularity".
        how: the rule, in a sentence.
        labels: of the groups.
        group: of each row, a place in `labels`, (R,).
    """

    name: str
    how: str
    labels: tuple[str, ...]
    group: Groups


@dataclass(frozen=True)
class SliceTable:
    """The metrics of every scorer in every group of a slicing.

    Attributes:
        name: of the slicing.
        how: its rule, in a sentence.
        labels: of the groups that have rows.
        n_rows: of each group; together all rows.
        metrics: of each scorer, by its label in tables: a mapping for each group.
    """

    name: str
    how: str
    labels: tuple[str, ...]
    n_rows: tuple[int, ...]
    metrics: dict[str, tuple[dict[str, float], ...]]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        groups = [
            {
                "label": label,
                "n_rows": n_rows,
                "metrics": {name: found[place] for name, found in self.metrics.items()},
            }
            for place, (label, n_rows) in enumerate(zip(self.labels, self.n_rows, strict=True))
        ]
        return {"name": self.name, "how": self.how, "groups": groups}


def slice_rows(
    scored: ScoredRows, dataset: SequenceDataset, ks: int | Iterable[int] = (10, 20)
) -> list[SliceTable]:
    """Average every scorer's metrics within kinds of rows.

    The slicings: popularity of the target (cold, tail, middle, head), whether the target repeats
    the row's history, length of the history, how many train rows the user has (where there are
    users), and whether the teacher's list holds the target (where there is such a list).

    Args:
        scored: what `score_rows` returned.
        dataset: the one it was made from.
        ks: cut-off or cut-offs of the metrics.

    Returns:
        A table for each slicing. The groups of each have all rows, each row once; a group without
        rows is left out.

    Raises:
        InputError: the rows are not this dataset's.
    """
    one = scored.identity
    if RowsIdentity.of(dataset, one.split, exclude_seen=one.exclude_seen) != one:
        raise InputError(
            f"rows of {one.dataset}, expected those of {dataset.name}, the dataset given"
        )
    teacher = next((scorer for scorer in scored.scorers if scorer.name == "teacher"), None)
    rows = dataset.splits()[one.split]
    ks = one_or_more(ks, int)
    scorers = dict(zip(scored.labels(), scored.scorers, strict=True))
    return [slice_table(scorers, slicing, ks) for slicing in slicings(dataset, rows, teacher)]


def slice_table(scorers: Mapping[str, Scorer], slicing: Slicing, ks: Sequence[int]) -> SliceTable:
    """Average the metrics of every scorer, by its label, within the groups of one slicing."""
    sizes = np.bincount(slicing.group, minlength=len(slicing.labels))
    there = [place for place, size in enumerate(sizes) if size]
    inside = [slicing.group == place for place in there]
    return SliceTable(
        slicing.name,
        slicing.how,
        tuple(slicing.labels[place] for place in there),
        tuple(int(sizes[place]) for place in there),
        {
            label: tuple(_part(scorer, mask).metrics(ks) for mask in inside)
            for label, scorer in scorers.items()
        },
    )


def _part(scorer: Scorer, mask: npt.NDArray[np.bool_]) -> Scorer:
    counts = RankCounts(scorer.counts.greater[mask], scorer.counts.equal[mask])
    return Scorer(scorer.name, counts, depth=scorer.depth)


def slicings(dataset: SequenceDataset, rows: Rows, teacher: Scorer | None) -> list[Slicing]:
    """Every slicing that the data allow.

    Args:
        dataset: whose train rows say what is popular and who is active.
        rows: R rows of it.
        teacher: what the teacher makes of these rows; None without lists for them.
    """
    found = [
        _by_popularity(dataset, rows),
        _by_repeat(dataset, rows),
        _by_quantile(
            "history length",
            "events before the target" if dataset.has_users else "events of the row's window",
            rows.end - rows.start,
            "event",
        ),
    ]
    if dataset.has_users:
        how = "train rows of the row's user"
        found.append(_by_quantile("user activity", how, _activity(dataset, rows), "train row"))
    if teacher is not None:
        right = (teacher.counts.greater < (teacher.depth or 0)).astype(np.int64)
        how = f"whether the {teacher.depth} items of the teacher's list hold the target"
        found.append(Slicing("teacher", how, ("wrong", "right"), right))
    return found


def _by_popularity(dataset: SequenceDataset, rows: Rows) -> Slicing:
    labels, group = popularity_groups(dataset.target_counts())
    how = "by how often the target is one of a train row; tail, middle and head have a third each"
    return Slicing("target popularity", how, tuple(labels), group[dataset.targets(rows)])


def _by_repeat(dataset: SequenceDataset, rows: Rows) -> Slicing:
    """Whether an item of the row's history is its target."""
    repeats = np.zeros(len(rows), np.int64)
    for block in blocks_of_histories(rows):
        part = rows.take(block)
        lengths = part.end - part.start
        row = np.repeat(np.arange(len(part)), lengths)
        place = np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = dataset.events[np.repeat(part.start, lengths) + place]
        repeats[block][row[events == dataset.targets(part)[row]]] = 1
    labels = ("new: not in the history", "repeat: in the history")
    return Slicing("repeats", "whether the history holds the target", labels, repeats)


def _activity(dataset: SequenceDataset, rows: Rows) -> npt.NDArray[np.int64]:
    """How many train rows the user of each row has: rows of a user begin at the same event."""
    users, counts = np.unique(dataset.train.start, return_counts=True)
    if not len(users):
        return np.zeros(len(rows), np.int64)
    place = np.minimum(np.searchsorted(users, rows.start), len(users) - 1)
    return np.where(users[place] == rows.start, counts[place], 0).astype(np.int64)


def _by_quantile(name: str, what: str, values: npt.NDArray[np.int64], unit: str) -> Slicing:
    """Up to four groups of like size; rows with equal values are of one group."""
    edges = np.unique(np.quantile(values, np.arange(1, N_QUANTILES) / N_QUANTILES, method="lower"))
    which = np.searchsorted(edges, values, side="left")
    places, group = np.unique(which, return_inverse=True)
    labels = []
    for place in range(len(places)):
        inside = values[group == place]
        span = " to ".join(f"{n:,}" for n in dict.fromkeys([inside.min(), inside.max()]))
        labels.append(f"{span} {unit}{'' if span == '1' else 's'}")
    how = f"{what}: up to {N_QUANTILES} groups of like size"
    return Slicing(name, how, tuple(labels), group.astype(np.int64))
