"""Every scorer of a run, row by row: its students beside its baselines and its teacher."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.evaluate.evaluate_split import SPLITS, rows_to_rank, split_counts
from dllm2rec.evaluate.rows.among_drawn import Drawn
from dllm2rec.evaluate.rows.scored_rows import ScoredRows, Scorer
from dllm2rec.evaluate.rows.untrained import untrained_scorers
from dllm2rec.runs.checkpoint import REFIT, Checkpoint, load_checkpoint
from dllm2rec.runs.held_out_log import log_opening, openings_text, read_openings
from dllm2rec.runs.run_folder import open_dataset, open_teacher, student_folders
from dllm2rec.runs.run_manifest import RunManifest, read_run, run_folder_of
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.runtime.distributed import is_first

_log = logging.getLogger(__name__)
_SEED = re.compile(r"-seed-(\d+)$")  # what train calls the folders of several seeds


def score_rows(
    run: str | Path,
    *,
    dataset: SequenceDataset | str | Path | None = None,
    teacher: str | Path | None = None,
    split: str = "test",
    ks: int | Iterable[int] | None = None,
    exclude_seen: bool = False,
    device: str = "auto",
) -> ScoredRows:
    """Rank the targets of a split with the best checkpoint of every student of a run, row by row.

    Popularity, window counts and the run's teacher come first, as in the table of the training. A
    teacher that is not where it was is left out, with a warning in the log. That the test rows were
    scored is noted in the run's `test-rows.jsonl`.

    Args:
        run: the folder of a run or of one of its students.
        dataset: the run's dataset, or the folder where it is now; by default where it was.
        teacher: where its teacher is now; by default where it was.
        split: "test" or "validation".
        ks: cut-offs that will be asked for, so that what cannot be is refused now.
        exclude_seen: leave the items of each row's history out of the candidates.
        device: "auto", "cpu" or "cuda".

    Returns:
        16 bytes for each row and scorer: `.table(ks)` has the means, `write_per_row` keeps the
        ranks, `slice_rows` cuts them by kinds of rows.

    Raises:
        ArtifactError: there is no student, or dataset or teacher are not the run's.
        ConfigError: an unknown split, a cut-off beyond the catalogue, a device that is not there;
            validation rows that a student was trained on (`train.refit`).
        InputError: the split has no rows, or the dataset is not there any more.
    """
    if split not in SPLITS:  # before the dataset is looked for
        raise ConfigError(f"split = {split!r}, expected one of {', '.join(SPLITS)}")
    run = Path(run)
    data = open_dataset(run, dataset)
    rows_to_rank(data, split, 1 if ks is None else ks)
    return score_among(
        run, data, None, teacher=teacher, split=split, exclude_seen=exclude_seen, device=device
    )


def score_among(
    run: Path,
    data: SequenceDataset,
    drawn: Drawn | None,
    *,
    teacher: str | Path | None,
    split: str,
    exclude_seen: bool,
    device: str,
) -> ScoredRows:
    """Rank as `score_rows`, each target among all items or among those drawn for its row.

    Args:
        run: the folder of a run or of one of its students.
        data: its dataset.
        drawn: items of each row, (R, n), candidates all of them; None for all items. The teacher's
            lists stay as they are.
        teacher: as `score_rows` takes it, like all that follows.
        split: "test" or "validation".
        exclude_seen: leave the items of each row's history out of the candidates.
        device: "auto", "cpu" or "cuda".
    """
    read_openings(run_folder_of(run))  # a damaged log is told before the work
    pointers, _ = rows_to_rank(data, split, 1)
    place = choose_device(device)
    rows = device_rows(data, pointers, place)
    knowledge = open_teacher(run, teacher, data)
    scorers = untrained_scorers(data, knowledge, split, exclude_seen=exclude_seen, drawn=drawn)
    manifest = read_run(run)
    with deterministic():
        for folder in student_folders(run):
            checkpoint = load_checkpoint(folder)
            _check_fit(folder, checkpoint, data)
            _check_unseen(folder, checkpoint, split)
            counts = split_counts(
                checkpoint.student.to(place),
                rows,
                exclude_seen=exclude_seen,
                memory=checkpoint.memory,
                drawn=drawn,
            )
            name, seed = name_and_seed(folder, manifest)
            scorers.append(Scorer(name, counts, seed, settings=_settings(manifest)))
    if split == "test" and is_first():
        folder = run_folder_of(run)
        log_opening(folder, "evaluate")
        _log.info("%s", openings_text(read_openings(folder)))
    return ScoredRows.of(data, split, scorers, exclude_seen=exclude_seen)


def name_and_seed(folder: Path, manifest: RunManifest) -> tuple[str, int]:
    """What tables call a student, and the seed of its training, by the name of its folder."""
    name = folder.resolve().name
    found = _SEED.search(name) if manifest.n_seeds > 1 else None
    return (name[: found.start()], int(found[1])) if found else (name, manifest.seed)


def _settings(manifest: RunManifest) -> str:
    """The sha256 of a run's configuration and data but for the seed."""
    config = json.loads(json.dumps(manifest.config))
    if isinstance(config.get("train"), dict):
        config["train"].pop("seed", None)
    known = [config, manifest.fingerprint, manifest.teacher_fingerprint]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _check_unseen(folder: Path, checkpoint: Checkpoint, split: str) -> None:
    if split == "validation" and REFIT in checkpoint.record:
        raise ConfigError(
            f"{folder}: this student was trained on the validation rows too (train.refit), "
            'expected split = "test"; what it reached on them before is in results.json'
        )


def _check_fit(folder: Path, checkpoint: Checkpoint, data: SequenceDataset) -> None:
    if (checkpoint.n_items, checkpoint.max_length) != (data.n_items, data.max_length):
        raise ArtifactError(
            f"{folder}: {checkpoint.n_items} items and windows of {checkpoint.max_length}, "
            f"expected {data.n_items} and {data.max_length} as in {data.name}"
        )
