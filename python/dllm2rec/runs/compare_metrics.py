"""One scorer's metrics as every library and paper counts them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dllm2rec.caller import one_or_more, words
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ConfigError
from dllm2rec.evaluate.dialects.measured import Measured, measured_rows
from dllm2rec.evaluate.lists.evaluate_lists import measure_lists
from dllm2rec.evaluate.measure_request import MeasureRequest
from dllm2rec.tracking.metric_table import MetricTable

_SCORES = (".npy", ".safetensors")


def compare_metrics(
    source: object,
    dataset: SequenceDataset | None = None,
    *,
    targets: object = None,
    split: str = "test",
    ks: int | Iterable[int] = 10,
    exclude_seen: bool = False,
    scorer: str | None = None,
    device: str = "auto",
) -> MetricTable:
    """Show the metrics of one scorer in all dialects: how other libraries count them.

    Args:
        source: the folder of a run, a `.npy` or `.safetensors` file of scores, or lists as
            `evaluate_lists` takes them.
        dataset: of the scores or lists; of a run, where it is not where it was.
        targets: relevant items, as `evaluate_lists` takes them.
        split: "test" or "validation".
        ks: cut-off or cut-offs.
        exclude_seen: leave the items of each row's history out of the candidates.
        scorer: which of several, such as "popularity" or a student; by default the last.
        device: of a run's students: "auto", "cpu" or "cuda".

    Returns:
        A row a dialect; a metric that a dialect does not have is not there.

    Raises:
        ConfigError: no dataset where one is needed, targets of a run, or an unknown scorer.
        InputError, ArtifactError, TypeError: as `evaluate_run`, `evaluate_scores` and
            `evaluate_lists`.
    """
    ks = one_or_more(ks, int)
    if not ks or min(ks) < 1:
        raise ConfigError(f"k = {list(ks)}, expected at least 1")
    path = Path(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else None
    if path is not None and path.is_dir():
        if targets is not None:
            raise ConfigError("targets of a run, expected its own; they are for lists and scores")
        found = _of_run(path, dataset, split, ks, device, exclude_seen=exclude_seen)
    elif path is not None and path.suffix in _SCORES:
        from dllm2rec.evaluate.score_file import measure_scores  # it needs torch

        if dataset is None:
            given = words(python="dataset=", option="--dataset")
            raise ConfigError(f"scores without their dataset, expected {given}")
        found = measure_scores(path, dataset, MeasureRequest(targets, split, exclude_seen))
    else:
        found = measure_lists(source, dataset, MeasureRequest(targets, split, exclude_seen))
    return found.in_all_dialects(ks, scorer)


def _of_run(
    run: Path,
    dataset: SequenceDataset | None,
    split: str,
    ks: tuple[int, ...],
    device: str,
    *,
    exclude_seen: bool,
) -> Measured:
    from dllm2rec.runs.score_rows import score_rows  # it needs torch

    scored = score_rows(
        run, dataset=dataset, split=split, ks=ks, exclude_seen=exclude_seen, device=device
    )
    return measured_rows(scored)
