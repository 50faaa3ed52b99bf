"""Items that come and go after training: a scorer with some more, or without some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dllm2rec.arrays import float_array
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError, ConfigError, InputError
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.students.memory.pair_memory import PairMemory


def with_items(
    scorer: ItemScorer, ids: Sequence[str], titles: Sequence[str] | None, vectors: npt.ArrayLike
) -> ItemScorer:
    """Add items behind those that are there, scored by the teacher's vectors of their text.

    They have no bias and nothing is remembered of them: they are as an item of the training that
    no row had.

    Args:
        scorer: is left as it is.
        ids: new ones.
        titles: as many, or None.
        vectors: of the teacher's encoder, (items, E).

    Raises:
        ArtifactError: text does not score in this student.
        InputError: an id is there already, or sizes do not fit.
        NonFiniteError: a NaN or infinity in the vectors.
    """
    projection = scorer.projection
    if projection is None:
        raise ArtifactError(
            "this student has no projection of texts, expected one trained by this version with a "
            'teacher\'s vectors and distillation.embedding_sides = "both"; train again with them'
        )
    for item_id, found in zip(ids, scorer.catalogue.find_all(ids), strict=True):
        if found is not None:
            raise InputError(
                f"ids: {item_id!r} is there already, expected new ids; remove it first"
            )
    texts = float_array(vectors, "vectors", ndim=2)
    for name, found in (
        ("vectors", len(texts)),
        ("titles", len(ids if titles is None else titles)),
    ):
        if found != len(ids):
            raise InputError(f"{name}: {found} for {len(ids)} ids, expected as many")
    rows = projection.vectors(texts)
    old = scorer.catalogue
    names = [*old.item_ids, *ids]
    known = old.titles
    if known is not None or titles is not None:
        known = [*(known or [""] * old.n_items), *(titles or [""] * len(ids))]
    # One table for both sides: what is projected is tied.
    items = scorer.items.followed_by(rows)
    counts = scorer.popularity
    return replace(
        scorer,
        encoder=scorer.encoder.over(items),
        catalogue=Catalogue(names, known),
        items=items,
        memory=None if scorer.memory is None else _longer(scorer.memory, len(ids)),
        popularity=(
            counts
            if isinstance(counts, ArtifactError)
            else np.append(counts, np.zeros(len(ids), counts.dtype))
        ),
    )


def titles_as_list(titles: Iterable[str]) -> list[str]:
    """A list of texts.

    Raises:
        InputError: it is one text, or holds something else.
    """
    found = [titles] if isinstance(titles, str) else [*titles]
    for place, title in enumerate(found):
        if isinstance(titles, str) or not isinstance(title, str):
            raise InputError(f"titles, place {place}: {title!r}, expected a list of texts")
    return [str(title) for title in found]


def without_items(scorer: ItemScorer, items: npt.NDArray[np.uint32]) -> ItemScorer:
    """Take items out, so that they are neither listed nor known in histories.

    Raises:
        ConfigError: none would be left.
    """
    kept = np.ones(scorer.n_items, dtype=np.bool_)
    kept[items] = False
    if not kept.any():
        raise ConfigError(f"ids: all {scorer.n_items} items, expected to leave one at least")
    vectors = scorer.items.take(kept)
    old, counts = scorer.catalogue, scorer.popularity
    where = np.flatnonzero(kept).tolist()
    titles = old.titles
    return replace(
        scorer,
        encoder=scorer.encoder.over(vectors),
        catalogue=Catalogue(
            [old.item_ids[item] for item in where],
            None if titles is None else [titles[item] for item in where],
        ),
        items=vectors,
        memory=None if scorer.memory is None else _shorter(scorer.memory, kept),
        popularity=counts if isinstance(counts, ArtifactError) else counts[kept],
    )


def _longer(memory: PairMemory, n_items: int) -> PairMemory:
    ends = np.full(n_items, memory.offsets[-1], dtype=np.int64)
    return replace(memory, offsets=np.append(memory.offsets, ends))


def _shorter(memory: PairMemory, kept: npt.NDArray[np.bool_]) -> PairMemory:
    """The memory of the items that are kept, under their new numbers."""
    of_item = np.repeat(np.arange(len(kept)), np.diff(memory.offsets))
    stays = kept[of_item] & kept[memory.items]
    n_followers = np.bincount(of_item[stays], minlength=len(kept))[kept]
    number = np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
    return replace(
        memory,
        offsets=np.concatenate([[0], np.cumsum(n_followers, dtype=np.int64)]),
        items=number[memory.items[stays]],
        values=memory.values[stays],
    )
