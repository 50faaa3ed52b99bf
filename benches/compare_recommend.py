"""Lists for users by dllm2rec and by other libraries: times of one user and of many, and memory.

    python benches/compare_recommend.py \\
        --python implicit=implicit/bin/python --python rectools=rectools/bin/python \\
        --python recbole=recbole/bin/python --python replay=replay/bin/python

The libraries do not fit into one environment. Each runs alone in a process of the interpreter that
is given for it, one after the other, with two threads at most, and all again in every round;
figures are the medians of the rounds. Whoever is not given is not run, and what fails says why.
Two tables:

- From vectors: the same normal vectors of users and items for all, seen items left out. Half of
  them are the user's best, so a list that leaves nothing out fails. Lists are asserted equal.
- From histories: each library's own SASRec of random weights, of one block and the same width,
  encodes the 20 items and lists. Networks and weights differ, so only the form of lists is
  asserted. RecBole does not leave out what a sequential model was given.

Each is called with what it takes, made ahead. "processor" is what all threads took; memory is the
most while the many are answered for the first time, of the process and of that answer alone.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recommend_ways import HISTORIES, SEEN, VECTORS, WAYS, WIDTH, Case, K

MANY_TIMES, WARM = 8, 10
TIMEOUT = 400  # seconds of one library
FIGURES = {
    "median_ms": ".2f",
    "p95_ms": ".2f",
    "processor_ms": ".2f",
    "users_per_s": ",.0f",
    "peak_mb": ",.0f",
    "answer_mb": ",.0f",
}
WIDE = 17  # characters of a column

PACKAGES = {"replay": "replay-rec"}  # whose name is another
LEAVES_NOTHING_OUT = {(HISTORIES, "recbole")}


def write_case(folder: Path, n_items: int, n_users: int) -> None:
    """Normal vectors; half of what was seen is the user's best."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, WIDTH), dtype=np.float32)
    users = rng.standard_normal((n_users, WIDTH), dtype=np.float32)
    seen = np.empty((n_users, SEEN), np.int64)
    for user, row in zip(users, seen, strict=True):
        best = np.argsort(-(items @ user))
        row[: SEEN // 2] = best[: SEEN // 2]
        row[SEEN // 2 :] = rng.choice(best[SEEN // 2 :], SEEN - SEEN // 2, replace=False)
    for name, values in {"items": items, "users": users, "seen": seen}.items():
        np.save(folder / f"{name}.npy", values)


def write_export(folder: Path, n_items: int) -> None:
    """Write dllm2rec's SASRec of random weights, without a pair memory."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.server.made_up import made_up_recommender

    from dllm2rec import Recommender, export

    made = made_up_recommender(n_items, width=WIDTH, length=SEEN, followers=1)
    export(Recommender(made.name, replace(made.scorer, memory=None, projection=None)), folder)


def work(kind: str, library: str, case: Case) -> None:
    """Measure one library in this process."""
    warnings.simplefilter("ignore")
    prepare, answer = WAYS[kind][library](case)
    rows = np.arange(len(case.users))
    many, ones = prepare(rows), [prepare(rows[row : row + 1]) for row in rows]
    for one in ones[:WARM]:
        answer(one)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = megabytes("VmRSS")
    lists = np.asarray(answer(many))
    peak = megabytes("VmHWM")
    alone = np.concatenate([np.asarray(answer(one)).reshape(1, K) for one in ones])
    np.save(case.folder / "many.npy", lists)
    np.save(case.folder / "alone.npy", alone)
    walls, one_s = timed(answer, ones)
    _, many_s = timed(answer, [many] * MANY_TIMES)
    told = {
        "version": importlib.metadata.version(PACKAGES.get(library, library)),
        "median_ms": 1000 * float(np.median(walls)),
        "p95_ms": 1000 * float(np.percentile(walls, 95)),
        "processor_ms": 1000 * one_s,
        "users_per_s": len(rows) / many_s,
        "peak_mb": peak,
        "answer_mb": peak - before,
    }
    print(json.dumps(told))


def timed(answer: Callable[[Any], Any], calls: list[Any]) -> tuple[list[float], float]:
    """Seconds of each call, and processor seconds of one on average."""
    walls, used = [], time.process_time()
    for asked in calls:
        begin = time.perf_counter()
        answer(asked)
        walls.append(time.perf_counter() - begin)
    return walls, (time.process_time() - used) / len(calls)


def megabytes(field: str) -> float:
    """Of this process, from /proc."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def measure(kind: str, library: str, python: str, case: Case) -> dict[str, Any] | str:
    """One library in a process of its own; or why there are no figures."""
    words = [python, __file__, "--kind", kind, "--worker", library]
    words += ["--folder", str(case.folder), "--threads", str(case.threads)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(case.threads))
    limits |= {"OPENBLAS_NUM_THREADS": "1"}  # as implicit asks for: the threads are its own
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            words,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            env=os.environ | limits,
        )
    except subprocess.TimeoutExpired:
        return f"more than {TIMEOUT} s"
    except OSError as err:
        return str(err)
    if done.returncode:
        return (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1][:150]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def best_scores(case: Case) -> np.ndarray:
    """Those of the best unseen items, the best first, (B, K)."""
    scores = case.users.astype(np.float64) @ case.items.T
    np.put_along_axis(scores, case.seen, -np.inf, axis=1)
    best: np.ndarray = -np.sort(-np.partition(scores, -K, axis=1)[:, -K:], axis=1)
    return best


def check_lists(kind: str, library: str, case: Case, best: np.ndarray) -> None:
    """Lists are whole, leave out what was seen, and are the best where vectors are given."""
    for name in ("many", "alone"):
        lists = np.load(case.folder / f"{name}.npy").astype(np.int64)
        where = kind, library, name
        assert lists.shape == (len(case.users), K), (*where, lists.shape)
        assert (np.diff(np.sort(lists, axis=1)) > 0).all(), (*where, "an item twice")
        assert lists.min() >= 0, (*where, lists.min())
        assert lists.max() < len(case.items), (*where, lists.max())
        if (kind, library) not in LEAVES_NOTHING_OUT:
            listed_seen = (lists[:, :, None] == case.seen[:, None, :]).any()
            assert not listed_seen, (*where, "lists what was seen")
        if kind == VECTORS:
            found = np.einsum("bd,bkd->bk", case.users, case.items[lists], dtype=np.float64)
            assert np.abs(found - best).max() < 1e-4, (*where, "not the best")  # up to ties


def measured(
    kind: str, pythons: dict[str, str], rounds: int, case: Case
) -> dict[str, list[dict[str, Any]] | str]:
    """Every library in turn, and again; what failed once is not asked again."""
    found: dict[str, Any] = {library: [] for library in pythons if library in WAYS[kind]}
    best = best_scores(case)
    for number in range(rounds):
        for library, told in found.items():
            if isinstance(told, str):
                continue
            print(f"round {number + 1} {kind}: {library}", file=sys.stderr, flush=True)
            one = measure(kind, library, pythons[library], case)
            if isinstance(one, str):
                found[library] = one
                continue
            check_lists(kind, library, case, best)
            told.append(one)
    return found


def line_of(library: str, rounds: list[dict[str, Any]] | str) -> str:
    """Medians of the rounds, figure by figure; or what went wrong."""
    if isinstance(rounds, str):
        return row(f"  {library}", [rounds])
    cells = [
        format(float(np.median([one[name] for one in rounds])), form)
        for name, form in FIGURES.items()
    ]
    return row(f"  {library} {rounds[0]['version']}", cells)


def row(name: str, cells: list[str]) -> str:
    """A line of a table: figures, or why there are none."""
    aligned = cells if len(cells) == 1 else [cell.rjust(WIDE) for cell in cells]
    return "  ".join([name.ljust(WIDE), *aligned])


def main() -> None:
    """Print a line for each way and library."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=INTERPRETER")
    parser.add_argument("--kind", choices=WAYS)
    parser.add_argument("--worker")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--export", type=int, metavar="ITEMS")
    given = parser.parse_args()
    if given.export:
        write_export(given.folder, given.export)
        return
    if given.worker:
        work(given.kind, given.worker, Case.of(given.folder, given.threads))
        return
    pythons = {"dllm2rec": sys.executable, **dict(one.split("=", 1) for one in given.python)}
    heads = ["median ms", "p95 ms", "processor ms", f"{given.users}: users/s", "peak MB", "of it"]
    print(f"{given.items:,} items of {WIDTH} numbers, {SEEN} seen, lists of {K}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write_case(Path(folder), given.items, given.users)
        words = ["--export", str(given.items), "--folder", f"{folder}/export"]
        subprocess.run([sys.executable, __file__, *words], check=True, stdout=sys.stderr)  # noqa: S603
        case = Case.of(Path(folder), given.threads)
        for kind in [given.kind] if given.kind else WAYS:
            found = measured(kind, pythons, given.rounds, case)
            print(row(kind, heads))
            for library, rounds in found.items():
                print(line_of(library, rounds), flush=True)


if __name__ == "__main__":
    main()
