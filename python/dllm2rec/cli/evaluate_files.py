"""What `dllm2rec evaluate` does with the files of other systems: scores, vectors, lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dllm2rec.cli.evaluation import Shown, Views, drawn_items, shown
from dllm2rec.cli.options import use_threads
from dllm2rec.cli.paths import check_file_there, check_folders_there
from dllm2rec.cli.torchrun import n_processes
from dllm2rec.errors import ConfigError


@dataclass(frozen=True)
class FileRequest:
    """Files of another system, and how they are to be measured; see the options of these names."""

    kind: str
    files: tuple[Path, ...]
    dataset: Path | None
    teacher: Path | None
    targets: Path | None
    candidates: Path | None
    split: str
    ks: tuple[int, ...] | None
    exclude_seen: bool
    views: Views
    device: str
    threads: int | None


def evaluate_files(request: FileRequest) -> Shown:
    """Measure scores, vectors or lists; processes share the rows of scores and vectors.

    Raises:
        ConfigError: there is no dataset, where one is needed.
        InputError: a file is not there, or is at fault.
        ArtifactError: a file is damaged.
    """
    kind = request.kind
    if request.dataset is None:
        if kind != "lists":
            raise ConfigError(
                f"evaluate: --{kind} without --dataset, expected the dataset it is of"
            )
        if request.targets is None or request.teacher is not None:
            raise ConfigError("evaluate: --lists without --dataset, expected it or --targets alone")
    for path in (*request.files, request.targets, request.candidates):
        if path is not None:
            check_file_there(path)
    check_folders_there(request.dataset, request.teacher)
    use_threads(request.threads)

    from dllm2rec.evaluate.dialects.measured import check_dialect

    check_dialect(request.views.dialect)
    if n_processes() == 1:
        return _measured(request)
    from dllm2rec.runtime.distributed import process_group

    with process_group(request.device):
        return _measured(request)


def _measured(request: FileRequest) -> Shown:
    kind = request.kind
    candidates = None
    if request.candidates is not None:
        from dllm2rec.cli.recommend_inputs import read_ids

        candidates = read_ids(request.candidates)
    dataset = teacher = None
    if request.dataset is not None:
        from dllm2rec.data.formats.load_dataset import load_dataset

        dataset = load_dataset(request.dataset)
        if request.teacher is not None:
            from dllm2rec.teacher.folder import load_teacher

            teacher = load_teacher(request.teacher, dataset)
    from dllm2rec.evaluate.lists.evaluate_lists import checked_ks, measure_lists
    from dllm2rec.evaluate.measure_request import MeasureRequest

    ks = checked_ks(dataset, request.split, request.ks)  # before anything is read
    exclude_seen = request.exclude_seen
    drawn = None
    if dataset is not None:
        drawn = drawn_items(request.views, dataset, request.split, exclude_seen=exclude_seen)
    asked = MeasureRequest(
        request.targets,
        split=request.split,
        exclude_seen=exclude_seen,
        candidates=candidates,
        teacher=teacher,
        drawn=drawn,
        device=request.device,
    )
    if dataset is None or kind == "lists":
        found = measure_lists(request.files[0], dataset, asked, max(ks))
    elif kind == "scores":
        from dllm2rec.evaluate.score_file import measure_scores

        found = measure_scores(request.files[0], dataset, asked)
    else:
        from dllm2rec.evaluate.matrices.evaluate_vectors import measure_vectors

        found = measure_vectors(request.files, dataset, asked)
    return shown(found, dataset, ks, request.views)
