"""From ids to items: unknown items and empty histories as the caller asks, counted and told."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import words
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.serve.histories import BLOCK_ROWS, HistoryBlock

_log = logging.getLogger(__name__)

Unknown = Literal["error", "skip"]
Empty = Literal["error", "skip", "popular"]

_NAMED = 5  # histories that a warning names


@dataclass(frozen=True)
class HistoryRules:
    """What becomes of histories that a student cannot answer as they are.

    Attributes:
        unknown: "error", or "skip": items that the catalogue lacks are left out.
        empty: "error", or for who has no item, or none that is known: "skip" for an empty list,
            "popular" for the items that are most often the target of a train row.
        path: the file that they stand in, if any.
    """

    unknown: Unknown = "error"
    empty: Empty = "error"
    path: Path | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("unknown", get_args(Unknown)), ("empty", get_args(Empty))):
            if getattr(self, name) not in allowed:
                got = f"{name} = {getattr(self, name)!r}"
                raise ConfigError(f"{got}, expected one of {', '.join(allowed)}")


@dataclass(frozen=True)
class HistoryCounts:
    """What was passed over in histories, because the rules allow it.

    Attributes:
        n_histories: how many there were.
        n_unknown: how many items the catalogue lacks, repeats counted.
        with_unknown: the histories that had such items, by number.
        without_items: the histories of which no known item is left, by number.
    """

    n_histories: int = 0
    n_unknown: int = 0
    with_unknown: tuple[int, ...] = ()
    without_items: tuple[int, ...] = ()

    def __add__(self, other: HistoryCounts) -> HistoryCounts:
        return HistoryCounts(
            self.n_histories + other.n_histories,
            self.n_unknown + other.n_unknown,
            self.with_unknown + other.with_unknown,
            self.without_items + other.without_items,
        )


@dataclass(frozen=True, eq=False)
class KnownItems:
    """The items of some histories.

    Attributes:
        offsets: where each history begins, and the last one ends, int64 (B + 1,).
        items: their items, oldest first, uint32 (n,).
        counts: what was passed over.
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.uint32]
    counts: HistoryCounts

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], counts: HistoryCounts) -> KnownItems:
        """Lay lists of items out one after the other."""
        offsets = np.fromiter(accumulate(map(len, rows), initial=0), np.int64, len(rows) + 1)
        items = np.fromiter(chain.from_iterable(rows), np.uint32, int(offsets[-1]))
        return cls(offsets, items, counts)

    @property
    def has_items(self) -> npt.NDArray[np.bool_]:
        """Which histories have an item, (B,)."""
        found: npt.NDArray[np.bool_] = self.offsets[1:] > self.offsets[:-1]
        return found

    def answered(self) -> KnownItems:
        """The same without the empty ones."""
        kept = np.concatenate([[True], self.has_items])
        return KnownItems(self.offsets[kept], self.items, self.counts)


