"""Runs and files of ranks against each other, row by row."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more, words
from dllm2rec.comparisons.comparison import ComparedScorer, Comparison
from dllm2rec.comparisons.merge import UNTRAINED, Contender, check_same_rows, contenders
from dllm2rec.comparisons.paired import Vector, holm, paired_difference
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.metrics import RankCounts, row_values
from dllm2rec.evaluate.rows.per_row_file import read_per_row
from dllm2rec.evaluate.rows.scored_rows import ScoredRows
from dllm2rec.runs.score_rows import score_rows
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import TAUGHT

Source = str | os.PathLike[str] | ScoredRows

UNITS = ("row", "user")  # what is drawn


def compare(
    sources: Source | Iterable[Source],
    *,
    against: str | None = None,
    metrics: str | Iterable[str] = SELECTION,
    dataset: str | Path | None = None,
    split: str = "test",
    exclude_seen: bool = False,
    by: str = "row",
    seed: int = 0,
) -> Comparison:
    """Compare every scorer of some runs and files with one of them, on the same rows.

    Each difference has a paired bootstrap interval, a p value (`paired_difference` says which),
    the p adjusted by Holm's method for all comparisons of the call, Cohen's d of the paired
    differences and the smallest difference that these rows and seeds could show. Trainings of one
    student with the same settings are its seeds, in whichever source they are.

    Args:
        sources: folders of runs, files that `evaluate --per-row` wrote, or what `score_rows`
            returned, which takes a device, too.
        against: the name of the reference; by default the better of popularity and window counts,
            or the first scorer where neither is there.
        metrics: one or more, such as `ndcg@20`; the first chooses the reference.
        dataset: where the dataset of the runs is now; by default where it was.
        split: "test" or "validation", of runs.
        exclude_seen: whether runs leave the items of each row's history out of the candidates.
        by: "row", or "user" to draw all rows of a user together, where users have several.
        seed: of the draws; one seed has one result.

    Raises:
        InputError: sources of different rows, splits, catalogues or masks; both are named. Or a
            file or a dataset is missing, or no source says whose its rows are.
        ConfigError: no source, an unknown reference, metric, split or `by`, or nothing to compare.
        ArtifactError: a run or a file is not what it was.
    """
    wanted = check_metrics(metrics)
    _check_by(by)
    scored = score_sources(sources, dataset=dataset, split=split, exclude_seen=exclude_seen)
    return compare_rows(scored, against=against, metrics=wanted, seed=seed, by=by)


def check_metrics(metrics: str | Iterable[str]) -> tuple[str, ...]:
    """The metrics, refused before any work."""
    wanted = one_or_more(metrics, str)
    if not wanted:
        raise ConfigError("compare: no metric, expected at least one")
    for metric in wanted:
        _cutoff(metric)
    return wanted


def _check_by(by: str) -> None:
    if by not in UNITS:
        raise ConfigError(f"by = {by!r}, expected one of {', '.join(UNITS)}")


def score_sources(
    sources: Source | Iterable[Source],
    *,
    dataset: str | Path | None = None,
    split: str = "test",
    exclude_seen: bool = False,
    device: str = "auto",
) -> list[tuple[str, ScoredRows]]:
    """Rank the rows of runs and read those of files: what messages call each, and what it holds.

    Args:
        sources: as `compare` takes them, like all that follows.
        dataset: of runs.
        split: of runs.
        exclude_seen: of runs.
        device: of runs.

    Raises:
        ConfigError: no source.
        InputError, ArtifactError: as `compare`.
    """
    given = _listed(sources)
    if not given:
        raise ConfigError("compare: no source, expected at least one")
    scored: list[tuple[str, ScoredRows]] = []
    for source in given:
        if isinstance(source, ScoredRows):
            scored.append((f"source {len(scored) + 1}", source))
        elif Path(source).is_dir():
            found = score_rows(
                Path(source),
                dataset=dataset,
                split=split,
                exclude_seen=exclude_seen,
                device=device,
            )
            scored.append((os.fspath(source), found))
        else:
            scored.append((os.fspath(source), read_per_row(source)))
    return scored


def _listed(sources: Source | Iterable[Source]) -> list[Source]:
    if isinstance(sources, (str, os.PathLike, ScoredRows)):
        return [sources]
    return [*sources]


def compare_rows(
    sources: Sequence[tuple[str, ScoredRows]],
    *,
    against: str | None,
    metrics: str | Iterable[str],
    seed: int,
    by: str = "row",
) -> Comparison:
    """Compare what was scored already.

    Args:
        sources: what messages call each, and what it holds, as `score_sources` returns them.
        against: as `compare` takes it, like `metrics` and `seed`.
        metrics: one or more.
        seed: of the draws.
        by: "row", or "user" to draw all rows of a user together.

    Raises:
        ConfigError, InputError: as `compare`.
    """
    _check_by(by)
    metrics = check_metrics(metrics)
    identity = check_same_rows([(name, scored.identity) for name, scored in sources])
    found = contenders(sources)
    for metric in metrics:
        cutoff = _cutoff(metric)
        if cutoff > identity.n_items:
            size = f"a k of at most {identity.n_items:,}, the size of the catalogue"
            raise ConfigError(f"metric {metric!r}, expected {size}")
    reference, reason = _reference(found, against, metrics[0])
    if len(found) < 2:
        raise ConfigError(f"compare: {reference.name} alone, expected a scorer to compare it with")
    users = _users(sources) if by == "user" else None
    rows = [row for metric in metrics for row in _rows_of(found, reference, metric, users, seed)]
    adjusted = iter(holm([row.difference.p for row in rows if row.difference is not None]))
    rows = [row if row.difference is None else replace(row, p_holm=next(adjusted)) for row in rows]
    notes = _notes(found, metrics)
    return Comparison(identity, reference.name, reason, metrics, tuple(rows), notes, by=by)


def _users(sources: Sequence[tuple[str, ScoredRows]]) -> npt.NDArray[np.int64]:
    """Whose each row is, by the first source that says so: all have the same rows.

    Raises:
        InputError: none does.
    """
    known = next((scored.users for _, scored in sources if scored.users is not None), None)
    if known is None:
        raise InputError(
            f"{sources[0][0]}: does not say whose its rows are, expected rows with users to draw "
            "by; prepare the dataset from a log with user ids, write a file of format 1 again with "
            "evaluate --per-row, or compare by row"
        )
    return known


def _cutoff(metric: str) -> int:
    """The k of a metric.

    Raises:
        ConfigError: no such metric.
    """
    row_values(RankCounts(*np.zeros((2, 1), np.int64)), metric)
    return int(metric.partition("@")[2])


def _values(scorer: Contender, metric: str) -> list[Vector]:
    """The values of each seed on each row; none where its lists are shorter than the metric's k."""
    if scorer.depth is not None and scorer.depth < _cutoff(metric):
        return []
    return [row_values(one.counts, metric) for one in scorer.trainings]


