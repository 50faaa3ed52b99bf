"""A teacher from a file of what a language model answered."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import words
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.teacher.answers.columns import AnswerColumns, find_columns
from dllm2rec.teacher.answers.fit import permuted_notes
from dllm2rec.teacher.answers.keys import check_row, check_share, check_window, user_states
from dllm2rec.teacher.answers.lists import AnsweredList, read_lists
from dllm2rec.teacher.answers.records import open_answers
from dllm2rec.teacher.answers.resolve import Resolver
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.grounding.title_report import TitleReport
from dllm2rec.teacher.knowledge import TeacherKnowledge, check_teacher, observations
from dllm2rec.teacher.leak import leak_notes

ListsOf = Literal["auto", "titles", "ids"]
MIXED_SHARE = 0.05  # of the lists; some model always has a bad day
_MIXED_PLACES = 5  # a shorter list may hold nothing known by chance


@dataclass(frozen=True)
class AnswerOptions:
    """How a file of answers is to be read.

    Attributes:
        columns: columns that are called otherwise than is usual.
        lists_of: what the lists hold where both or neither can be told: titles, or ids.
        min_known: share of users, of ids and of titles that the dataset must know; below it the
            file is another dataset's and is refused.
        first_row: number of the first train row in the file, 0 or 1.
    """

    columns: AnswerColumns = field(default_factory=AnswerColumns)
    lists_of: ListsOf = "auto"
    min_known: float = 0.3
    first_row: int = 0

    def __post_init__(self) -> None:
        if self.lists_of not in ("auto", "titles", "ids"):
            raise ConfigError(f"lists_of {self.lists_of!r}, expected auto, titles or ids")
        if not 0 <= self.min_known <= 1:
            raise ConfigError(f"min_known {self.min_known}, expected 0 to 1")
        if self.first_row not in (0, 1):
            raise ConfigError(f"first_row {self.first_row}, expected 0 or 1")


@dataclass(frozen=True, eq=False)
class ImportedAnswers:
    """A teacher, and what became of the file's titles.

    Attributes:
        knowledge: lists for train rows, or for histories of their own.
        titles: each title and what it was taken for; None where the lists hold ids.
    """

    knowledge: TeacherKnowledge
    titles: TitleReport | None


@dataclass(frozen=True, eq=False)
class ReadAnswers:
    """A file of answers before its titles are brought to items.

    Attributes:
        path: where it is.
        columns: what is read of it.
        options: how it was read.
        lists: as they stand in it.
        notes: what a reader should know of the file itself.
    """

    path: Path
    columns: AnswerColumns
    options: AnswerOptions
    lists: list[AnsweredList]
    notes: list[str]


def import_answers(
    path: str | os.PathLike[str],
    dataset: SequenceDataset,
    *,
    options: AnswerOptions | None = None,
) -> ImportedAnswers:
    """Read ranked lists of a language model, by row, by user, or with their histories.

    The file is JSON lines, CSV, TSV, Parquet, a TREC run or the results of an OpenAI batch; a list
    stands in one cell, or a line an item with its rank. Titles are brought to items; what is not
    matched leaves its list, which goes on with the next. An item twice in a list keeps its first
    place.

    Raises:
        InputError: the file is broken, is another dataset's, or does not say whose its lists are.
        ConfigError: an option names a column that is not there.
        ArtifactError: a Parquet file is corrupt.
    """
    answers = read_answers(path, dataset, options or AnswerOptions())
    lists_of = answers.options.lists_of
    resolver = Resolver(answers.path, dataset, answers.columns, lists_of, answers.lists)
    resolver.check_known(answers.options.min_known)
    return ImportedAnswers(teacher_of_answers(answers, dataset, resolver), resolver.report())


def read_answers(
    path: str | os.PathLike[str], dataset: SequenceDataset, options: AnswerOptions
) -> ReadAnswers:
    """Read the lists of a file, as `import_answers` does."""
    file = open_answers(Path(path))
    columns = find_columns(file, options.columns)
    no_titles = options.lists_of == "ids" or dataset.catalogue.titles is None
    if no_titles and columns.ids is not None:
        columns = replace(columns, titles=None)
    is_id = frozenset(dataset.catalogue.item_ids).__contains__
    wanted = [name for name in vars(columns).values() if name is not None]
    lists = read_lists(file.path, file.records(wanted), columns, is_id)
    notes = file.notes()
    if not lists:
        told = f"; {notes[0].partition(': ')[2]}" if notes else ""
        raise InputError(f"no lists, expected some{told}", code="E-EMPTY", path=file.path)
    return ReadAnswers(file.path, columns, options, lists, notes)


def teacher_of_answers(
    answers: ReadAnswers, dataset: SequenceDataset, resolver: Resolver
) -> TeacherKnowledge:
    """Make a teacher of lists, whose items `resolver` tells."""
    builder = _Builder(answers.path, dataset, resolver, answers.options)
    by_row = answers.columns.row is not None
    knowledge = builder.by_row(answers.lists) if by_row else builder.by_history(answers.lists)
    check_teacher(knowledge, dataset)
    seen = [*observations(knowledge, dataset), *leak_notes(knowledge, dataset)]
    notes = [*answers.notes, *knowledge.notes, *seen]
    return replace(knowledge, notes=notes, folder=answers.path.resolve())


class _Builder:
    """Lists to arrays."""

    def __init__(
        self, path: Path, dataset: SequenceDataset, resolver: Resolver, options: AnswerOptions
    ) -> None:
        self._path = path
        self._dataset = dataset
        self._resolver = resolver
        self._options = options
        self._notes: list[str] = []

    def by_row(self, lists: list[AnsweredList]) -> TeacherKnowledge:
        """Lists of train rows; rows without one have none."""
        for answered in lists:
            if answered.row is not None:
                answered.row -= self._options.first_row
                if answered.row < 0:
                    self._first_row_is_zero(answered)
            check_row(self._path, self._dataset, answered)
            if answered.history:
                history, unknown = self._resolver.history(answered.history)
                if not unknown:
                    check_window(self._path, self._dataset, answered, history)
        items, distances = self._arrays(lists)
        n_rows, n_items = len(self._dataset.train), self._dataset.n_items
        rows = np.array([answered.row for answered in lists], np.int64)
        ranking = np.full((n_rows, items.shape[1]), n_items, np.uint32)
        ranking[rows] = np.where(items < 0, n_items, items).astype(np.uint32)
        distance = None
        if distances is not None:
            distance = np.zeros(ranking.shape, np.float32)
            distance[rows] = distances
        self._notes.append(f"{len(lists):,} of {n_rows:,} train rows have a list")
        said = self._said(lists, items)
        return TeacherKnowledge(ranking=ranking, distance=distance, short_lists=True, notes=said)

    def by_history(self, lists: list[AnsweredList]) -> TeacherKnowledge:
        """Lists of histories: those in the file, else the users' states after train."""
        is_spelt = lists[0].history is not None
        asked = self._spelt_out(lists) if is_spelt else self._of_users(lists)
        kept = [(one, history) for one, history in zip(lists, asked, strict=True) if len(history)]
        if not kept:
            raise InputError(
                "no list is for a history of this dataset, expected some",
                code="E-FOREIGN",
                path=self._path,
                hint="is it the dataset that the model was asked about?",
            )
        lists, asked = [one for one, _ in kept], [history for _, history in kept]
        items, distances = self._arrays(lists)
        offsets = np.cumsum([0, *map(len, asked)], dtype=np.int64)
        self._notes += permuted_notes(asked, [row[row >= 0] for row in items])
        histories = AskedHistories(offsets, np.concatenate(asked), items, distances)
        return TeacherKnowledge(histories=histories, notes=self._said(lists, items))

    def _of_users(self, lists: list[AnsweredList]) -> list[npt.NDArray[np.int32]]:
        states = user_states(self._path, self._dataset)
        numbers = [states.index.get(answered.user or "") for answered in lists]
        lost = [one for one, number in zip(lists, numbers, strict=True) if number is None]
        unknown = [answered.user or "" for answered in lost]
        lacks = (unknown[0], lost[0].line) if lost else ("", None)
        n_all, least = len(lists), self._options.min_known
        check_share(self._path, "users", n_all - len(lost), n_all, least, lacks=lacks)
        if unknown:
            self._notes.append(
                f"W-LISTS-UNKNOWN {self._path}: {len(unknown):,} of {len(lists):,} users are not "
                f"in the dataset, such as {unknown[0]!a}: their lists are left out"
            )
        none = np.empty(0, np.int32)
        asked = [
            none if number is None else states.history(self._dataset, number) for number in numbers
        ]
        n_new = sum(not len(one) for one in asked) - len(unknown)
        if n_new:
            self._notes.append(f"{n_new:,} users have no train event: their lists are left out")
        return asked

    def _spelt_out(self, lists: list[AnsweredList]) -> list[npt.NDArray[np.int32]]:
        asked, n_missing, n_empty = [], 0, 0
        lacks: tuple[str, int | None] = ("", None)
        for answered in lists:
            history, unknown = self._resolver.history(answered.history or ())
            if unknown and not n_missing:
                lacks = (unknown[0], answered.line)
            n_missing += len(unknown)
            n_empty += not len(history)
            asked.append(history)
        n_all, least = sum(map(len, asked)) + n_missing, self._options.min_known
        what = "items of histories"
        check_share(self._path, what, n_all - n_missing, n_all, least, lacks=lacks)
        if n_missing:
            self._notes.append(
                f"W-LISTS-UNKNOWN {self._path}: {n_missing:,} of {n_all:,} items of histories are "
                f"not in the dataset and are left out; {n_empty:,} lists go with them"
            )
        return asked

    def _arrays(
        self, lists: Sequence[AnsweredList]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32] | None]:
        """The items of each list, -1 behind its end, and their distances where all have them."""
        found = [self._resolver.items(answered) for answered in lists]
        width = max(1, *(len(one) for one in found)) if found else 1
        items = np.full((len(lists), width), -1, np.int32)
        distances = np.zeros((len(lists), width), np.float32)
        for row, one in enumerate(found):
            items[row, : len(one)] = [item for item, _ in one]
            distances[row, : len(one)] = [d if d is not None else 0 for _, d in one]
        have = [d is not None for one in found for _, d in one]
        return items, distances if have and all(have) else None

    def _said(self, lists: Sequence[AnsweredList], items: npt.NDArray[np.int32]) -> list[str]:
        n_left = (items >= 0).sum(axis=1)
        n_places = np.array([len(answered.places) for answered in lists])
        sizes = f"{n_left.mean():.1f} items on average, {n_places.mean():.1f} in the file"
        notes = [
            f"{len(lists):,} lists of {sizes}",
            *self._notes,
            *self._resolver.notes(),
        ]
        lost = int(((n_left == 0) & (n_places >= _MIXED_PLACES)).sum())
        if lost > MIXED_SHARE * len(lists):
            notes.append(
                f"W-LISTS-MIXED {self._path}: in {lost:,} of {len(lists):,} lists nothing is of "
                "the catalogue: check that the file is not mixed of several datasets' answers"
            )
        usual, n_usual = Counter(n_places.tolist()).most_common(1)[0]
        if len(lists) > 1 and n_usual >= len(lists) - 1 and n_places[-1] < usual:
            notes.append(
                f"W-LISTS-CUT {self._path}: the last list has {n_places[-1]} places, all others "
                f"{usual}: check that the file is not cut"
            )
        return notes

    def _first_row_is_zero(self, answered: AnsweredList) -> None:
        raise InputError(
            "row 0, expected rows from 1 on, as it was said",
            code="E-ROWS",
            path=self._path,
            line=answered.line,
            hint=f"leave out {words(python='first_row=1', option='--first-row 1')}",
        )
