"""A trained student, loaded once, that answers: lists, similar items, vectors and scores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.serve.answers import ListRequest, answers, checked_k
from dllm2rec.serve.change_items import titles_as_list, with_items, without_items
from dllm2rec.serve.histories import HistoryBlock, history_blocks, ids_of_list
from dllm2rec.serve.known_items import (
    Empty,
    HistoryIndexer,
    HistoryRules,
    KnownItems,
    Unknown,
    listed_items,
)
from dllm2rec.serve.recommendations import Recommendations, joined
from dllm2rec.serve.scorer import ItemScorer


class Recommender:
    """A trained student with its items, read and verified once; `dllm2rec.load` makes it.

    Everything is exact: all items are scored, lists go by score, descending, then by the place of
    the item in the catalogue. Several threads may ask at once.

    Attributes:
        name: which student it is, such as `sasrec`.
    """

    def __init__(self, name: str, scorer: ItemScorer) -> None:
        self.name = name
        self._scorer = scorer
        self._changing = threading.Lock()

    def __repr__(self) -> str:
        """Which student, of how many items."""
        scorer = self._scorer
        memory = "with" if scorer.memory is not None else "without"
        return (
            f"Recommender: {self.name}, {self.n_items:,} items, windows of "
            f"{scorer.encoder.max_length}, {memory} pair memory, on {scorer.encoder.place}"
        )

    @property
    def scorer(self) -> ItemScorer:
        """What answers for item indices, as it is now: `add_items` puts another in its place."""
        return self._scorer

    @property
    def catalogue(self) -> Catalogue:
        """The items that it knows: ids, and titles where the data has them."""
        return self._scorer.catalogue

    @property
    def n_items(self) -> int:
        """How many items it knows."""
        return self._scorer.n_items

    @property
    def text_width(self) -> int | None:
        """E, the width of the vectors that `add_items` takes; None where text does not score."""
        projection = self._scorer.projection
        return None if projection is None else projection.matrix.shape[1]

    def recommend(
        self,
        histories: Iterable[Iterable[str | int]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        candidates: Iterable[str | int] | None = None,
        filter: Iterable[str | int] | None = None,  # noqa: A002 - the field's word for it
        unknown: Unknown = "error",
        empty: Empty = "error",
    ) -> Recommendations:
        """List the best items for each history.

        Histories are worked on in blocks of 4,096, and no users x items matrix is ever held:
        beyond the lists themselves, 8 bytes per place, memory does not grow with their number.

        Args:
            histories: one entry per user, each the item ids of that user, oldest first, as texts or
                whole numbers; the last L count. Lists, generators, arrays and Series of NumPy,
                pandas, polars and Arrow are taken.
            k: how many items to list; fewer come back where fewer are left.
            exclude_seen: leave out every item of the history.
            candidates: the ids that may be listed; by default all.
            filter: ids that are never listed.
            unknown: "error", or "skip" to leave items out that the catalogue lacks.
            empty: "error", or for histories without a known item "skip" for an empty list,
                "popular" for the items that are most often the target of a train row, with that
                count as their score.

        Returns:
            One list per history; `.counts` says what was passed over, as a warning does.

        Raises:
            ConfigError: `k` is not within 1..N.
            InputError: a history is empty or names an unknown item, or these are no lists of ids.
            ArtifactError: what is popular is asked for, and the run did not keep it.
        """
        rules = HistoryRules(unknown=unknown, empty=empty)
        request = ListRequest(k, exclude_seen, candidates, filter, rules)
        scorer = self._scorer
        parts = [*answers(scorer, history_blocks(histories), request)]
        return joined(parts, k, scorer.catalogue)

    def stream(
        self, blocks: Iterable[HistoryBlock], request: ListRequest
    ) -> Iterator[Recommendations]:
        """Answer block after block, as they come; `recommend` and the command line are made of it.

        Where several processes share the work, each lists for some of the blocks, and all get all
        lists.
        """
        return answers(self._scorer, blocks, request)

    def similar_items(self, ids: Iterable[str | int], k: int = 10) -> Recommendations:
        """List the items whose vectors point most nearly the same way as those of some items.

        The score is the cosine of the vectors that score the items. An item is not similar to
        itself.

        Args:
            ids: of the items.
            k: how many to list for each.

        Raises:
            ConfigError: `k` is not within 1..N.
            InputError: no item has one of the ids.
        """
        scorer = self._scorer
        k = checked_k(k, scorer.n_items)
        names = ids_of_list(ids, "ids")
        items, scores = scorer.similar(listed_items(scorer.catalogue, names, "ids"), k)
        return Recommendations(scorer.catalogue, items, scores, names=names, column="similar_to")

    def embed_items(self, ids: Iterable[str | int] | None = None) -> npt.NDArray[np.float32]:
        """The vectors that score items, (items, D); by default of all, in the catalogue's order.

        Where a student has no pair memory, no bias and no offset for window items, the score of a
        user and an item is the product of `embed_users` and this.

        Raises:
            InputError: no item has one of the ids.
        """
        scorer = self._scorer
        vectors = scorer.items.matrix
        if ids is None:
            return np.array(vectors)
        names = ids_of_list(ids, "ids")
        found: npt.NDArray[np.float32] = vectors[listed_items(scorer.catalogue, names, "ids")]
        return found

    def embed_users(
        self, histories: Iterable[Iterable[str | int]], *, unknown: Unknown = "error"
    ) -> npt.NDArray[np.float32]:
        """Encode each history, (histories, D).

        Raises:
            InputError: as `recommend`; a history without items has no vector.
        """
        scorer = self._scorer
        indexer = HistoryIndexer(scorer.catalogue, HistoryRules(unknown=unknown))
        vectors = [np.zeros((0, scorer.items.matrix.shape[1]), dtype=np.float32)]
        vectors += [
            scorer.users(scorer.windows(indexer.index(block)))
            for block in history_blocks(histories)
        ]
        indexer.warn()
        return np.concatenate(vectors)

    def score(
        self,
        histories: Iterable[Iterable[str | int]],
        items: Iterable[Iterable[str | int]],
        *,
        unknown: Unknown = "error",
    ) -> list[npt.NDArray[np.float32]]:
        """Score some items for each history, such as another system's candidates.

        A score is that of `recommend` with `exclude_seen=False`, but for rounding: the student's,
        the pair memory's and the offset of window items together.

        Args:
            histories: as for `recommend`.
            items: for each history, the ids of the items to score.
            unknown: what becomes of unknown items of histories; `items` must be known.

        Returns:
            For each history, the scores of its items, in their order.

        Raises:
            InputError: as `recommend`, or the two are not as many.
        """
        scorer = self._scorer
        indexer = HistoryIndexer(scorer.catalogue, HistoryRules(unknown=unknown))
        asked = iter(items)
        found: list[npt.NDArray[np.float32]] = []
        for block in history_blocks(histories):
            known = indexer.index(block)
            some = [
                listed_items(
                    scorer.catalogue, ids_of_list(one, f"items[{number}]"), f"items[{number}]"
                )
                for number, one in enumerate(islice(asked, len(block.ids)), block.first)
            ]
            if len(some) < len(block.ids):
                raise _uneven(block.first + len(some), f"at least {block.first + len(block.ids)}")
            pairs = KnownItems.of([one.tolist() for one in some], known.counts)
            found += np.split(scorer.pair_scores(known, pairs), pairs.offsets[1:-1])
        if next(asked, None) is not None:
            raise _uneven(f"more than {len(found)}", str(len(found)))
        indexer.warn()
        return found

    def add_items(
        self,
        ids: Iterable[str | int],
        *,
        titles: Iterable[str] | None = None,
        vectors: npt.ArrayLike | None = None,
        encode: Callable[[list[str]], npt.ArrayLike] | None = None,
    ) -> None:
        """Add items that training never saw, scored by their text; no training is needed.

        They are listed, found similar and known in histories from now on, in this object alone:
        after another `load`, add them again. The vector of an item is the student's projection of
        the teacher's vector of its text, as for items that no train row had.

        Args:
            ids: new ones.
            titles: a text each; without vectors they are what is encoded.
            vectors: of the encoder that made the teacher's item vectors, (items, E).
            encode: makes vectors of titles, such as `SentenceTransformer(...).encode` of the
                teacher's model; in place of `vectors`.

        Raises:
            ConfigError: neither vectors nor titles and `encode`, or both.
            ArtifactError: the student does not score by text.
            InputError: an id is there already, or vectors and titles do not fit.
            NonFiniteError: a NaN or infinity in the vectors.
        """
        names = ids_of_list(ids, "ids")
        texts = None if titles is None else titles_as_list(titles)
        if vectors is None and encode is not None and texts is not None:
            vectors, encode = encode(texts), None
        if vectors is None or encode is not None:
            raise ConfigError("add_items: expected vectors, or titles with encode")
        with self._changing:
            self._scorer = with_items(self._scorer, names, texts, vectors)

    def remove_items(self, ids: Iterable[str | int]) -> None:
        """Take items out, in this object: they are not listed, and unknown in histories.

        Raises:
            ConfigError: none would be left.
            InputError: no item has one of the ids.
        """
        names = ids_of_list(ids, "ids")
        with self._changing:
            scorer = self._scorer
            self._scorer = without_items(scorer, listed_items(scorer.catalogue, names, "ids"))


def _uneven(n_items: int | str, n_histories: str) -> InputError:
    return InputError(
        f"items: {n_items} lists for {n_histories} histories, expected one for each",
        code="E-HISTORIES",
    )
