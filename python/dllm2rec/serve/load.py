"""From a run's folder to a recommender that is held ready."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec.errors import ArtifactError
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.run_folder import open_catalogue, open_train_counts, student_folders
from dllm2rec.runtime.device import choose_device
from dllm2rec.serve.recommender import Recommender
from dllm2rec.serve.scorer import ItemScorer
from dllm2rec.serve.torch_encoder import TorchEncoder
from dllm2rec.tracking.metric_names import SELECTION


def load(run: str | Path, *, student: str | None = None, device: str = "auto") -> Recommender:
    """Read and verify a trained student once, and hold it ready to answer.

    Args:
        run: the folder of a run or of one of its students.
        student: a name of `student.name`; by default all, of which validation's best is taken.
        device: "auto", "cpu" or "cuda".

    Raises:
        ArtifactError: it is no run, holds no such student, or is corrupt.
        ConfigError: the device is not there.
    """
    run = Path(run)
    place = choose_device(device)
    loaded = {folder: load_checkpoint(folder) for folder in student_folders(run)}
    if student is not None:
        there = sorted({checkpoint.config.student.name for checkpoint in loaded.values()})
        loaded = {f: c for f, c in loaded.items() if c.config.student.name == student}
        if not loaded:
            raise ArtifactError(f"{run}: no student {student}, expected one of {', '.join(there)}")
    best = max(loaded, key=lambda folder: loaded[folder].record[SELECTION])
    checkpoint, folder = loaded[best], best.resolve().parent
    catalogue = open_catalogue(folder)
    if catalogue.n_items != checkpoint.n_items:
        raise ArtifactError(
            f"{best}: a student of {checkpoint.n_items} items beside a catalogue of "
            f"{catalogue.n_items}, expected as many"
        )
    counts = _popularity(folder)
    trained = checkpoint.student
    encoder = TorchEncoder.of(trained, place)
    offset = trained.window_offset
    scorer = ItemScorer(
        encoder,
        catalogue,
        encoder.items,
        0.0 if offset is None else float(offset.detach()),
        checkpoint.memory,
        trained.kept_projection,
        counts,
    )
    return Recommender(best.name, scorer)


def _popularity(folder: Path) -> npt.NDArray[np.int64] | ArtifactError:
    """What is popular; or, for a run of an earlier version, what to tell who asks for it."""
    try:
        return open_train_counts(folder)
    except ArtifactError as err:
        return err
