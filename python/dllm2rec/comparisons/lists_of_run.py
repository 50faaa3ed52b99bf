"""What every scorer of a run lists, measured beside being right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.caller import one_or_more
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.evaluate.evaluate_split import KS, rows_to_rank
from dllm2rec.evaluate.rows.list_figures import beyond_accuracy
from dllm2rec.evaluate.rows.untrained_lists import popular_lists, window_count_lists
from dllm2rec.evaluate.seen_items import lists_without_seen
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.evaluate.window_counts import fit_window_counts
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.run_folder import open_dataset, open_teacher, student_folders
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

Lists = npt.NDArray[np.uint32]


def evaluate_lists_of_run(
    run: str | Path,
    *,
    dataset: SequenceDataset | str | Path | None = None,
    teacher: str | Path | None = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    device: str = "auto",
) -> MetricTable:
    """Measure the lists of every scorer of a run with `beyond_accuracy`.

    Lists go by score, then by item. A teacher has values up to the places of its own lists.

    Args:
        run: the folder of a run or of one of its students.
        dataset: the run's dataset, or the folder where it is now; by default where it was.
        teacher: where its teacher is now; by default where it was.
        split: "test" or "validation".
        ks: cut-off or cut-offs, by default 1, 5, 10 and 20.
        exclude_seen: leave the items of each row's history out of the lists.
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactError: there is no student, or dataset or teacher are not the run's.
        ConfigError: an unknown split, a cut-off beyond the catalogue, a device that is not there.
        InputError: the split has no rows, or the dataset is not there any more.
    """
    place, data = Path(run), open_dataset(Path(run), dataset)
    cutoffs = KS if ks is None else one_or_more(ks, int)
    rows, cutoffs = rows_to_rank(data, split, cutoffs)
    knowledge = open_teacher(place, teacher, data)
    k = max(cutoffs)
    found = []
    for name, lists in _untrained(data, rows, knowledge, split, k, exclude_seen=exclude_seen):
        known = [cutoff for cutoff in cutoffs if cutoff <= lists.shape[1]]
        found.append(MetricRow(name, beyond_accuracy(lists, data, split=split, ks=known)))
    on_device = device_rows(data, rows, choose_device(device))
    with deterministic():
        for folder in student_folders(place):
            checkpoint = load_checkpoint(folder)
            student = checkpoint.student.to(on_device.end.device)
            lists = student_lists(
                student, on_device, k, memory=checkpoint.memory, exclude_seen=exclude_seen
            )
            figures = beyond_accuracy(lists, data, split=split, ks=cutoffs)
            found.append(MetricRow(folder.resolve().name, figures))
    title = f"{data.name}, {split}: what is listed"
    return MetricTable(title, tuple(found), len(rows), data.n_items, exclude_seen)


def _untrained(
    data: SequenceDataset,
    rows: Rows,
    teacher: TeacherKnowledge | None,
    split: str,
    k: int,
    *,
    exclude_seen: bool,
) -> Iterator[tuple[str, Lists]]:
    yield "popularity", popular_lists(data, rows, k, exclude_seen=exclude_seen)
    fitted = fit_window_counts(data, exclude_seen=exclude_seen)
    yield "window counts", window_count_lists(fitted, rows, k)
    lists = None
    if teacher is not None:
        lists = teacher.ranking_test if split == "test" else teacher.ranking_validation
    if lists is not None:
        yield "teacher", lists_without_seen(lists, data, rows) if exclude_seen else lists
