"""Ids and titles of answers to items of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.keys import check_share
from dllm2rec.teacher.answers.lists import AnsweredList, Key, Place
from dllm2rec.teacher.grounding.title_index import Grounded, TitleIndex
from dllm2rec.teacher.grounding.title_report import TitleReport, title_report

_SAMPLE = 2000  # values that are looked at to tell ids from titles


class Resolver:
    """What a file's values stand for in a dataset."""

    def __init__(
        self,
        path: Path,
        dataset: SequenceDataset,
        columns: AnswerColumns,
        lists_of: str,
        lists: Sequence[AnsweredList],
    ) -> None:
        self._path = path
        self._dataset = dataset
        self._places = [place for answered in lists for place in answered.places if place.text]
        self._ids = dataset.catalogue.find_all(place.text for place in self._places)
        self._by_title = self._are_titles(columns, lists_of)
        self._n_repeats = 0
        histories = [value for one in lists for value in one.history or ()]
        self._history_by_title = bool(histories) and self._titles_are_more(histories)

    def check_known(self, min_known: float) -> None:
        """Refuse a file whose titles or ids are mostly another catalogue's.

        Raises:
            InputError: they are.
        """
        lost = [place for place in self._places if self._item(place) is None]
        n_all = len(self._places)
        what = "titles" if self._by_title else "item ids"
        lacks = (lost[0].text, lost[0].line) if lost else ("", None)
        check_share(self._path, what, n_all - len(lost), n_all, min_known, lacks=lacks)

    def items(self, answered: AnsweredList) -> list[tuple[int, float | None]]:
        """A list's items with their distances, best first, each once."""
        found: dict[int, float | None] = {}
        for place in answered.places:
            item = self._item(place) if place.text else None
            if item is None:
                continue
            self._n_repeats += item in found
            found.setdefault(item, place.distance)
        return list(found.items())

    def history(self, values: Key) -> tuple[npt.NDArray[np.int32], list[str]]:
        """The items of a history, and those of its values that are none."""
        if self._history_by_title:
            found = [self._index.ground(value) for value in values]
            items = [one.item if one.is_match else None for one in found]
        else:
            items = self._dataset.catalogue.find_all(values)
        known = [item for item in items if item is not None]
        unknown = [value for value, item in zip(values, items, strict=True) if item is None]
        return np.array(known, np.int32), unknown

    def report(self) -> TitleReport | None:
        """What became of the titles, or None where the lists hold ids."""
        if not self._by_title:
            return None
        found = [self._ground(place) for place in self._places]
        return title_report((place.text for place in self._places), found, self._dataset.catalogue)

    def notes(self) -> list[str]:
        """What a reader of results should know."""
        notes = []
        n_all = len(self._places)
        report = self.report()
        if report is not None:
            counts, distinct = report.counts(), report.distinct()
            said = ", ".join(f"{n:,} {how}" for how, n in counts.items())
            notes.append(f"of {n_all:,} titles {said}")
            n_lost = counts["doubtful"] + counts["unmatched"]
            if n_lost:
                notes.append(
                    f"W-TITLES-UNMATCHED {self._path}: {n_lost:,} of {n_all:,} titles "
                    f"({distinct['doubtful'] + distinct['unmatched']:,} distinct ones) are no "
                    f"item for certain and are left out, {_some(report)}"
                )
        else:
            lost = [place.text for place, item in zip(self._places, self._ids, strict=True)
                    if item is None and place.text != "-1"]  # fmt: skip
            if lost:
                notes.append(
                    f"W-LISTS-UNKNOWN {self._path}: {len(lost):,} of {n_all:,} item ids are not in "
                    f"the catalogue, such as {lost[0][:60]!a}: they are left out"
                )
        if self._n_repeats:
            notes.append(
                f"{self._n_repeats:,} of {n_all:,} places repeat an item of their list: its first "
                "place counts"
            )
        return notes

    @cached_property
    def _index(self) -> TitleIndex:
        titles = self._dataset.catalogue.titles
        if titles is None:
            raise InputError(
                f"titles, but the dataset {self._dataset.name!r} has none, expected item ids",
                code="E-TITLES",
                path=self._path,
                hint="prepare the dataset with titles, or write the items' ids",
            )
        return TitleIndex(titles, self._dataset.target_counts())

    def _are_titles(self, columns: AnswerColumns, lists_of: str) -> bool:
        if lists_of != "auto":
            return lists_of == "titles"
        if columns.titles is not None:
            has_ids = any(item is not None for item in self._ids)
            return self._dataset.catalogue.titles is not None or not has_ids
        if columns.ids is not None and any(item is not None for item in self._ids):
            return False
        return self._titles_are_more([place.text for place in self._places])

    def _titles_are_more(self, values: Sequence[str]) -> bool:
        """Whether more values are titles than ids, by a part of them."""
        if self._dataset.catalogue.titles is None:
            return False
        some = values[:: max(1, len(values) // _SAMPLE)]
        n_ids = sum(item is not None for item in self._dataset.catalogue.find_all(some))
        if 2 * n_ids > len(some):
            return False
        return sum(self._index.ground(value).is_match for value in some) > n_ids

    def _item(self, place: Place) -> int | None:
        if not self._by_title:
            return self._known_id(place.text)
        found = self._ground(place)
        return found.item if found.is_match else None

    def _ground(self, place: Place) -> Grounded:
        return self._index.ground(place.text, self._known_id(place.beside))

    def _known_id(self, item_id: str) -> int | None:
        (item,) = self._dataset.catalogue.find_all([item_id])
        return item


def _some(report: TitleReport) -> str:
    lines: Iterable[str] = (
        f"{line.title.strip()!a}" for line in report.of("unmatched", "doubtful")
    )
    return f"such as {', '.join(list(lines)[:3])}"
