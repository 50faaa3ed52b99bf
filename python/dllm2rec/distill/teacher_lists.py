"""The teacher's lists as the losses take them: K items per row, with weights or probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.caller import words
from dllm2rec.config.model import DistillationConfig
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.distill.losses import soft_target_probabilities, window_keep
from dllm2rec.distill.weights import (
    blend_distances,
    blend_weights,
    position_weight,
    sequence_confidence,
)
from dllm2rec.errors import InputError
from dllm2rec.teacher.knowledge import TeacherKnowledge

# Rows are prepared in blocks so that a long log does not hold several copies of its lists.
BLOCK_ROWS = 65_536
# Place r of a list without distances counts as this times log r: what the distances of a language
# model's lists come to on average (games, MovieLens). With the temperature 0.05: r^-0.7.
RANK_DISTANCE = 0.035


# What the number of each place of a list is: the part of its importance weight that depends on the
# teacher alone, by the paper's confidence or by that of the authors' code; or its probability,
# every row summing to 1, or to 0 where no item is left.
Meaning = Literal["weight", "authors' weight", "probability"]


@dataclass(frozen=True, eq=False)
class TeacherLists:
    """K items for each of R rows, with one number for each place.

    Attributes:
        items: (R, K), int32; an empty place holds item 0 and has weight and probability 0.
        values: what `meaning` says of each place, (R, K), float32. Read it by that name.
        kept: 1 where a place holds an item, else 0, (R, K), float32.
        meaning: what `values` holds.
    """

    items: Tensor
    values: Tensor
    kept: Tensor
    meaning: Meaning

    @property
    def weight(self) -> Tensor:
        """The part of the importance weights that depends on the teacher alone, (R, K)."""
        return self._values_as("weight", "authors' weight")

    @property
    def probability(self) -> Tensor:
        """The probability of each place, (R, K), every row summing to 1 or to 0."""
        return self._values_as("probability")

    def items_or(self, nothing: int) -> Tensor:
        """The items, (R, K), int32, with another number at the places without one."""
        return self.items.masked_fill(self.kept == 0, nothing)

    def _values_as(self, *meanings: Meaning) -> Tensor:
        if self.meaning not in meanings:
            raise TypeError(f"lists with a {self.meaning} of each place, asked for a {meanings[0]}")
        return self.values

    def of_rows(self, rows: Tensor) -> TeacherLists:
        """The lists of some rows, with int64 items for indexing."""
        chosen = self.take(rows)
        return replace(chosen, items=chosen.items.long())

    def take(self, rows: Tensor) -> TeacherLists:
        """The lists of some rows, given by their numbers or by a mask."""
        return self._with(part[rows] for part in self._parts())

    def followed_by(self, other: TeacherLists) -> TeacherLists:
        """These lists and then the others, of the same meaning and K."""
        parts = zip(self._parts(), other._parts(), strict=True)
        return self._with(torch.cat(pair) for pair in parts)

    def followed_by_empty(self, n_rows: int) -> TeacherLists:
        """These lists and then `n_rows` rows without an item."""
        return self.followed_by(empty_lists(n_rows, self.items.shape[1], self.meaning))

    def to(self, device: torch.device) -> TeacherLists:
        """The same lists on another device."""
        return self._with(part.to(device) for part in self._parts())

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.items, self.values, self.kept

    def _with(self, parts: Iterable[Tensor]) -> TeacherLists:
        items, values, kept = parts
        return TeacherLists(items, values, kept, self.meaning)


def empty_lists(n_rows: int, top_k: int, meaning: Meaning) -> TeacherLists:
    """Lists without an item."""
    none = torch.zeros(n_rows, top_k)
    return TeacherLists(none.int(), none, none.clone(), meaning)


def teacher_lists(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    config: DistillationConfig,
    meaning: Meaning,
    counted: npt.NDArray[np.bool_] | None = None,
) -> TeacherLists | None:
    """Prepare the lists of every train row, or None where the ranking weight is zero.

    `meaning` says what is prepared of each place. For the authors' every place must hold an item.
    Where only some items count in the softmax, `counted` (N,), the others leave the lists too: a
    soft target outside the sum would be pulled up without end.

    Raises:
        InputError: there is no teacher, it has no lists or shorter ones than `top_k`, or the
            distances to the true next items are missing where the weights need them.
    """
    if config.ranking_weight == 0:
        return None
    if teacher is None:
        given = words(python="a teacher", option="--teacher")
        raise InputError(
            "ranking distillation without a teacher, expected its lists",
            hint=f"give {given}, or set distillation.ranking_weight = 0",
        )
    for fault in list_faults(dataset.n_items, teacher, config, meaning):
        raise fault
    if teacher.ranking is None:  # all its lists are for histories of its own
        return empty_lists(len(dataset.train), config.top_k, meaning)
    ranking, distance = teacher.ranking, teacher.distance
    if teacher.top_n < config.top_k:  # what may not be short was refused
        lacking = ((0, 0), (0, config.top_k - teacher.top_n))
        ranking = np.pad(ranking, lacking, constant_values=dataset.n_items)
        distance = None if distance is None else np.pad(distance, lacking)
        teacher = replace(teacher, ranking=ranking, distance=distance)
    kept = _kept(dataset, ranking, config)
    if counted is not None:
        kept &= np.append(counted, False)[np.minimum(ranking, dataset.n_items)]
    columns = _first_kept(kept, config.top_k)
    items = np.take_along_axis(ranking, columns, axis=1)
    kept = np.take_along_axis(kept, columns, axis=1)
    return TeacherLists(
        items=torch.from_numpy(np.where(kept, items, 0).astype(np.int32)),
        values=_values(teacher, columns, kept, config, meaning).float(),
        kept=torch.from_numpy(kept).float(),
        meaning=meaning,
    )


def list_faults(
    n_items: int, teacher: TeacherKnowledge, config: DistillationConfig, meaning: Meaning
) -> Iterator[InputError]:
    """Say all that a teacher's lists lack for what is asked of them."""
    if not teacher.has_lists:
        yield InputError(
            "ranking distillation with a teacher of vectors alone, expected lists",
            hint="add lists, or set distillation.ranking_weight = 0",
        )
        return
    if meaning == "authors' weight" and teacher.histories is not None:
        yield InputError(
            f"the teacher has lists for {len(teacher.histories):,} histories of its own, expected "
            'lists for train rows alone with variant = "authors": its losses need a target',
            hint="train with the recipe paper or strong, or set distillation.ranking_weight = 0",
        )
    top_n = teacher.top_n
    if teacher.ranking is not None and top_n < config.top_k and not teacher.short_lists:
        yield InputError(
            f"the teacher lists {top_n} items per row, expected at least distillation.top_k = "
            f"{config.top_k}",
            code="E-RANK-COLS",
            hint=f"set distillation.top_k = {top_n} or export longer lists",
        )
    if meaning == "weight" and config.confidence_gamma > 0 and teacher.target_distance is None:
        yield InputError(
            "the teacher has no distances to the true next items, expected them for the paper's "
            "confidence weight",
            hint="add target_distance_train.txt, or set distillation.confidence_gamma = 0",
        )
    is_wide = top_n >= config.top_k or teacher.short_lists
    if meaning == "authors' weight" and teacher.ranking is not None and is_wide:
        short = (teacher.ranking < n_items).sum(axis=1) < config.top_k
        if short.any():
            yield InputError(
                f"the teacher's list of train row {int(short.argmax())} has places without an "
                f'item, expected {config.top_k} items per row with variant = "authors"',
                hint="export longer lists, or lower distillation.top_k",
            )


