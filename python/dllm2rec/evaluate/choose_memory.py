"""The form and weight of a student's pair memory, chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.data.prefixes import prefix_rows
from dllm2rec.evaluate.evaluate_split import (
    BLOCK_ROWS,
    EncodedBlock,
    SplitLists,
    encode_block,
    evaluating,
)
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.students import Student
from dllm2rec.students.memory.device_memory import memory_on
from dllm2rec.students.memory.pair_memory import (
    MemoryForm,
    PairCounts,
    PairMemory,
    count_pairs,
    make_memory,
    with_titles,
)
from dllm2rec.students.memory.similar_titles import similar_titles
from dllm2rec.tracking.metric_names import SELECTION, SELECTION_K

# Each field is varied by itself, in this order, the others as chosen so far.
GRID: Mapping[str, tuple[float, ...]] = {
    "title_weight": (1.0, 2.0, 4.0),  # where titles were compared
    "age_decay": (0.3, 0.5, 0.7),
    "power": (0.25, 0.5, 0.75),
    "scale": (0.03, 0.1, 0.3),
    "count_decay": (0.5, 0.85),
}
COUNT_DECAYS = GRID["count_decay"]
FIRST_WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
STEP = 1.5  # between weights that are neighbours, once the first is found
MOST_STEPS = 6
# Rows x items that are ranked for each trial: all validation rows of the catalogues of papers.
MOST_SCORES = 1 << 29
FEWEST_ROWS = 2048
LEAST_GAIN = 1.005  # a memory that adds less than this is left out: it costs bytes and time


def count_train_pairs(dataset: SequenceDataset) -> dict[float, PairCounts]:
    """Count the pairs of the train rows and their prefix rows, with each decay of the grid.

    Pairs of items with similar titles stand beside those that were counted.
    """
    rows = dataset.train.followed_by(prefix_rows(dataset))
    windows = dataset.windows(rows)
    arrays = windows.sequences, windows.lengths, windows.targets
    counts = {decay: count_pairs(arrays, dataset.n_items, decay) for decay in COUNT_DECAYS}
    titles = dataset.catalogue.titles
    if titles is None or not any(titles):
        return counts
    similar = similar_titles(titles)
    return {decay: with_titles(one, similar) for decay, one in counts.items()}


@torch.no_grad()
def choose_memory(
    student: Student, validation: DeviceRows, counts: Mapping[float, PairCounts], *, seen: bool
) -> PairMemory | None:
    """Return the memory that helps a student most on validation rows; None where none does.

    Args:
        student: on the device of the rows.
        validation: the rows to choose by; of a large catalogue evenly spaced ones.
        counts: what `count_train_pairs` gave.
        seen: whether the items of each row's history are no candidates.
    """
    n_rows = max(FEWEST_ROWS, MOST_SCORES // student.n_items)
    rows = torch.arange(len(validation))[:: -(-len(validation) // n_rows)]
    lists = SplitLists(validation, exclude_seen=seen)
    with evaluating(student):
        table = student.item_table()
        blocks = [
            encode_block(student, table, lists, number, [block])
            for number, block in enumerate(torch.split(rows, BLOCK_ROWS))
        ]
        alone = _quality([block.counts(None) for block in blocks])
        search = _Search(blocks, counts)
        best = search.along_weights(MemoryForm(), FIRST_WEIGHTS)
        for field, values in GRID.items():
            if field == "title_weight" and search.has_no_titles:
                continue
            for value in values:
                form = replace(best.form, **{field: value})
                if form != best.form:
                    best = max(best, search.near(form), key=lambda trial: trial.quality)
        best = search.climb(best, "title_weight")
        best = search.climb(best, "weight")
    if best.quality <= LEAST_GAIN * alone:
        return None
    return make_memory(counts[best.form.count_decay], best.form)


@dataclass(frozen=True)
class _Trial:
    form: MemoryForm
    quality: float


class _Search:
    """Tries forms and weights: a block's bonuses are made once for all weights, and let go of."""

    def __init__(self, blocks: Sequence[EncodedBlock], counts: Mapping[float, PairCounts]) -> None:
        self._blocks = blocks
        self._counts = counts

    @property
    def has_no_titles(self) -> bool:
        """Whether titles were not compared: their weight is 0."""
        return any(one.cosines is None for one in self._counts.values())

    def near(self, form: MemoryForm) -> _Trial:
        """The best of a form with its weight and the two beside it."""
        return self.along_weights(form, (form.weight / STEP, form.weight, form.weight * STEP))

    def climb(self, best: _Trial, field: str) -> _Trial:
        """Follow a number of the form in steps for as long as it gets better: no edge is chosen."""
        for factor in (STEP, 1 / STEP):
            for _ in range(MOST_STEPS):
                value = getattr(best.form, field) * factor
                form = replace(best.form, **{field: value})
                if form == best.form:
                    break  # 0 stays 0
                trial = self.along_weights(form, (form.weight,))
                if trial.quality <= best.quality:
                    break
                best = trial
        return best

    def along_weights(self, form: MemoryForm, weights: Sequence[float]) -> _Trial:
        """The best of some weights, of equal ones the first."""
        made = make_memory(self._counts[form.count_decay], replace(form, weight=1.0))
        memory = memory_on(self._blocks[0].users.device, made)
        counts: list[list[RankCounts]] = [[] for _ in weights]
        for block in self._blocks:
            bonuses = block.bonuses(memory)
            for of_weight, weight in zip(counts, weights, strict=True):
                of_weight.append(block.counts(bonuses.scaled(weight)))
        qualities = map(_quality, counts)
        trials = [
            _Trial(replace(form, weight=weight), quality)
            for weight, quality in zip(weights, qualities, strict=True)
        ]
        return max(trials, key=lambda trial: trial.quality)


def _quality(counts: Sequence[RankCounts]) -> float:
    """The validation metric of all blocks."""
    greater = np.concatenate([one.greater for one in counts])
    equal = np.concatenate([one.equal for one in counts])
    return rank_metrics(RankCounts(greater, equal), [SELECTION_K])[SELECTION]
