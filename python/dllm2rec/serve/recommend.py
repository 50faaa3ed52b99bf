"""Histories in the user's own ids in, the best items with their titles out; no refit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.runs.checkpoint import Checkpoint, load_checkpoint
from dllm2rec.runs.run_folder import open_catalogue, open_train_counts, student_folders
from dllm2rec.runtime.device import choose_device
from dllm2rec.runtime.distributed import gathered, process_blocks
from dllm2rec.serve.histories import (
    Empty,
    HistoryRules,
    Unknown,
    histories_as_ids,
    known_items,
)
from dllm2rec.students.pair_memory import windows_of_lists
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.metric_table import Recommendation

BLOCK_ROWS = 4096


def recommend(
    run: str | Path,
    histories: Iterable[Iterable[str | int]],
    *,
    n: int = 10,
    exclude_seen: bool = True,
    student: str | None = None,
    device: str = "auto",
    unknown: Unknown = "error",
    empty: Empty = "error",
) -> list[list[Recommendation]]:
    """Recommend for each history with a trained student.

    Args:
        run: the folder of a run or of one of its students.
        histories: one entry a user, each the item ids of that user, oldest first, as texts or whole
            numbers; the last L count. Lists, arrays and Series of either are taken.
        n: how many items to recommend; fewer come back where fewer are left.
        exclude_seen: leave out every item of the history.
        student: a name of `student.name`; by default all, of which validation's best is taken.
        device: "auto", "cpu" or "cuda".
        unknown: "error", or "skip" to leave items out that the catalogue lacks; a warning counts
            them.
        empty: "error", or "popular": who has no known item gets the items that are most often the
            target of a train row, with that count as their score; a warning counts them.

    Returns:
        One list a history: score descending, then item index ascending.

    Raises:
        ArtifactError: it is no run, holds no such student, or is corrupt.
        ConfigError: `n` is not within 1..N, or the device is not there.
        InputError: a history is empty or names an unknown item, or these are no lists of ids.
    """
    rules = HistoryRules(unknown=unknown, empty=empty)
    ids = histories_as_ids(histories)
    lists = recommend_by_rules(
        Path(run), ids, rules, n=n, exclude_seen=exclude_seen, student=student, device=device
    )
    return list(lists)


def recommend_by_rules(
    run: Path,
    histories: Sequence[Sequence[str]],
    rules: HistoryRules,
    *,
    n: int,
    exclude_seen: bool,
    student: str | None,
    device: str,
) -> Iterator[list[Recommendation]]:
    """`recommend` for ids that are texts, which messages call as the rules say.

    All is computed when it returns; the lists are made one by one, as a million places would take a
    gigabyte.
    """
    checkpoint, catalogue, folder = _load(run, student)
    if not 1 <= n <= checkpoint.n_items:
        raise ConfigError(f"n = {n}, expected 1..{checkpoint.n_items}, the size of the catalogue")
    indexed = known_items(catalogue, histories, rules)
    popular = [] if all(indexed) else _popular(folder, catalogue, n)
    answered = [row for row in indexed if row]
    lists = _lists(checkpoint, catalogue, answered, n, device, exclude_seen=exclude_seen)
    return (next(lists) if row else popular for row in indexed)


def _lists(
    checkpoint: Checkpoint,
    catalogue: Catalogue,
    indexed: list[list[int]],
    n: int,
    device: str,
    *,
    exclude_seen: bool,
) -> Iterator[list[Recommendation]]:
    """A list for each history of item indices, none of which is empty; computed at once."""
    checkpoint.student.to(choose_device(device))
    # Items, and the bits of scores: integers, whose sum over processes is exact.
    table = torch.zeros(2, len(indexed), n, dtype=torch.int32)
    for number in process_blocks(-(-len(indexed) // BLOCK_ROWS)):
        place = slice(number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS)
        items, scores = _top_n(checkpoint, indexed[place], n, exclude_seen=exclude_seen)
        table[:, place] = torch.from_numpy(np.stack([items.view(np.int32), scores.view(np.int32)]))
    items, bits = gathered(table, "listing items").numpy()
    rows = zip(items.view(np.uint32), bits.view(np.float32), strict=True)
    return (_named(catalogue, row.tolist(), scores.tolist()) for row, scores in rows)


def _popular(folder: Path, catalogue: Catalogue, n: int) -> list[Recommendation]:
    """The items that are most often a train target, equal ones by index."""
    counts = open_train_counts(folder)
    best = np.argsort(-counts, kind="stable")[:n]
    return _named(catalogue, best.tolist(), counts[best].astype(float).tolist())


def _load(run: Path, student: str | None) -> tuple[Checkpoint, Catalogue, Path]:
    """The best student, the items it knows, and the run's folder."""
    loaded = {folder: load_checkpoint(folder) for folder in student_folders(run)}
    if student is not None:
        there = sorted({checkpoint.config.student.name for checkpoint in loaded.values()})
        loaded = {f: c for f, c in loaded.items() if c.config.student.name == student}
        if not loaded:
            raise ArtifactError(f"{run}: no student {student}, expected one of {', '.join(there)}")
    best = max(loaded, key=lambda folder: loaded[folder].record[SELECTION])
    folder = best.resolve().parent
    catalogue = open_catalogue(folder)
    if catalogue.n_items != loaded[best].n_items:
        raise ArtifactError(
            f"{best}: a student of {loaded[best].n_items} items beside a catalogue of "
            f"{catalogue.n_items}, expected as many"
        )
    return loaded[best], catalogue, folder


@torch.no_grad()
def _top_n(
    checkpoint: Checkpoint, histories: list[list[int]], n: int, *, exclude_seen: bool
) -> tuple[np.ndarray, np.ndarray]:
    student, length, n_items = checkpoint.student, checkpoint.max_length, checkpoint.n_items
    place = next(student.parameters()).device
    windows = [history[-length:] for history in histories]
    padded = [window + [n_items] * (length - len(window)) for window in windows]
    lengths = torch.tensor([len(window) for window in windows], device=place)
    table = student.item_table()
    users = student.encode(torch.tensor(padded, device=place), lengths, table)
    matrix, bias = student.output_items(table)
    if exclude_seen:
        listed, offset = histories, -math.inf
    else:
        listed = windows
        offset = 0.0 if student.window_offset is None else float(student.window_offset)
    offsets = np.cumsum([0, *map(len, listed)])
    flat = np.concatenate([np.asarray(row) for row in listed])
    memory = checkpoint.memory
    return fused_top_n(
        users,
        matrix,
        n,
        bias=bias,
        window=(offsets, flat),
        window_offset=offset,
        bonuses=None if memory is None else memory.bonuses(*windows_of_lists(windows)),
    )


def _named(catalogue: Catalogue, items: list[int], scores: list[float]) -> list[Recommendation]:
    titles = catalogue.titles
    return [
        Recommendation(rank, catalogue.item_ids[item], titles[item] if titles else None, score)
        for rank, (item, score) in enumerate(zip(items, scores, strict=True), start=1)
        if item < catalogue.n_items  # places that no candidate is left for
    ]
