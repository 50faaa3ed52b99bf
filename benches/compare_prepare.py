"""Prepare a generated log of any size, beside what polars takes to read and sort the same file.

    python benches/compare_prepare.py 10_000_000
    python benches/compare_prepare.py 1_000_000 --recbole recbole-env/bin/python

Ours reads the CSV and prepares it (5-core, leave-one-out) up to the dataset in memory; polars reads
it and sorts it by user and time; RecBole, where the Python of an environment that has it is named,
reads the same rows as its `.inter` (whose writing is not timed), applies the same 5-core, numbers
and sorts them, cuts its windows and splits (`create_dataset` and `data_preparation`).

Each runs in a process of its own; its peak is the process's, less what importing took. Before
anything is timed, a smaller log is prepared by each and the users' items in the order of time are
asserted to be the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

from read_log import high_water_mb, write_log

CHECKED_ROWS = 100_000
RECBOLE = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "TIME_FIELD": "timestamp",
    "load_col": {"inter": ["user_id", "item_id", "timestamp", "rating"]},
    "user_inter_num_interval": "[5,inf)",
    "item_inter_num_interval": "[5,inf)",
    "MAX_ITEM_LIST_LENGTH": 10,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"},
    "train_neg_sample_args": None,
    "loss_type": "CE",
    "show_progress": False,
    "state": "ERROR",
    "save_dataset": False,
}


def digest(users: list[str], items: list[str]) -> str:
    """Return what tells sorted events apart: those of a user follow each other, oldest first."""
    by_user: dict[str, list[str]] = {}
    for user, item in zip(users, items, strict=True):
        by_user.setdefault(user, []).append(item)
    return hashlib.sha256(json.dumps(sorted(by_user.items())).encode()).hexdigest()


def ours(path: Path, *, check: bool) -> dict[str, object]:
    """Read and prepare with dllm2rec; to be compared with a sort, without the core."""
    import numpy as np

    from dllm2rec.data.logs.read import read_interactions
    from dllm2rec.data.protocol.model import Protocol
    from dllm2rec.data.protocol.prepare import prepare

    protocol = Protocol(min_user_events=5, min_item_events=5)
    before, started = high_water_mb(), time.perf_counter()
    prepared = prepare(read_interactions(path), protocol)
    seconds = time.perf_counter() - started
    result: dict[str, object] = {"seconds": seconds, "peak_mb": high_water_mb() - before}
    result["events"] = len(prepared.dataset.events)
    if check:
        users = np.repeat(prepared.user_ids.to_pylist(), np.diff(prepared.user_start)).tolist()
        names = np.array(prepared.dataset.catalogue.item_ids)
        result["digest"] = digest(users, names[prepared.dataset.events].tolist())
    return result


def polars(path: Path, *, check: bool) -> dict[str, object]:
    """Read and sort with polars; what it is checked by has the 5-core of the same log."""
    import polars as pl

    before, started = high_water_mb(), time.perf_counter()
    frame = pl.read_csv(path).sort(["user_id", "timestamp"])
    seconds = time.perf_counter() - started
    result: dict[str, object] = {"seconds": seconds, "peak_mb": high_water_mb() - before}
    if check:
        for _ in range(99):
            enough = [pl.len().over(column) >= 5 for column in ("user_id", "item_id")]
            frame = frame.filter(enough[0] & enough[1])
        result["digest"] = digest(frame["user_id"].to_list(), frame["item_id"].to_list())
    return result | {"events": len(frame)}


def recbole(path: Path, *, check: bool) -> dict[str, object]:
    """Prepare with RecBole, from the same rows as an atomic file."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation

    data = path.with_suffix("") / path.stem
    data.mkdir(parents=True, exist_ok=True)
    with path.open() as source, (data / f"{path.stem}.inter").open("w") as target:
        next(source)
        target.write("user_id:token\titem_id:token\ttimestamp:float\trating:float\n")
        target.writelines(line.replace(",", "\t") for line in source)
    options = RECBOLE | {"data_path": str(data.parent), "device": "cpu", "use_gpu": False}
    before, started = high_water_mb(), time.perf_counter()
    config = Config(model="SASRec", dataset=path.stem, config_dict=options)
    dataset = create_dataset(config)
    data_preparation(config, dataset)
    seconds = time.perf_counter() - started
    result: dict[str, object] = {"seconds": seconds, "peak_mb": high_water_mb() - before}
    if check:
        # The windows hold the events several times: another model's dataset has them once.
        plain = {
            k: v for k, v in options.items() if k not in ("loss_type", "train_neg_sample_args")
        }
        log = create_dataset(Config(model="BPR", dataset=path.stem, config_dict=plain))
        events = log.inter_feat.sort_values(["user_id", "timestamp"], kind="stable")
        users, items = (
            log.id2token(name, events[name].to_numpy()).tolist() for name in ("user_id", "item_id")
        )
        result["digest"] = digest(users, items)
    return result


ARMS = {"dllm2rec": ours, "polars": polars, "recbole": recbole}


def run(python: str, arm: str, path: Path, *, check: bool = False) -> dict[str, object]:
    """Run one arm in a process of its own."""
    words = [python, __file__, "0", "--arm", arm, "--file", str(path), *["--check"] * check]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise RuntimeError(f"{arm} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Generate, compare, measure, print a line of JSON for each run."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("rows", type=int)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--recbole", help="a Python that has RecBole")
    parser.add_argument("--only", choices=ARMS)
    parser.add_argument("--keep", action="store_true", help="keep the generated log")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        sys.stdout.write(json.dumps(ARMS[options.arm](options.file, check=options.check)) + "\n")
        return
    interpreters = {"dllm2rec": sys.executable, "polars": sys.executable}
    if options.recbole:
        interpreters["recbole"] = options.recbole
    small = options.folder / f"log_{CHECKED_ROWS}.csv"
    write_log(small, CHECKED_ROWS)
    digests = {
        run(python, arm, small, check=True)["digest"] for arm, python in interpreters.items()
    }
    assert len(digests) == 1, digests
    small.unlink()
    path = options.folder / f"log_{options.rows}.csv"
    if not path.exists():
        write_log(path, options.rows)
    for _ in range(options.repeat):
        for arm, python in interpreters.items():
            if options.only in (None, arm):
                sys.stdout.write(json.dumps({"arm": arm} | run(python, arm, path)) + "\n")
                sys.stdout.flush()
    if not options.keep:
        path.unlink()


if __name__ == "__main__":
    main()
