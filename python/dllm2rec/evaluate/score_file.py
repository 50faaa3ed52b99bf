"""The scores of any model, in a `.npy` file or an array, ranked as a run's students are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.text.at_rest import at_rest, changed
from dllm2rec.errors import InputError
from dllm2rec.evaluate.evaluate_split import rows_to_rank
from dllm2rec.evaluate.metrics import RankCounts, rank_metrics
from dllm2rec.evaluate.ranking import rank_counts
from dllm2rec.evaluate.seen_items import seen_pairs
from dllm2rec.teacher.tensor_files import read_npy_header
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

Scores = npt.NDArray[Any]

BLOCK_BYTES = 64 * 2**20  # of a block of rows
_DTYPES = (np.float16, np.float32, np.float64)


def evaluate_scores(
    scores: str | os.PathLike[str] | Scores,
    dataset: SequenceDataset,
    *,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
) -> MetricTable:
    """Rank the targets of a split by the scores that some model gave to all items.

    Memory is that of a block of rows, whatever the file's size.

    Args:
        scores: a matrix of float16, float32 or float64, or a `.npy` file of one: row r scores all
            items for the split's row r, column i is item i. -inf takes an item out.
        dataset: whose rows they are.
        split: "test" or "validation".
        ks: cut-off or cut-offs of the metrics, by default 1, 5, 10 and 20.
        exclude_seen: leave the items of each row's history out of the candidates, but for a target
            that repeats it.

    Raises:
        InputError: another shape or dtype, NaN or +inf, a target at -inf, or a split without rows.
        ArtifactError: the file is damaged.
        ConfigError: an unknown split, or a cut-off beyond the catalogue.
    """
    rows, ks = rows_to_rank(dataset, split, ks)
    path = None if isinstance(scores, np.ndarray) else Path(os.fspath(scores))
    shape = (len(rows), dataset.n_items)
    parts = []
    for begin, block in _blocks(path, scores, shape, f"{split} row of {dataset.name}"):
        part = rows.take(slice(begin, begin + len(block)))
        targets = dataset.targets(part)
        _check_numbers(block, targets, begin, path)
        if exclude_seen:
            block[seen_pairs(dataset, part)] = -math.inf
        parts.append(rank_counts(block, targets))
    counts = RankCounts(
        np.concatenate([part.greater for part in parts]),
        np.concatenate([part.equal for part in parts]),
    )
    name = "scores" if path is None else path.stem
    row = MetricRow(name, rank_metrics(counts, ks))
    return MetricTable(f"{dataset.name}, {split}", (row,), len(rows), dataset.n_items, exclude_seen)


def _blocks(
    path: Path | None,
    scores: Any,  # noqa: ANN401 - a path or an array
    expected: tuple[int, int],
    row_name: str,
) -> Iterator[tuple[int, Scores]]:
    """Yield blocks of whole rows that may be written to, each with the number of its first row."""
    if path is None:
        _check_matrix(None, scores.shape, scores.dtype, expected, row_name)
        for begin, end in _cuts(expected, scores.dtype):
            yield begin, np.array(scores[begin:end], order="C")
        return
    with at_rest(path):
        yield from _blocks_of_file(path, expected, row_name)


def _blocks_of_file(
    path: Path, expected: tuple[int, int], row_name: str
) -> Iterator[tuple[int, Scores]]:
    header = read_npy_header(path)
    _check_matrix(path, header.shape, header.dtype, expected, row_name)
    if header.is_fortran:
        message = "the matrix is stored column by column, expected row by row"
        hint = "save numpy.ascontiguousarray(scores)"
        raise InputError(message, code="E-LAYOUT", path=path, hint=hint)
    # Read, not mapped: a mapped file that shrinks meanwhile would kill the process.
    with path.open("rb") as file:
        file.seek(header.offset)
        for begin, end in _cuts(expected, header.dtype):
            block = np.fromfile(file, header.dtype, (end - begin) * expected[1])
            if block.size != (end - begin) * expected[1]:
                raise changed(path)  # it was as long as its header says
            yield begin, block.reshape(end - begin, expected[1])


def _cuts(shape: tuple[int, int], dtype: np.dtype[Any]) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK_BYTES // (shape[1] * dtype.itemsize))
    return ((begin, min(begin + step, shape[0])) for begin in range(0, shape[0], step))


def _check_matrix(
    path: Path | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    expected: tuple[int, int],
    row_name: str,
) -> None:
    if dtype.newbyteorder("=") not in _DTYPES:
        message = f"scores of dtype {dtype}, expected float16, float32 or float64"
        raise InputError(message, code="E-DTYPE", path=path)
    if tuple(shape) != expected:
        message = f"scores of shape {tuple(shape)}, expected {expected}"
        hint = f"one row for each {row_name}, in its order, and one column for each item"
        raise InputError(message, code="E-SHAPE", path=path, hint=hint)


def _check_numbers(
    block: Scores, targets: npt.NDArray[np.uint32], begin: int, path: Path | None
) -> None:
    good = block < math.inf
    if not good.all():
        row, item = (int(axis) for axis in np.argwhere(~good)[0])
        message = f"row {begin + row}, item {item}: {block[row, item]}, expected a finite score"
        hint = "-inf takes an item out of the candidates"
        raise InputError(message, code="E-SCORE-NONFINITE", path=path, hint=hint)
    of_target = block[np.arange(len(block)), targets]
    if (of_target == -math.inf).any():
        row = int((of_target == -math.inf).argmax())
        message = f"row {begin + row}, item {targets[row]}: -inf for the target, expected a score"
        raise InputError(message, code="E-SCORE-TARGET", path=path)