def _reference(
    found: Sequence[Contender], against: str | None, metric: str
) -> tuple[Contender, str]:
    """What the others are compared with, and why."""
    if against is not None:
        for one in found:
            if one.name == against:
                return one, "as asked"
        names = ", ".join(one.name for one in found)
        option = words(python="against", option="--against")
        raise ConfigError(f"{option} = {against!r}, expected one of {names}")
    untrained = [one for one in found if one.trainings[0].name in UNTRAINED]
    if untrained:
        best = max(untrained, key=lambda one: float(_values(one, metric)[0].mean()))
        return best, f"the best by {metric} of what needs no training"
    alone = [one for one in found if not _is_taught(one) and one.seeds]
    if alone:
        return alone[0], "the first student alone"
    return found[0], "the first scorer"


def _is_taught(scorer: Contender) -> bool:
    return scorer.trainings[0].name.endswith(TAUGHT.replace(" ", ""))


def _rows_of(
    found: Sequence[Contender],
    reference: Contender,
    metric: str,
    users: npt.NDArray[np.int64] | None,
    seed: int,
) -> Iterator[ComparedScorer]:
    beside = _values(reference, metric)
    if not beside:
        option = words(python="against=", option="--against")
        raise ConfigError(
            f"metric {metric!r}: {reference.name} lists {reference.depth} items, expected at least "
            f"as many as its k; give {option} another"
        )
    for one in found:
        values = _values(one, metric)
        if not values:
            continue
        means = [float(part.mean()) for part in values]
        deviation = statistics.stdev(means) if len(means) > 1 else None
        difference = None
        if one is not reference:
            difference = paired_difference(values, beside, users=users, seed=seed)
        value = statistics.fmean(means)
        yield ComparedScorer(metric, one.name, one.seeds, value, deviation, difference, None)


def _notes(found: Sequence[Contender], metrics: Sequence[str]) -> tuple[str, ...]:
    notes = []
    once = [one.name for one in found if len(one.seeds) == 1]
    if once:
        how = words(python="RunOptions(n_seeds=5)", option="train --seeds 5")
        notes.append(
            f"one training each of {', '.join(once)}: intervals and p are for these trainings on "
            f"other rows, not for trainings with other seeds; {how} measures that too"
        )
    for metric in metrics:
        short = [one.name for one in found if not _values(one, metric)]
        if short:
            notes.append(f"{metric}: no value of {', '.join(short)}, whose lists are shorter")
    return tuple(notes)
