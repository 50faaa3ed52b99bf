"""What of a run's test rows its page slices, looked up once at the end of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate.baselines import popularity_counts
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import list_counts
from dllm2rec.evaluate.rows.scored_rows import Scorer
from dllm2rec.evaluate.rows.slices import SliceTable, slice_table, slicings
from dllm2rec.evaluate.seen_items import lists_without_seen
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_names import SELECTION

MOST_ROWS = 5_000  # as many as the rest of the page looks at: a second or two on a CPU


def gather_slices(
    students: Mapping[str, Path],
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    device: torch.device,
    *,
    exclude_seen: bool,
) -> list[SliceTable]:
    """Slice the test rows, of many evenly spaced ones, by popularity, teacher and students.

    Window counts are left out: counting takes longer than all else of the page.

    Args:
        students: their folders, of several seeds that of the first, by the names of the table.
        dataset: what they learnt from.
        teacher: or None.
        device: where students score.
        exclude_seen: leave the items of each row's history out of the candidates.
    """
    n_rows = len(dataset.test)
    chosen = np.linspace(0, n_rows - 1, min(MOST_ROWS, n_rows)).astype(np.int64)
    rows = dataset.test.take(chosen)
    popular = popularity_counts(dataset, rows, exclude_seen=exclude_seen)
    scorers = {"popularity": Scorer("popularity", popular)}
    taught_by = None
    if teacher is not None and teacher.ranking_test is not None:
        lists = teacher.ranking_test[chosen]
        lists = lists_without_seen(lists, dataset, rows) if exclude_seen else lists
        counts = list_counts(lists, dataset.targets(rows))
        taught_by = scorers["teacher"] = Scorer("teacher", counts, depth=lists.shape[1])
    read = device_rows(dataset, rows, device)
    for name, folder in students.items():
        checkpoint = load_checkpoint(folder)
        student = checkpoint.student.to(device)
        counts = split_counts(
            student,
            read,
            exclude_seen=exclude_seen,
            memory=checkpoint.memory,
            shared=False,  # the page is the first process's work
        )
        scorers[name] = Scorer(name, counts)
    k = int(SELECTION.partition("@")[2])
    return [slice_table(scorers, one, [k]) for one in slicings(dataset, rows, taught_by)]
