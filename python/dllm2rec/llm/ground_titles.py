"""Titles that a model wrote freely to lists of what is like them: BIGRec's grounding.

Each generated title is encoded as the items' titles are; a list holds the items whose vectors are
nearest to it (L2 between vectors of length 1), with their distances. So a title that no item has
still says what was meant, and how sure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.llm.encode import encode_titles, item_titles
from dllm2rec.teacher.answers.columns import AnswerColumns
from dllm2rec.teacher.answers.import_answers import (
    AnswerOptions,
    read_answers,
    teacher_of_answers,
)
from dllm2rec.teacher.answers.lists import AnsweredList
from dllm2rec.teacher.answers.resolve import Resolver
from dllm2rec.teacher.grounding.title_report import TitleReport
from dllm2rec.teacher.knowledge import TeacherKnowledge

FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GroundForm:
    """How titles are grounded.

    Attributes:
        model: the sentence encoder: a folder, or a name of the Hugging Face hub.
        top: items per list.
        device: where the encoder runs, as torch names it.
        batch_size: titles a step of the encoder.
    """

    model: str
    top: int = 20
    device: str = "cpu"
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name in ("top", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}, expected at least 1")


def ground_titles(
    path: str | os.PathLike[str],
    dataset: SequenceDataset,
    form: GroundForm,
    *,
    options: AnswerOptions | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> TeacherKnowledge:
    """Make a teacher of a file with a generated title for each row, user or history.

    Of a list of titles the first counts. Where every train row has one, the distances to the true
    next items come along, as the paper's confidence weight needs them.

    Args:
        path: answers, as `import_answers` reads them.
        dataset: with titles.
        form: how.
        options: of the file.
        report: told what is encoded, how many of it, and of how many.

    Raises:
        InputError: the file is broken or is another dataset's, or the dataset has no titles.
        ConfigError: sentence-transformers is not installed, or the model cannot be loaded.
    """
    titles, answers = item_titles(dataset), read_answers(path, dataset, options or AnswerOptions())
    written = [_first_title(one) for one in answers.lists]
    if not any(written):
        raise InputError("no titles, expected some", code="E-EMPTY", path=answers.path)
    tables = [
        encode_titles(
            texts, form.model, device=form.device, batch_size=form.batch_size,
            report=_told(report, what),
        )
        for what, texts in (("items encoded", titles), ("answers encoded", written))
    ]  # fmt: skip
    items, told = tables
    top = min(form.top, int(np.any(items, axis=1).sum()))
    ids, distances = nearest(told, items, top)
    resolver = _Nearest(answers.lists, written, dataset, (ids, distances))
    knowledge = teacher_of_answers(answers, dataset, resolver)
    note = f"the first title of each list was grounded by {form.model}: the {top} nearest items"
    return replace(
        knowledge,
        item_embeddings=items,
        target_distance=_target_distance(answers.lists, told, items, dataset),
        notes=[note, *knowledge.notes],
    )


def nearest(
    vectors: FloatMatrix, items: FloatMatrix, top: int
) -> tuple[npt.NDArray[np.uint32], FloatMatrix]:
    """List the nearest items by L2 between vectors of length 1, sqrt(2 - 2 cos).

    Args:
        vectors: (B, E).
        items: (N, E); those of zeros have no title, and are not listed.
        top: at most the number of the others.

    Returns:
        Items and distances, nearest first, (B, top).
    """
    bias = np.where(np.any(items, axis=1), np.float32(0), np.float32(-np.inf))
    found, cosines = fused_top_n(vectors, items, top, bias=bias)
    return found, _distance(cosines)


def _distance(cosines: FloatMatrix) -> FloatMatrix:
    distances: FloatMatrix = np.sqrt(np.maximum(2 - 2 * cosines, 0)).astype(np.float32)
    return distances


def _first_title(answered: AnsweredList) -> str:
    return next((place.text for place in answered.places if place.text), "")


def _told(
    report: Callable[[str, int, int], None] | None, what: str
) -> Callable[[int, int], None] | None:
    return None if report is None else lambda done, total: report(what, done, total)


def _target_distance(
    lists: Sequence[AnsweredList],
    told: FloatMatrix,
    items: FloatMatrix,
    dataset: SequenceDataset,
) -> FloatMatrix | None:
    """The distance of each row's title to its true next item; None unless all rows have both."""
    rows = [one.row for one in lists]
    targets = dataset.targets(dataset.train)
    if None in rows or len(rows) != len(targets):
        return None
    if not (np.any(told, axis=1).all() and np.any(items[targets], axis=1).all()):
        return None
    of_row = np.empty_like(told)
    of_row[np.array(rows, np.int64)] = told
    return _distance(np.einsum("re,re->r", of_row, items[targets]))


class _Nearest(Resolver):
    """What each list's title is near to."""

    def __init__(
        self,
        lists: Sequence[AnsweredList],
        written: Sequence[str],
        dataset: SequenceDataset,
        found: tuple[npt.NDArray[np.uint32], FloatMatrix],
    ) -> None:
        super().__init__(Path(dataset.name), dataset, AnswerColumns(), "titles", lists)
        self._place = {id(one): n for n, one in enumerate(lists) if written[n]}
        self._found = found

    def items(self, answered: AnsweredList) -> list[tuple[int, float | None]]:
        """The nearest items with their distances."""
        place = self._place.get(id(answered))
        if place is None:
            return []
        return [*zip(*(part[place].tolist() for part in self._found), strict=True)]

    def report(self) -> TitleReport | None:
        """Nothing is matched or lost."""
        return None

    def notes(self) -> list[str]:
        """Nothing."""
        return []