@dataclass
class HistoryIndexer:
    """Finds the items of histories in a catalogue, block after block.

    What is passed over is said in one warning each, once all have been read.
    """

    catalogue: Catalogue
    rules: HistoryRules
    _counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    _named: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def index(self, block: HistoryBlock) -> KnownItems:
        """The items of every history, in their order, as the rules say.

        Raises:
            InputError: an unknown item or an empty history, where the rules do not say otherwise;
                the message counts those of the block.
        """
        rows = [*map(self.catalogue.find_all, block.ids)]
        with_unknown = [place for place, row in enumerate(rows) if None in row]
        known = cast("list[list[int]]", rows)
        if with_unknown:
            known = [[item for item in row if item is not None] for row in rows]
        n_unknown = sum(len(rows[place]) - len(known[place]) for place in with_unknown)
        without = [place for place, row in enumerate(known) if not row]
        if with_unknown and self.rules.unknown == "error":
            raise self._refuse_unknown(block, with_unknown[0], n_unknown, len(with_unknown))
        if without and self.rules.empty == "error":
            raise self._refuse_empty(block, without[0], len(without), is_known=with_unknown)
        for places, names in zip((with_unknown, without), self._named, strict=True):
            names += [self._called(block, place) for place in places[: _NAMED - len(names)]]
        for part, n in enumerate((len(rows), n_unknown, len(with_unknown), len(without))):
            self._counts[part] += n
        first = block.first
        counts = HistoryCounts(
            len(rows),
            n_unknown,
            tuple(first + place for place in with_unknown),
            tuple(first + place for place in without),
        )
        return KnownItems.of(known, counts)

    def warn(self) -> None:
        """Say what was passed over, once for all blocks."""
        n_histories, n_unknown, n_with, n_without = self._counts
        if n_unknown:
            counted = f"{n_unknown:,} unknown in {n_with:,} of {n_histories:,} histories"
            named = _shown(self._named[0], n_with)
            _log.warning("W-ITEMS-SKIPPED %s, left out: %s", counted, named)
        if n_without:
            counted = f"{n_without:,} of {n_histories:,} histories have no known item"
            named = _shown(self._named[1], n_without)
            if self.rules.empty == "popular":
                _log.warning("W-POPULAR %s and get the most popular: %s", counted, named)
            else:
                _log.warning("W-NO-LIST %s and get no list: %s", counted, named)

    def _called(self, block: HistoryBlock, place: int) -> str:
        line = block.line(place)
        return block.name(place) if line is None else f"line {line} ({block.name(place)})"

    def _refusal(
        self, block: HistoryBlock, place: int, message: str, code: str, hint: str
    ) -> InputError:
        return InputError(
            f"{block.name(place)}: {message}",
            code=code,
            path=self.rules.path,
            line=block.line(place),
            hint=hint,
        )

    def _refuse_unknown(
        self, block: HistoryBlock, place: int, n_unknown: int, n_with: int
    ) -> InputError:
        found = self.catalogue.find_all(block.ids[place])
        item_id = block.ids[place][found.index(None)]
        counted = f"; {n_unknown:,} unknown in {n_with:,} of {_read(block)}"
        return self._refusal(
            block,
            place,
            f"{unknown_id(self.catalogue, item_id)}{counted if n_unknown > 1 else ''}",
            "E-ITEM-UNKNOWN",
            words(
                python="give unknown='skip' to leave them out",
                option="give --unknown skip to leave them out",
            ),
        )

    def _refuse_empty(
        self, block: HistoryBlock, place: int, n_without: int, *, is_known: Sequence[int]
    ) -> InputError:
        why = "none of its items is known" if place in is_known else "no items"
        counted = f"; {n_without:,} of {_read(block)} have no known item"
        return self._refusal(
            block,
            place,
            f"{why}, expected at least one{counted if n_without > 1 else ''}",
            "E-EMPTY",
            words(
                python="give empty='popular' to get the most popular items",
                option="give --empty popular to get the most popular items",
            ),
        )


def unknown_id(catalogue: Catalogue, item_id: str) -> str:
    """What a message says of an id that no item has."""
    return (
        f"unknown item id {item_id!r}, expected one of {catalogue.n_items} ids; nearest: "
        f"{catalogue.near_text(item_id)}"
    )


def listed_items(
    catalogue: Catalogue, ids: Sequence[str], name: str, unknown: Unknown = "error"
) -> npt.NDArray[np.uint32]:
    """The items of one list of ids, such as the candidates of all lists.

    Raises:
        InputError: no item has one of the ids, and `unknown` is "error".
    """
    found = catalogue.find_all(ids)
    if None in found:
        missing = ids[found.index(None)]
        n_missing = found.count(None)
        if unknown == "error":
            counted = f"; {n_missing:,} of {len(ids):,} unknown" if n_missing > 1 else ""
            raise InputError(
                f"{name}: {unknown_id(catalogue, missing)}{counted}",
                code="E-ITEM-UNKNOWN",
                hint=words(
                    python="give unknown='skip' to leave them out",
                    option="give --unknown skip to leave them out",
                ),
            )
        _log.warning(
            "W-ITEMS-SKIPPED %s unknown in %s, left out: %r, ...", f"{n_missing:,}", name, missing
        )
    return np.array([item for item in found if item is not None], dtype=np.uint32)


def _read(block: HistoryBlock) -> str:
    n_histories = block.first + len(block.ids)
    so_far = " read so far" if len(block.ids) == BLOCK_ROWS else ""
    return f"{n_histories:,} histories{so_far}"


def _shown(names: Sequence[str], n: int) -> str:
    """The first few histories by name, and how many follow."""
    return (
        ", ".join(names) if n <= len(names) else f"{', '.join(names)} and {n - len(names):,} more"
    )