def _values(
    teacher: TeacherKnowledge,
    columns: npt.NDArray[np.int64],
    kept: npt.NDArray[np.bool_],
    config: DistillationConfig,
    meaning: Meaning,
) -> Tensor:
    """The number of each place that is left, (R, K)."""
    if meaning == "weight":
        confidence = _sequence_confidence(teacher, config)
        return torch.from_numpy(_static_weight(confidence, columns, config) * kept)
    if meaning == "probability":
        return _probabilities(teacher, columns, kept, config.confidence_temperature)
    gammas = (config.position_gamma, config.confidence_gamma, 0.0)
    if gammas == (0.0, 0.0, 0.0):
        return torch.zeros(columns.shape)
    position = position_weight(config.top_k, config.position_temperature)
    return torch.from_numpy(blend_distances(position, _distance(teacher, columns), gammas))


def _kept(
    dataset: SequenceDataset, ranking: npt.NDArray[np.uint32], config: DistillationConfig
) -> npt.NDArray[np.bool_]:
    """Where a list may be used, (R, top_n): where it holds an item, and one outside the window."""
    kept = ranking < dataset.n_items  # the padding index marks a place without an item
    if not config.drop_window_items:
        return kept
    sequences = dataset.windows(dataset.train).sequences
    for begin in range(0, len(kept), BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        lists, windows = (
            torch.from_numpy(part[block].view(np.int32)) for part in (ranking, sequences)
        )
        kept[block] &= window_keep(lists, windows).numpy()
    return kept


def _first_kept(kept: npt.NDArray[np.bool_], top_k: int) -> npt.NDArray[np.int64]:
    """The columns of each row's first K kept places, best first, then dropped ones, (R, K)."""
    return np.argsort(~kept, axis=1, kind="stable")[:, :top_k]


def _probabilities(
    teacher: TeacherKnowledge,
    columns: npt.NDArray[np.int64],
    kept: npt.NDArray[np.bool_],
    temperature: float,
) -> Tensor:
    distance = _distance(teacher, columns).astype(np.float64)
    return soft_target_probabilities(
        torch.from_numpy(distance), torch.from_numpy(kept), temperature
    )


def _distance(teacher: TeacherKnowledge, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The distances at some places of each list, (R, K); by rank where there are none."""
    if teacher.distance is None:
        return (RANK_DISTANCE * np.log1p(columns)).astype(np.float32)
    return np.take_along_axis(teacher.distance, columns, axis=1)


def _sequence_confidence(
    teacher: TeacherKnowledge, config: DistillationConfig
) -> npt.NDArray[np.float32]:
    """The paper's confidence, one number per row, (R,)."""
    if config.confidence_gamma == 0:
        n_rows = 0 if teacher.ranking is None else len(teacher.ranking)
        return np.zeros(n_rows, dtype=np.float32)
    assert teacher.target_distance is not None  # noqa: S101 - for mypy: list_faults said so
    return sequence_confidence(teacher.target_distance, config.confidence_temperature, config.top_k)


def _static_weight(
    confidence: npt.NDArray[np.float32],
    columns: npt.NDArray[np.int64],
    config: DistillationConfig,
) -> npt.NDArray[np.float32]:
    """gamma_p w^p + gamma_c w^c, (R, K); the consistency weight follows in each step."""
    gammas = (config.position_gamma, config.confidence_gamma, 0.0)
    if gammas == (0.0, 0.0, 0.0):
        return np.zeros(columns.shape, dtype=np.float32)
    position = position_weight(config.top_k, config.position_temperature)
    return blend_weights(position, confidence, None, gammas, normalise=False)
