"""What a student costs: the time of an answer, of many, of its training, and its size."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.comparisons.merge import short_names
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.runs.run_folder import open_dataset, student_folders
from dllm2rec.runs.run_manifest import read_run, run_folder_of
from dllm2rec.runs.run_result import RESULTS_FILE, read_result
from dllm2rec.runs.score_rows import name_and_seed
from dllm2rec.serve.load import load
from dllm2rec.storage.pointers import read_pointer

K = 20  # items of an answer
WARM_UP, CALLS = 20, 200
MANY = 2048  # histories of one call


@dataclass(frozen=True)
class Cost:
    """What one scorer costs; None is not known.

    Attributes:
        answer_ms: the median time of one answer, one history in and 20 items out, in milliseconds.
        users_per_s: answers a second where 2,048 histories are given at once.
        n_bytes: of the files that answer: weights, pair memory, projection.
        train_s: seconds to train one seed, with every setting that was tried.
    """

    answer_ms: float | None = None
    users_per_s: float | None = None
    n_bytes: int | None = None
    train_s: float | None = None


def measure_costs(
    run: str | os.PathLike[str],
    *,
    dataset: SequenceDataset | str | Path | None = None,
    device: str = "auto",
) -> dict[str, Cost]:
    """Time the students of a run on this machine; of several seeds the first.

    Answers are those of `load(run).recommend`: every item scored, exact lists, seen items left out.

    Args:
        run: the folder of a run or of one of its students.
        dataset: the run's dataset, whose test rows ask, or its folder; by default where it was.
        device: "auto", "cpu" or "cuda".

    Returns:
        By the names that `compare` gives to scorers.

    Raises:
        ArtifactError: there is no student, or the dataset is not the run's.
        ConfigError: the device is not there.
        InputError: the dataset is not there any more.
    """
    place = Path(run)
    data = open_dataset(place, dataset)
    manifest = read_run(place)
    seconds = _train_seconds(place)
    histories = _histories(data)
    found: dict[str, Cost] = {}
    for folder in student_folders(place):
        name, _ = name_and_seed(folder, manifest)
        if name in found:
            continue
        answer_ms, users_per_s = _time_answers(folder, histories, device)
        best = read_pointer(folder, "best")
        n_bytes = sum(file.stat().st_size for file in best.glob("*.safetensors"))
        found[name] = Cost(answer_ms, users_per_s, n_bytes, seconds.get(name))
    return found


def costs_of_runs(
    runs: Sequence[Path],
    names: Collection[str],
    *,
    dataset: str | Path | None = None,
    device: str = "auto",
) -> dict[str, Cost]:
    """The costs of the students of several runs, by what a comparison of them calls each.

    A student that is called by its run as well, since two runs have one of its name, is found under
    that name; where seeds of one student lie in several runs, the first of these is timed.
    """
    found: dict[str, Cost] = {}
    for run in runs:
        short = short_names([str(one) for one in runs])[str(run)]
        for name, cost in measure_costs(run, dataset=dataset, device=device).items():
            of_run = f"{name} ({short})"
            found.setdefault(of_run if of_run in names else name, cost)
    return {name: cost for name, cost in found.items() if name in names}


def _train_seconds(place: Path) -> dict[str, float]:
    folder = run_folder_of(place)
    if not (folder / RESULTS_FILE).is_file():
        return {}
    rows = read_result(folder).rows
    return {row.name.replace(" ", ""): s for row in rows if (s := row.detail.get("seconds"))}


def _histories(data: SequenceDataset) -> list[list[str]]:
    """What the users of the first test rows had met, repeated to as many as are asked at once."""
    rows, ids = data.test.take(slice(MANY)), data.catalogue.item_ids
    begin = data.window_begin(rows)
    windows = [
        [ids[item] for item in data.events[first:end]]
        for first, end in zip(begin, rows.end, strict=True)
    ]
    return [windows[place % len(windows)] for place in range(MANY)]


def _time_answers(folder: Path, histories: list[list[str]], device: str) -> tuple[float, float]:
    recommender = load(folder, device=device)
    k = min(K, recommender.n_items)
    times = []
    for call in range(WARM_UP + CALLS):
        began = time.perf_counter()
        recommender.recommend([histories[call]], k)
        times.append(time.perf_counter() - began)
    recommender.recommend(histories[:WARM_UP], k)
    began = time.perf_counter()
    recommender.recommend(histories, k)
    many_s = time.perf_counter() - began
    return 1e3 * statistics.median(times[WARM_UP:]), len(histories) / many_s
