"""A student, its memory and its items, held ready: what scores and lists for item indices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError
from dllm2rec.serve.encoder import (
    Encoder,
    FloatMatrix,
    ItemVectors,
    ListedItems,
    Lists,
    Windows,
    host_top_n,
)
from dllm2rec.serve.known_items import KnownItems
from dllm2rec.students.memory.pair_memory import ItemBonuses, PairMemory
from dllm2rec.students.text_projection import TextProjection


@dataclass(frozen=True, eq=False)
class ItemScorer:
    """What answers; nothing of it ever changes, so that threads may share it.

    Attributes:
        encoder: the student's network over `items`, run by torch or without it.
        catalogue: N items.
        items: their vectors and biases.
        window_offset: what is added to the scores of a window's items.
        memory: what the student remembers of pairs, or None.
        projection: what makes an item's vector of a text, or None.
        popularity: how often each item is the target of a train row, (N,); or why it is not known.
    """

    encoder: Encoder
    catalogue: Catalogue
    items: ItemVectors
    window_offset: float
    memory: PairMemory | None
    projection: TextProjection | None
    popularity: npt.NDArray[np.int64] | ArtifactError

    @property
    def n_items(self) -> int:
        """N."""
        return self.catalogue.n_items

    def windows(self, histories: KnownItems) -> Windows:
        """Cut the windows of histories, none of which is empty."""
        begin, end = histories.offsets[:-1], histories.offsets[1:]
        events = np.append(histories.items, np.uint32(0))  # each window has a target behind it
        begin, end = np.ascontiguousarray(begin), np.ascontiguousarray(end)
        length = self.encoder.max_length
        sequences, lengths, _ = _core.gather_windows(events, begin, end, length, self.n_items)
        return Windows(sequences, lengths)

    def users(self, windows: Windows) -> FloatMatrix:
        """Encode windows, (B, D')."""
        return self.encoder.users(windows)

    def bonuses(self, windows: Windows) -> ItemBonuses | None:
        """What the memory adds to the scores."""
        return (
            None if self.memory is None else self.memory.bonuses(windows.sequences, windows.lengths)
        )

    def top_n(
        self,
        histories: KnownItems,
        k: int,
        *,
        exclude_seen: bool,
        bias: npt.NDArray[np.float32] | None,
    ) -> Lists:
        """List for histories, none of which is empty.

        Args:
            histories: B of them.
            k: places of a list, in 1..N.
            exclude_seen: leave out every item of the history.
            bias: `self.items.bias`, or what `masked` made of it.

        Returns:
            Items uint32 (B, k) and scores float32 (B, k); missing places hold N and -inf.
        """
        windows = self.windows(histories)
        window: tuple[ListedItems, float] = (windows.lists(), self.window_offset)
        if exclude_seen:
            window = (histories.offsets, histories.items), -math.inf
        return self.encoder.top_n(self.users(windows), k, bias, window, self.bonuses(windows))

    def top_n_among(
        self,
        histories: KnownItems,
        candidates: npt.NDArray[np.uint32],
        k: int,
        *,
        exclude_seen: bool,
    ) -> Lists:
        """List for histories among some items alone, without a look at any other.

        The lists are those of `top_n` with a bias that masks all other items, to the last bit.

        Args:
            histories: B of them, none of which is empty.
            candidates: items, ascending, each once.
            k: places of a list, at least 1; beyond the candidates there are none.
            exclude_seen: leave out every item of the history.
        """
        places = min(k, len(candidates))
        if not places:
            n_rows = len(histories.has_items)
            return np.zeros((n_rows, 0), np.uint32), np.zeros((n_rows, 0), np.float32)
        windows = self.windows(histories)
        listed, shift = windows.lists(), self.window_offset
        if exclude_seen:
            listed, shift = (histories.offsets, histories.items), -math.inf
        offsets, items, _ = _among(candidates, *listed)
        bonuses = self.bonuses(windows)
        if bonuses is not None:
            bonuses = ItemBonuses(*_among(candidates, *bonuses))
        bias = None if self.items.bias is None else self.items.bias[candidates]
        found, scores = host_top_n(
            self.users(windows),
            np.ascontiguousarray(self.items.matrix[candidates]),
            places,
            bias,
            ((offsets, items), shift),
            bonuses,
        )
        return np.append(candidates, np.uint32(self.n_items))[found], scores

    def masked(self, shown: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32] | None:
        """The bias that keeps all items but those shown out of every list; None shows all."""
        bias = self.items.bias
        if shown is None:
            return bias
        open_bias = np.zeros(self.n_items, np.float32) if bias is None else bias
        return np.where(shown, open_bias, np.float32(-math.inf))

    @cached_property
    def by_popularity(self) -> npt.NDArray[np.int64]:
        """All items, those that are most often a train target first, equal ones by index.

        Raises:
            ArtifactError: it is not known.
        """
        if isinstance(self.popularity, ArtifactError):
            raise self.popularity
        return np.argsort(-self.popularity, kind="stable")

    def popular(self, k: int, shown: npt.NDArray[np.bool_] | None) -> Lists:
        """One list of what is most often a train target, equal ones by index: (1, k) each.

        Raises:
            ArtifactError: it is not known.
        """
        order = self.by_popularity
        counts = np.asarray(self.popularity)
        if shown is not None:
            order = order[shown[order]]
        items = np.full((1, k), self.n_items, dtype=np.uint32)
        scores = np.full((1, k), -math.inf, dtype=np.float32)
        best = order[:k]
        items[0, : len(best)] = best
        scores[0, : len(best)] = counts[best]
        return items, scores

    def similar(self, items: npt.NDArray[np.uint32], k: int) -> Lists:
        """List the items of the nearest direction for each of some items, which is left out."""
        directions = self.items.directions
        itself = (np.arange(len(items) + 1), items), -math.inf
        codes = self.items.direction_codes_for(len(items))
        return host_top_n(directions[items], directions, k, None, itself, None, codes)

    def pair_scores(self, histories: KnownItems, asked: KnownItems) -> npt.NDArray[np.float32]:
        """Score the items asked for each history, none of which is empty, one after the other."""
        windows = self.windows(histories)
        row = np.repeat(np.arange(len(windows.lengths)), np.diff(asked.offsets))
        users = self.users(windows)[row]
        found = np.einsum("nd,nd->n", users, self.items.matrix[asked.items])
        if self.items.bias is not None:
            found = found + self.items.bias[asked.items]
        # Pairs (row, item) as one number each, so that one search finds what moves them.
        pairs = row * self.n_items + asked.items
        offsets, listed = windows.lists()
        in_window = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * self.n_items + listed
        found = found + np.float32(self.window_offset) * np.isin(pairs, in_window)
        bonuses = self.bonuses(windows)
        if bonuses is not None and len(bonuses.items):
            of_row = np.repeat(np.arange(len(bonuses.offsets) - 1), np.diff(bonuses.offsets))
            with_bonus = of_row * self.n_items + bonuses.items
            place = np.searchsorted(with_bonus, pairs).clip(max=len(with_bonus) - 1)
            found = found + np.where(with_bonus[place] == pairs, bonuses.values[place], 0)
        added: npt.NDArray[np.float32] = found.astype(np.float32)
        return added


def _among(
    candidates: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    items: npt.NDArray[np.uint32],
    values: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """What rows list of some items, by the places of these: offsets, places and values."""
    place = np.searchsorted(candidates, items)
    there = candidates[np.minimum(place, len(candidates) - 1)] == items
    kept = np.concatenate([[0], np.cumsum(there, dtype=np.int64)])[offsets]
    some = np.zeros(0, np.float32) if values is None else values[there]
    return kept, place[there].astype(np.uint32), some
