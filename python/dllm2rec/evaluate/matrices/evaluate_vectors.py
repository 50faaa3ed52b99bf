"""Vectors of users and items of any model: ranked exactly, without a matrix of scores."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
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
from dllm2rec.evaluate.ranking import fused_rank_counts
from dllm2rec.evaluate.rows.among_drawn import HostWindow, difference, with_drawn
from dllm2rec.runtime.device import choose_device, placed
from dllm2rec.runtime.distributed import rank, size
from dllm2rec.teacher.embedding_file import VectorOptions, load_embeddings
from dllm2rec.teacher.keyed_vectors import JoinRules
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricTable

Vectors = str | os.PathLike[str] | npt.NDArray[Any]

# Fixed, so that a score's last bit never depends on a setting: as for a run's students.
BLOCK_ROWS = 4096


def evaluate_vectors(
    vectors: Sequence[Vectors],
    dataset: SequenceDataset,
    *,
    targets: object = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    candidates: Iterable[str] | None = None,
    teacher: TeacherKnowledge | None = None,
) -> MetricTable:
    """Rank the targets of a split by the dot products of vectors, in float32, exactly.

    Memory is that of the items' vectors and of a block of rows. The result is the same to the last
    bit on any number of threads.

    Args:
        vectors: of users, items and, if there is one, a bias: arrays or files. Users (R, D): row r
            is the split's row r, `.npy`, `.safetensors` or `.parquet` with a column of lists.
            Items (N, D): row i is item i, also `.npz`, `.pt` and `.csv`, and by item id where the
            file has ids. Bias (N,), an array or `.npy`.
        dataset: whose rows they are.
        targets: relevant items by row or user, as for `evaluate_scores`, like all that follows.
        split: "test" or "validation".
        ks: cut-off or cut-offs of the metrics, by default 1, 5, 10 and 20.
        exclude_seen: leave the items of each row's history out of the candidates, but for targets
            that repeat it.
        candidates: ids of the items that alone are ranked; other targets count as missed.
        teacher: whose lists are to stand beside.

    Raises:
        InputError: shapes that do not match, or another dtype.
        NonFiniteError: a vector that is not finite; the message names its row.
        ArtifactError: a file is damaged.
        ConfigError: an unknown split, or a cut-off beyond the catalogue.
    """
    _, ks = rows_to_rank(dataset, split, ks)
    request = MeasureRequest(targets, split, exclude_seen, candidates, teacher)
    return measure_vectors(vectors, dataset, request).table(ks)


def measure_vectors(
    vectors: Sequence[Vectors],
    dataset: SequenceDataset,
    request: MeasureRequest,
) -> Measured:
    """Rank as `evaluate_vectors`; the metrics are taken of what comes back."""
    if len(vectors) not in (2, 3):
        raise InputError(f"{len(vectors)} arrays or files, expected users, items and maybe a bias")
    asked = asked_targets(dataset, request)
    hint = f"one vector for each {request.split} row of {dataset.name}, in its order"
    users = open_matrix(_source(vectors[0]), hint)
    items = _items(vectors[1], dataset)
    expected = (len(asked.rows), items.shape[1])
    if users.shape != expected:
        message = f"users of shape {users.shape}, expected {expected}"
        raise InputError(message, code="E-SHAPE", path=users.path, hint=hint)
    bias = _bias(vectors[2] if len(vectors) > 2 else None, asked)
    counts = asked.counts(_counted(asked, users, items, bias, exclude_seen=request.exclude_seen))
    name = "vectors" if users.path is None else users.path.stem
    return asked.measured(name, counts)


def _source(vectors: Vectors) -> Path | npt.NDArray[Any]:
    return vectors if isinstance(vectors, np.ndarray) else Path(os.fspath(vectors))


def _items(vectors: Vectors, dataset: SequenceDataset) -> npt.NDArray[np.float32]:
    n_items = dataset.n_items
    if isinstance(vectors, np.ndarray):
        if vectors.ndim != 2 or len(vectors) != n_items or vectors.dtype.kind != "f":
            message = f"items of {vectors.dtype} {vectors.shape}, expected floats ({n_items}, D)"
            raise InputError(message, code="E-SHAPE")
        return np.ascontiguousarray(vectors, np.float32)
    options = VectorOptions(join=JoinRules(dataset.catalogue.item_ids))
    return load_embeddings(vectors, n_items=n_items, options=options)[0]


def _bias(vectors: Vectors | None, asked: AskedTargets) -> npt.NDArray[np.float32] | None:
    """The bias of each item; -inf for one that is no candidate."""
    n_items = asked.dataset.n_items
    if vectors is None and asked.allowed is None:
        return None
    bias = np.zeros(n_items, np.float32)
    if vectors is not None:
        given = open_matrix(_source(vectors), "one number for each item")
        if given.shape != (n_items,):
            message = f"bias of shape {given.shape}, expected ({n_items},), one for each item"
            raise InputError(message, code="E-SHAPE", path=given.path)
        bias = np.concatenate([block for _, block in given.blocks(n_items, (0, 1))]).astype(
            np.float32
        )
        if not np.isfinite(bias).all():
            item = int((~np.isfinite(bias)).argmax())
            message = f"bias of item {item}: {bias[item]}, expected a finite number"
            raise InputError(message, code="E-SCORE-NONFINITE", path=given.path)
    if asked.allowed is not None:
        bias[~asked.allowed] = -math.inf
    return bias


def _counted(
    asked: AskedTargets,
    users: Matrix,
    items: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32] | None,
    *,
    exclude_seen: bool,
) -> Iterator[tuple[AskedBlock, RankCounts]]:
    device = choose_device(asked.request.device)
    table = placed(items, device)
    added = None if bias is None else placed(bias, device)
    for begin, block in users.blocks(BLOCK_ROWS, (rank(), size())):
        part = asked.block(begin, begin + len(block))
        masked = _seen_window(part, asked.dataset) if exclude_seen else None
        vectors = placed(block[part.local], device), table, part.items
        counts = fused_rank_counts(*vectors, bias=added, window=masked, window_offset=-math.inf)
        if asked.request.drawn is not None:
            window = with_drawn(masked, asked.request.drawn[begin : begin + len(block)])
            rest = fused_rank_counts(*vectors, bias=added, window=window, window_offset=-math.inf)
            counts = difference(counts, rest)
        yield part, counts


def _seen_window(part: AskedBlock, dataset: SequenceDataset) -> HostWindow:
    """The seen items of each pair's row, one pair after the other."""
    row, item = part.seen(dataset)
    n_seen = np.bincount(row, minlength=len(part.rows))
    starts = np.cumsum(n_seen) - n_seen
    lengths = n_seen[part.local]
    offsets = np.append(0, np.cumsum(lengths))
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    items = item[np.repeat(starts[part.local], lengths) + place]
    return offsets.astype(np.int64), items.astype(np.uint32)
