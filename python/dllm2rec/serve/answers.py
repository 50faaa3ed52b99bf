"""Block after block of histories in, a list for each out; several processes may share the work."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ConfigError
from dllm2rec.runtime.processes import rank, size
from dllm2rec.serve.encoder import Lists
from dllm2rec.serve.histories import HistoryBlock, ids_of_list
from dllm2rec.serve.known_items import HistoryIndexer, HistoryRules, KnownItems, listed_items
from dllm2rec.serve.recommendations import Recommendations
from dllm2rec.serve.scorer import ItemScorer


@dataclass(frozen=True)
class ListRequest:
    """What is asked of lists, the same for every history.

    Attributes:
        k: how many items to list; fewer come back where fewer are left.
        exclude_seen: leave out every item of the history.
        candidates: the ids that may be listed, or None for all.
        filter: ids that are never listed, or None.
        rules: what becomes of unknown items and of histories without items.
    """

    k: int = 10
    exclude_seen: bool = True
    candidates: Iterable[Any] | None = None
    filter: Iterable[Any] | None = None
    rules: HistoryRules = field(default_factory=HistoryRules)


def answers(
    scorer: ItemScorer, blocks: Iterable[HistoryBlock], request: ListRequest
) -> Iterator[Recommendations]:
    """Answer blocks of histories as they come; memory is that of a block for each process.

    Where several processes share the work, each lists for some of the blocks, and all get all
    lists.

    Raises:
        ConfigError, InputError, ArtifactError: as `Recommender.recommend`.
    """
    k = checked_k(request.k, scorer.n_items)
    shown = _shown_items(scorer.catalogue, request)
    bias = scorer.masked(shown)
    popular = None
    indexer = HistoryIndexer(scorer.catalogue, request.rules)
    rest = iter(blocks)
    while some := [*islice(rest, size())]:
        known = [indexer.index(block) for block in some]
        is_empty = not all(one.has_items.all() for one in known)
        if is_empty and popular is None and request.rules.empty == "popular":
            popular = scorer.popular(k, shown)
        lists = _lists(scorer, known, request, k, bias)
        for block, one, (items, scores) in zip(some, known, lists, strict=True):
            if popular is not None:
                items[~one.has_items], scores[~one.has_items] = popular
            named = None if block.names is None else [*block.names]
            yield Recommendations(
                scorer.catalogue,
                items,
                scores,
                counts=one.counts,
                first=block.first,
                names=named,
                column="history" if named is None else "user_id",
            )
    indexer.warn()


def _lists(
    scorer: ItemScorer,
    known: Sequence[KnownItems],
    request: ListRequest,
    k: int,
    bias: npt.NDArray[np.float32] | None,
) -> list[Lists]:
    """Items and scores of each of as many blocks as there are processes; N and -inf for no item."""
    if size() == 1:
        return [_list(scorer, one, request, k, bias) for one in known]
    import torch

    from dllm2rec.runtime.distributed import gathered

    sizes = [len(one.has_items) for one in known]
    # Items, and the bits of scores: integers, whose sum over processes is exact.
    table = torch.zeros(2, sum(sizes), k, dtype=torch.int32)
    if rank() < len(known):
        items, scores = _list(scorer, known[rank()], request, k, bias)
        begin = sum(sizes[: rank()])
        bits = np.stack([items.view(np.int32), scores.view(np.int32)])
        table[:, begin : begin + len(items)] = torch.from_numpy(bits)
    all_items, all_bits = gathered(table, "listing items").numpy()
    cuts = np.cumsum(sizes)[:-1]
    return [
        (items, scores)
        for items, scores in zip(
            np.split(all_items.view(np.uint32), cuts),
            np.split(all_bits.view(np.float32), cuts),
            strict=True,
        )
    ]


def _list(
    scorer: ItemScorer,
    known: KnownItems,
    request: ListRequest,
    k: int,
    bias: npt.NDArray[np.float32] | None,
) -> Lists:
    """Items and scores of one block; N and -inf for no item."""
    if known.has_items.all():  # as nearly always: nothing is to be copied
        return scorer.top_n(known, k, exclude_seen=request.exclude_seen, bias=bias)
    n_rows = len(known.has_items)
    items = np.full((n_rows, k), scorer.n_items, dtype=np.uint32)
    scores = np.full((n_rows, k), -np.inf, dtype=np.float32)
    if known.has_items.any():
        items[known.has_items], scores[known.has_items] = scorer.top_n(
            known.answered(), k, exclude_seen=request.exclude_seen, bias=bias
        )
    return items, scores


def checked_k(k: int, n_items: int) -> int:
    """The places of a list.

    Raises:
        ConfigError: `k` is not within 1..N.
    """
    try:
        places = operator.index(k)
    except TypeError:
        raise ConfigError(f"k = {k!r}, expected a whole number") from None
    if not 1 <= places <= n_items:
        raise ConfigError(f"k = {places}, expected 1..{n_items}, the size of the catalogue")
    return places


def _shown_items(catalogue: Catalogue, request: ListRequest) -> npt.NDArray[np.bool_] | None:
    """Which items may be listed, (N,); None for all."""
    if request.candidates is None and request.filter is None:
        return None
    shown = np.full(catalogue.n_items, request.candidates is None)
    unknown = request.rules.unknown
    if request.candidates is not None:
        ids = ids_of_list(request.candidates, "candidates")
        shown[listed_items(catalogue, ids, "candidates", unknown)] = True
    if request.filter is not None:
        ids = ids_of_list(request.filter, "filter")
        shown[listed_items(catalogue, ids, "filter", unknown)] = False
    return shown
