"""What a recommender answers: a list of places for each history, and all of them as one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dllm2rec.data.dataset import Catalogue
from dllm2rec.data.text.arrow_buffers import text_array
from dllm2rec.runtime.visible import visible
from dllm2rec.serve.known_items import HistoryCounts
from dllm2rec.tracking.metric_table import Recommendation

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_SHOWN_LISTS = 3  # in a notebook
_SHOWN_PLACES = 10


class Recommendations(Sequence[list[Recommendation]]):
    """Lists of items, one for each history (or item) that was asked about, in that order.

    It reads like a list of lists of `Recommendation`, which are made when they are looked at: a
    million lists of ten take 80 MB. `to_arrow`, `to_polars` and `to_pandas` give a table with a row
    for each place: whose list it is of, `rank` from 1, `item_id`, `title` and `score`.

    Attributes:
        counts: what was passed over in the histories, as the caller asked.
        items: item indices, (lists, k) uint32; N where no item is left for a place.
        scores: (lists, k) float32, -inf where no item is left.
        names: whose list each is, where that is known.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        items: npt.NDArray[np.uint32],
        scores: npt.NDArray[np.float32],
        *,
        counts: HistoryCounts | None = None,
        first: int = 0,
        names: Sequence[str] | None = None,
        column: str = "history",
    ) -> None:
        self._catalogue = catalogue
        self._first = first
        self.names = names
        self._column = column
        self.items = items
        self.scores = scores
        self.counts = HistoryCounts(len(items)) if counts is None else counts

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, number: int) -> list[Recommendation]: ...
    @overload
    def __getitem__(self, number: slice) -> list[list[Recommendation]]: ...
    def __getitem__(self, number: int | slice) -> list[Recommendation] | list[list[Recommendation]]:
        if isinstance(number, slice):
            return [self[one] for one in range(len(self))[number]]
        return self._places(self.items[number].tolist(), self.scores[number].tolist())

    def __iter__(self) -> Iterator[list[Recommendation]]:
        for items, scores in zip(self.items, self.scores, strict=True):
            yield self._places(items.tolist(), scores.tolist())

    def __eq__(self, other: object) -> bool:
        """Whether the other holds the same lists; a list of lists will do."""
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # as a list

    def _places(self, items: list[int], scores: list[float]) -> list[Recommendation]:
        ids, titles = self._catalogue.item_ids, self._catalogue.titles
        return [
            Recommendation(rank, ids[item], titles[item] if titles else None, score)
            for rank, (item, score) in enumerate(zip(items, scores, strict=True), start=1)
            if item < len(ids)  # places that no item is left for
        ]

    def rows(self) -> Iterator[tuple[str, int, str, str | None, float]]:
        """Yield all places: whose list it is, or its number, rank, id, title and score.

        They are the columns of `to_arrow`, a row at a time.
        """
        rows, places = np.nonzero(self.items < self._catalogue.n_items)
        found = self.items[rows, places].tolist()
        ids, titles = self._catalogue.item_ids, self._catalogue.titles
        names = self.names or [str(self._first + number) for number in range(len(self))]
        return zip(
            map(names.__getitem__, rows.tolist()),
            (places + 1).tolist(),
            map(ids.__getitem__, found),
            repeat(None) if titles is None else map(titles.__getitem__, found),
            self.scores[rows, places].tolist(),
            strict=False,  # without titles one is endless
        )

    def to_arrow(self) -> pa.Table:
        """All places as a table of Arrow.

        Its columns are `history` (the number of the list, from 0; `user_id` where histories have
        names, `similar_to` for similar items), `rank`, `item_id`, `title`, null where there is
        none, and `score`.
        """
        rows, places = np.nonzero(self.items < self._catalogue.n_items)
        found = self.items[rows, places]
        ids, titles = self._catalogue.item_ids, self._catalogue.titles
        # Only the texts that are listed: a catalogue may be larger than the lists.
        listed, which = np.unique(found, return_inverse=True)
        which = pa.array(which)
        title = (
            pa.nulls(len(found), pa.string())
            if titles is None
            else text_array([titles[item] for item in listed]).take(which)
        )
        whose = (
            pa.array(rows + self._first)
            if self.names is None
            else text_array(list(self.names)).take(pa.array(rows))
        )
        columns = {
            self._column: whose,
            "rank": pa.array((places + 1).astype(np.int32)),
            "item_id": text_array([ids[item] for item in listed]).take(which),
            "title": title,
            "score": pa.array(self.scores[rows, places]),
        }
        return pa.table(columns)

    def to_polars(self) -> pl.DataFrame:
        """The table of `to_arrow` as a frame of polars, which must be installed."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for mypy: a column gives a Series
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """The table of `to_arrow` as a frame of pandas, which must be installed."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def __repr__(self) -> str:
        """Sizes, and the beginning of the first lists."""
        k, n_items = self.items.shape[1], self._catalogue.n_items
        lines = [f"Recommendations: {len(self):,} lists of up to {k:,} of {n_items:,} items"]
        for number in range(min(len(self), _SHOWN_LISTS)):
            ids = ", ".join(visible(place.item_id) for place in self[number][:_SHOWN_LISTS])
            lines.append(f"  {self._called(number)}: {ids}{', ...' if k > _SHOWN_LISTS else ''}")
        if len(self) > _SHOWN_LISTS:
            lines.append("  ...")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The first places of the first lists, as a notebook shows a table."""
        head = "".join(f"<th>{name}</th>" for name in (self._column, *_COLUMNS))
        rows = [
            _html_row(self._called(number), place)
            for number in range(min(len(self), _SHOWN_LISTS))
            for place in self[number][:_SHOWN_PLACES]
        ]
        size = f"{len(self):,} lists of up to {self.items.shape[1]:,}"
        return (
            f"<table><caption>{size}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )

    def _called(self, number: int) -> str:
        name = str(self._first + number) if self.names is None else self.names[number]
        return visible(name)


_COLUMNS = ("rank", "item_id", "title", "score")


def _html_row(name: str, place: Recommendation) -> str:
    cells: tuple[Any, ...] = (
        name,
        place.rank,
        visible(place.item_id),
        visible(place.title or ""),
        f"{place.score:.4f}",
    )
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>"


def joined(parts: Sequence[Recommendations], k: int, catalogue: Catalogue) -> Recommendations:
    """One result of the parts of a stream, which begin at its first history."""
    if len(parts) == 1:
        return parts[0]
    items = [np.zeros((0, k), dtype=np.uint32), *(part.items for part in parts)]
    scores = [np.zeros((0, k), dtype=np.float32), *(part.scores for part in parts)]
    counts = sum((part.counts for part in parts), HistoryCounts())
    return Recommendations(catalogue, np.concatenate(items), np.concatenate(scores), counts=counts)
