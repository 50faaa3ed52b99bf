"""The students of a finished run, evaluated again on a split of the run's dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.evaluate.baselines import baseline_rows
from dllm2rec.evaluate.evaluate_split import SPLITS, rows_to_rank, split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runs.checkpoint import Checkpoint, load_checkpoint
from dllm2rec.runs.run_folder import open_dataset, open_teacher, student_folders
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.tracking.metric_table import MetricRow, MetricTable


def evaluate_run(
    run: str | Path,
    *,
    dataset: SequenceDataset | str | Path | None = None,
    teacher: str | Path | None = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    device: str = "auto",
) -> MetricTable:
    """Rank the targets of a split with the best checkpoint of every student of a run.

    Popularity, window counts and the run's teacher come first, as in the table of the training. A
    teacher that is not where it was is left out, with a warning in the log.

    Args:
        run: the folder of a run or of one of its students.
        dataset: the run's dataset, or the folder where it is now; by default where it was.
        teacher: where its teacher is now; by default where it was.
        split: "test" or "validation".
        ks: cut-off or cut-offs of the metrics, by default 1, 5, 10 and 20.
        exclude_seen: leave the items of each row's history out of the candidates.
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactError: there is no student, or dataset or teacher are not the run's.
        ConfigError: an unknown split, a cut-off beyond the catalogue, a device that is not there.
        InputError: the split has no rows, or the dataset is not there any more.
    """
    if split not in SPLITS:  # before the dataset is looked for
        raise ConfigError(f"split = {split!r}, expected one of {', '.join(SPLITS)}")
    run = Path(run)
    data = open_dataset(run, dataset)
    pointers, ks = rows_to_rank(data, split, ks)
    place = choose_device(device)
    rows = device_rows(data, pointers, place)
    knowledge = open_teacher(run, teacher, data)
    baselines = baseline_rows(data, knowledge, ks, exclude_seen=exclude_seen, splits=(split,))
    results = [
        MetricRow(row.name, row.test if split == "test" else row.validation) for row in baselines
    ]
    with deterministic():
        for folder in student_folders(run):
            checkpoint = load_checkpoint(folder)
            _check_fit(folder, checkpoint, data)
            counts = split_counts(
                checkpoint.student.to(place),
                rows,
                exclude_seen=exclude_seen,
                memory=checkpoint.memory,
            )
            results.append(MetricRow(folder.name, rank_metrics(counts, ks)))
    return MetricTable(
        f"{data.name}, {split}", tuple(results), len(pointers), data.n_items, exclude_seen
    )


def _check_fit(folder: Path, checkpoint: Checkpoint, data: SequenceDataset) -> None:
    if (checkpoint.n_items, checkpoint.max_length) != (data.n_items, data.max_length):
        raise ArtifactError(
            f"{folder}: {checkpoint.n_items} items and windows of {checkpoint.max_length}, "
            f"expected {data.n_items} and {data.max_length} as in {data.name}"
        )
