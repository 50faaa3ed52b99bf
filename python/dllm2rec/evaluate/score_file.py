"""The scores of any model, in a file or an array, ranked as a run's students are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import InputError
from dllm2rec.evaluate.dialects.measured import Measured
from dllm2rec.evaluate.evaluate_split import rows_to_rank
from dllm2rec.evaluate.matrices.asked_targets import AskedBlock, AskedTargets, asked_targets
from dllm2rec.evaluate.matrices.open_matrix import Matrix, open_matrix
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.evaluate.metrics import RankCounts
from dllm2rec.evaluate.ranking import rank_counts
from dllm2rec.evaluate.rows.among_drawn import counts_by_score
from dllm2rec.runtime.device import choose_device, placed
from dllm2rec.runtime.distributed import rank, size
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricTable

Scores = npt.NDArray[Any]

BLOCK_BYTES = 64 * 2**20  # of a block of rows


def evaluate_scores(
    scores: str | os.PathLike[str] | Scores,
    dataset: SequenceDataset,
    *,
    targets: object = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    candidates: Iterable[str] | None = None,
    teacher: TeacherKnowledge | None = None,
) -> MetricTable:
    """Rank the targets of a split by the scores that some model gave to all items.

    Memory is that of a block of rows, whatever the file's size. Popularity, window counts and the
    teacher come first, where each row has its one target among all items.

    Args:
        scores: a matrix of float16, float32 or float64, or a `.npy`, `.safetensors` or `.parquet`
            file of one (a column of lists): row r scores all items for the split's row r, column i
            is item i. -inf takes an item out.
        dataset: whose rows they are.
        targets: relevant items by row or user, many or one, as `evaluate_lists` takes them; a user
            is ranked by the user's first row.
        split: "test" or "validation".
        ks: cut-off or cut-offs of the metrics, by default 1, 5, 10 and 20.
        exclude_seen: leave the items of each row's history out of the candidates, but for targets
            that repeat it.
        candidates: ids of the items that alone are ranked; other targets count as missed.
        teacher: whose lists are to stand beside.

    Raises:
        InputError: another shape or dtype, NaN or +inf, a target at -inf, or a split without rows.
        ArtifactError: the file is damaged.
        ConfigError: an unknown split, or a cut-off beyond the catalogue.
    """
    _, ks = rows_to_rank(dataset, split, ks)
    request = MeasureRequest(targets, split, exclude_seen, candidates, teacher)
    return measure_scores(scores, dataset, request).table(ks)


def measure_scores(
    scores: str | os.PathLike[str] | Scores,
    dataset: SequenceDataset,
    request: MeasureRequest,
) -> Measured:
    """Rank as `evaluate_scores`; the metrics are taken of what comes back."""
    asked = asked_targets(dataset, request)
    rows = f"one row for each {request.split} row of {dataset.name}, in its order"
    hint = f"{rows}, and one column for each item"
    matrix = open_matrix(
        scores if isinstance(scores, np.ndarray) else Path(os.fspath(scores)), hint
    )
    expected = (len(asked.rows), dataset.n_items)
    if matrix.shape != expected:
        message = f"scores of shape {matrix.shape}, expected {expected}"
        raise InputError(message, code="E-SHAPE", path=matrix.path, hint=hint)
    counts = asked.counts(_counted(asked, matrix, exclude_seen=request.exclude_seen))
    name = "scores" if matrix.path is None else matrix.path.stem
    return asked.measured(name, counts)


def _counted(
    asked: AskedTargets, matrix: Matrix, *, exclude_seen: bool
) -> Iterator[tuple[AskedBlock, RankCounts]]:
    step = max(1, BLOCK_BYTES // (matrix.shape[1] * matrix.dtype.itemsize))
    device = choose_device(asked.request.device)
    for begin, block in matrix.blocks(step, (rank(), size())):
        part = asked.block(begin, begin + len(block))
        _check_numbers(block, part, begin, matrix.path)
        if asked.request.drawn is not None:
            drawn = asked.request.drawn[begin : begin + len(block)]
            own = block[part.local, part.items]
            yield part, counts_by_score(np.take_along_axis(block, drawn, axis=1), own)
            continue
        if exclude_seen:
            block[part.seen(asked.dataset)] = -math.inf
        if asked.allowed is not None:
            block[:, ~asked.allowed] = -math.inf
        # A row of several targets stands there once for each.
        rows = block if part.is_whole else block[part.local]
        yield part, rank_counts(placed(rows, device), part.items)


def _check_numbers(block: Scores, part: AskedBlock, begin: int, path: Path | None) -> None:
    good = block < math.inf
    if not good.all():
        row, item = (int(axis) for axis in np.argwhere(~good)[0])
        message = f"row {begin + row}, item {item}: {block[row, item]}, expected a finite score"
        hint = "-inf takes an item out of the candidates"
        raise InputError(message, code="E-SCORE-NONFINITE", path=path, hint=hint)
    of_target = block[part.local, part.items]
    if (of_target == -math.inf).any():
        place = int((of_target == -math.inf).argmax())
        where = f"row {begin + part.local[place]}, item {part.items[place]}"
        message = f"{where}: -inf for the target, expected a score"
        raise InputError(message, code="E-SCORE-TARGET", path=path)
