"""Metrics of the same ranked lists by dllm2rec and by other libraries: seconds and peak memory.

The libraries do not fit into one environment. Each runs alone in a process of the interpreter that
is given for it, from the same arrays on disk; what is timed is the way from these arrays in memory
over the input that the library takes (`build`) to its figures (`metrics`). Figures are asserted
equal before a time is printed. Peak memory is that of the process, less what it took before.

    python benches/compare_evaluation.py --rows 10000 --rows 100000 \\
        --python ranx=ranx/bin/python --python rectools=rectools/bin/python

Whoever is not given is not run. Two cores, no GPU.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K, LENGTH = 10, 20
NAMES = ("ndcg", "recall", "mrr", "map", "precision", "hr")
MOST_BYTES = 10 * 2**30  # of address space; what asks for more is said to
TIMEOUT = 400  # seconds of one library at one size
TIMES, ENOUGH = 5, 20  # the least of so many times, or of as many as fit into so many seconds


def write_case(folder: Path, n_rows: int, n_items: int, n_targets: int) -> None:
    """Lists of distinct items, best first; the first target is often among them."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, n_items, (n_rows, 1))
    step = rng.integers(1, n_items // LENGTH, (n_rows, 1))
    lists = (first + step * np.arange(LENGTH)) % n_items
    begin = rng.integers(0, n_items, (n_rows, 1))
    targets = (begin + (n_items // n_targets) * np.arange(n_targets)) % n_items  # distinct
    place = rng.integers(0, 2 * LENGTH, n_rows)
    wanted = lists[np.arange(n_rows), np.minimum(place, LENGTH - 1)]
    swapped = (place < LENGTH) & ~(targets == wanted[:, None]).any(axis=1)
    targets[swapped, 0] = wanted[swapped]
    np.save(folder / "lists.npy", lists.astype(np.int64))
    np.save(folder / "targets.npy", targets.astype(np.int64))


def ours(lists: np.ndarray, targets: np.ndarray) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    import pyarrow as pa

    from dllm2rec.evaluate.lists.evaluate_lists import evaluate_lists

    def metrics(built: tuple[Any, Any]) -> dict[str, float]:
        found = evaluate_lists(built[0], targets=built[1], ks=K).rows[-1].metrics
        return {name: found[f"{name}@{K}"] for name in NAMES}

    run = pa.table({"user_id": users_of(lists), "item_id": lists.ravel(), "rank": ranks_of(lists)})
    return (run, pa.table({"user_id": users_of(targets), "item_id": targets.ravel()})), metrics


def ranx(lists: np.ndarray, targets: np.ndarray) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    from ranx import Qrels, Run, evaluate

    names = {"ndcg": "ndcg", "recall": "recall", "mrr": "mrr", "map": "map"}
    names |= {"precision": "precision", "hr": "hit_rate"}

    def metrics(built: tuple[Any, Any]) -> dict[str, float]:
        found = evaluate(*built, [f"{kind}@{K}" for kind in names.values()])
        return {name: float(found[f"{kind}@{K}"]) for name, kind in names.items()}

    qrels, run = as_dicts(lists, targets)
    return (Qrels(qrels), Run(run)), metrics


def pytrec_eval(
    lists: np.ndarray, targets: np.ndarray
) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    import pytrec_eval as library

    names = {"ndcg": "ndcg_cut", "recall": "recall", "map": "map_cut", "precision": "P"}
    names |= {"hr": "success"}

    def metrics(built: tuple[Any, Any]) -> dict[str, float]:
        asked = {f"{kind}.{K}" for kind in names.values()}
        found = library.RelevanceEvaluator(built[0], asked).evaluate(built[1]).values()
        sums = dict.fromkeys(names, 0.0)
        for one in found:
            for name, kind in names.items():
                sums[name] += one[f"{kind}_{K}"]
        return {name: value / len(found) for name, value in sums.items()}

    return as_dicts(lists, targets), metrics


def rectools(
    lists: np.ndarray, targets: np.ndarray
) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    import pandas as pd
    from rectools import metrics as library

    asked = {
        "ndcg": library.NDCG(k=K, divide_by_achievable=True),
        "recall": library.Recall(k=K),
        "mrr": library.MRR(k=K),
        "map": library.MAP(k=K),
        "precision": library.Precision(k=K),
        "hr": library.HitRate(k=K),
    }

    def metrics(built: tuple[Any, Any]) -> dict[str, float]:
        return library.calc_metrics(asked, *built)

    run = pd.DataFrame({"user_id": users_of(lists), "item_id": lists.ravel()})
    run["rank"] = ranks_of(lists)
    wanted = pd.DataFrame({"user_id": users_of(targets), "item_id": targets.ravel()})
    return (run, wanted), metrics


def replay(lists: np.ndarray, targets: np.ndarray) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    import polars as pl
    from replay import metrics as library

    kinds = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR", "map": "MAP"}
    kinds |= {"precision": "Precision", "hr": "HitRate"}
    asked = [getattr(library, kind)(K) for kind in kinds.values()]

    def metrics(built: tuple[Any, Any]) -> dict[str, float]:
        found = library.OfflineMetrics(asked)(*built)
        return {name: found[f"{kind}@{K}"] for name, kind in kinds.items()}

    run = pl.DataFrame({"query_id": users_of(lists), "item_id": lists.ravel()})
    run = run.with_columns(rating=pl.Series(1.0 / ranks_of(lists)))
    return (run, pl.DataFrame({"query_id": users_of(targets), "item_id": targets.ravel()})), metrics


def recbole(
    lists: np.ndarray, targets: np.ndarray
) -> tuple[Any, Callable[[Any], dict[str, float]]]:
    """Its metrics alone: which items hit is worked out for it, as its collector would."""
    import torch

    for name, kind in {"float": float, "int": int, "bool": bool, "object": object}.items():
        if name not in np.__dict__:  # RecBole asks for names that NumPy dropped
            setattr(np, name, kind)
    from recbole.evaluator import metrics as library
    from recbole.evaluator.collector import DataStruct

    kinds = {"ndcg": "NDCG", "recall": "Recall", "mrr": "MRR", "map": "MAP"}
    kinds |= {"precision": "Precision", "hr": "Hit"}

    def metrics(data: Any) -> dict[str, float]:
        config = {"topk": [K], "metric_decimal_place": 12}
        found = {
            name: next(iter(getattr(library, kind)(config).calculate_metric(data).values()))
            for name, kind in kinds.items()
        }
        return {name: float(value) for name, value in found.items()}

    hits = (lists[:, :K, None] == targets[:, None, :]).any(axis=2)
    n_targets = np.full((len(targets), 1), targets.shape[1])
    data = DataStruct()
    data.set("rec.topk", torch.from_numpy(np.hstack([hits, n_targets]).astype(np.int64)))
    return data, metrics


def as_dicts(lists: np.ndarray, targets: np.ndarray) -> tuple[dict, dict]:
    scores = (1.0 / np.arange(1, LENGTH + 1)).tolist()
    run = {
        str(row): dict(zip(map(str, one), scores, strict=True))
        for row, one in enumerate(lists.tolist())
    }
    qrels = {str(row): {str(item): 1 for item in one} for row, one in enumerate(targets.tolist())}
    return qrels, run


def users_of(items: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(items)), items.shape[1])


def ranks_of(lists: np.ndarray) -> np.ndarray:
    return np.tile(np.arange(1, lists.shape[1] + 1), len(lists))


LIBRARIES = {
    "dllm2rec": ours,
    "ranx": ranx,
    "pytrec_eval": pytrec_eval,
    "rectools": rectools,
    "replay": replay,
    "recbole": recbole,
}
MAP_BY_N = {"ranx", "pytrec_eval", "rectools"}  # they divide it by all relevant items


def work(library: str, folder: Path) -> None:
    """Measure one library; a small case first, for what compiles and imports."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    lists, targets = np.load(folder / "lists.npy"), np.load(folder / "targets.npy")
    built, metrics = LIBRARIES[library](lists[:50], targets[:50])
    metrics(built)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    built, metrics = LIBRARIES[library](lists, targets)
    build_s = time.perf_counter() - start
    times = []
    while len(times) < TIMES and sum(times) < ENOUGH:
        start = time.perf_counter()
        found = metrics(built)
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"build_s": build_s, "metrics_s": min(times), "peak_mb": (peak - before) / 1024}
    print(json.dumps(told | {"figures": found}))


def measure(library: str, python: str, folder: Path) -> dict[str, Any] | None:
    """One library in a process of its own; None where it needs too much time or memory."""
    words = [python, __file__, "--worker", library, "--folder", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            words, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"  {library}: {done.stderr.strip().splitlines()[-1][:150]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check_equal(library: str, found: dict[str, float], wanted: dict[str, float]) -> None:
    skipped = {"map"} if library in MAP_BY_N else set()
    for name in found.keys() - skipped:
        assert abs(found[name] - wanted[name]) < 1e-6, (library, name, found[name], wanted[name])


def line(library: str, found: dict[str, Any], mine: dict[str, Any]) -> str:
    """Seconds, and as multiples of ours."""
    metrics, total = (found["metrics_s"], found["metrics_s"] + found["build_s"])
    our_total = mine["metrics_s"] + mine["build_s"]
    return (
        f"  {library:12} metrics {metrics:7.2f} s ({metrics / mine['metrics_s']:5.1f} x), "
        f"with building {total:7.2f} s ({total / our_total:5.1f} x), "
        f"peak {found['peak_mb']:6,.0f} MB"
    )


def main() -> None:
    """Print a line for each library and size, times as multiples of ours."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--items", type=int, default=17_408)
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=INTERPRETER")
    parser.add_argument("--worker")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.folder)
        return
    pythons = {"dllm2rec": sys.executable, **dict(one.split("=", 1) for one in given.python)}
    for n_rows in given.rows or [10_000]:
        print(f"{n_rows:,} rows, {given.items:,} items, lists of {LENGTH}, {given.targets} targets")
        with tempfile.TemporaryDirectory() as folder:
            write_case(Path(folder), n_rows, given.items, given.targets)
            mine = None
            for library, python in pythons.items():
                found = measure(library, python, Path(folder))
                if found is None:
                    print(f"  {library:12} over {MOST_BYTES >> 30} GB or {TIMEOUT} s")
                    continue
                mine = mine or found
                check_equal(library, found["figures"], mine["figures"])
                print(line(library, found, mine), flush=True)


if __name__ == "__main__":
    main()
