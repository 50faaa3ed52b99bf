"""The students of a finished run, evaluated again on a split of the run's dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dllm2rec.caller import one_or_more
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.evaluate_split import KS
from dllm2rec.runs.score_rows import score_rows
from dllm2rec.tracking.metric_table import MetricTable


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
    ks = KS if ks is None else one_or_more(ks, int)
    scored = score_rows(
        run,
        dataset=dataset,
        teacher=teacher,
        split=split,
        ks=ks,
        exclude_seen=exclude_seen,
        device=device,
    )
    return scored.table(ks)
