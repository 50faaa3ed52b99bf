"""Jobs of clients as item indices, and lists for many of them by few calls of the student."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import Dllm2RecError
from dllm2rec.serve.known_items import HistoryCounts, KnownItems
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.serve.why import Reason, reasons

_SMALLEST_GROUP = 32  # lists of up to so many places are made together


@dataclass(frozen=True, eq=False)
class ListJob:
    """A list that is asked for.

    Attributes:
        scorer: what answers; it stays this one though another may be loaded meanwhile.
        history: items, oldest first; not empty.
        k: places.
        exclude_seen: leave out every item of the history.
        candidates: the items that may be listed, ascending, or None for all.
        left_out: items that are never listed.
        why: give reasons.
    """

    scorer: ItemScorer
    history: tuple[int, ...]
    k: int
    exclude_seen: bool = True
    candidates: npt.NDArray[np.uint32] | None = None
    left_out: frozenset[int] = field(default_factory=frozenset)
    why: bool = False


@dataclass(frozen=True, eq=False)
class SimilarJob:
    """The nearest items of one."""

    scorer: ItemScorer
    item: int
    k: int


Job = ListJob | SimilarJob


@dataclass(frozen=True)
class ListAnswer:
    """Items and scores, best first; reasons where they were asked for."""

    items: list[int]
    scores: list[float]
    why: list[Reason] | None = None


def answer_jobs(jobs: Sequence[Job]) -> list[ListAnswer | Exception]:
    """Answer jobs together, in their order; an error of the package takes the place of an answer.

    Lists of about the same length are made by one call. A longer list begins with the shorter one,
    as does one from which some items are left out.
    """
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        groups[_group(place, job)].append(place)
    answers: list[ListAnswer | Exception] = [ListAnswer([], [])] * len(jobs)
    for places in groups.values():
        try:
            found: Sequence[ListAnswer | Exception] = _answered([jobs[place] for place in places])
        except Dllm2RecError as err:
            found = [err] * len(places)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


def _group(place: int, job: Job) -> Hashable:
    """What is the same for jobs that one call answers."""
    if isinstance(job, SimilarJob):
        return id(job.scorer), "similar", _rounded(job.k, job.scorer.n_items)
    if job.candidates is not None:
        return place
    return id(job.scorer), job.exclude_seen, _asked(job)


def _asked(job: ListJob) -> int:
    return _rounded(job.k + len(job.left_out), job.scorer.n_items)


def _rounded(k: int, n_items: int) -> int:
    """A power of two that is no less, in 1..N."""
    return min(max(_SMALLEST_GROUP, 1 << (k - 1).bit_length()), n_items)


def _answered(jobs: Sequence[Job]) -> list[ListAnswer]:
    first = jobs[0]
    scorer = first.scorer
    if isinstance(first, SimilarJob):
        alike = np.array([job.item for job in jobs if isinstance(job, SimilarJob)], np.uint32)
        items, scores = scorer.similar(alike, _rounded(first.k, scorer.n_items))
        cuts = [job.k for job in jobs if isinstance(job, SimilarJob)]
        return [
            _cut(scorer, row, values, k, frozenset())
            for row, values, k in zip(items, scores, cuts, strict=True)
        ]
    lists = [job for job in jobs if isinstance(job, ListJob)]
    known = KnownItems.of([job.history for job in lists], HistoryCounts(len(lists)))
    if first.candidates is None:
        items, scores = scorer.top_n(
            known, _asked(first), exclude_seen=first.exclude_seen, bias=scorer.items.bias
        )
    else:
        items, scores = scorer.top_n_among(
            known, first.candidates, first.k + len(first.left_out), exclude_seen=first.exclude_seen
        )
    answers = []
    for job, row, values in zip(lists, items, scores, strict=True):
        answer = _cut(scorer, row, values, job.k, job.left_out)
        if job.why:
            why = reasons(scorer, job.history, answer.items, answer.scores)
            answer = ListAnswer(answer.items, answer.scores, why)
        answers.append(answer)
    return answers


def _cut(
    scorer: ItemScorer,
    items: npt.NDArray[np.uint32],
    scores: npt.NDArray[np.float32],
    k: int,
    left_out: frozenset[int],
) -> ListAnswer:
    """The first places that hold an item and are not to be left out."""
    places = [
        (item, score)
        for item, score in zip(
            items[: k + len(left_out)].tolist(), scores[: k + len(left_out)].tolist(), strict=True
        )
        if item < scorer.n_items and item not in left_out
    ][:k]
    return ListAnswer([item for item, _ in places], [score for _, score in places])
