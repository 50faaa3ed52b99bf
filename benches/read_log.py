"""Read a generated log of any size: time and peak memory, beside polars on the same file.

    python benches/read_log.py 10_000_000            # writes the file, reads it, removes it
    python benches/read_log.py 100_000_000 --keep --folder /tmp

A row is `user_id,item_id,timestamp,rating` with string ids, in the order of time: users and items
come back in no order, which is the hard case for numbering them. Each reader runs in a process of
its own; its peak is the process's, less what importing it took.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

BLOCK = 1_000_000
COLUMNS = ("user_id", "item_id", "timestamp", "rating")


def write_log(path: Path, n_rows: int, seed: int = 0) -> None:
    """Write the log: a user per 50 rows, an item per 500, popular ones met more often."""
    n_users, n_items = max(2, n_rows // 50), max(2, n_rows // 500)
    rng = np.random.default_rng(seed)
    users = pa.array([f"u{n:x}" for n in rng.permutation(n_users)])
    items = pa.array([f"B{n:09d}" for n in rng.permutation(n_items)])
    kinds = (pa.string(), pa.string(), pa.int64(), pa.float32())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file, csv.CSVWriter(file, schema, write_options=options) as writer:
        file.write(",".join(COLUMNS).encode() + b"\n")
        for start in range(0, n_rows, BLOCK):
            size = min(BLOCK, n_rows - start)
            popular = (n_items * rng.random(size) ** 3).astype(np.int64)
            active = (n_users * rng.random(size) ** 1.5).astype(np.int64)
            columns = [
                users.take(pa.array(active)),
                items.take(pa.array(popular)),
                pa.array(1_500_000_000 + start + np.arange(size)),
                pa.array(rng.integers(1, 11, size).astype(np.float32) / 2),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def high_water_mb() -> float:
    """Return the most memory this process had so far; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def read(reader: str, path: Path) -> dict[str, float]:
    """Read the file once, and say how long it took and how much memory it was at most."""
    if reader == "dllm2rec":
        from dllm2rec.data.logs.read import read_interactions as function
    else:
        from polars import read_csv as function
    before = high_water_mb()
    started = time.perf_counter()
    table = function(path)
    seconds = time.perf_counter() - started
    result = {"seconds": seconds, "peak_mb": high_water_mb() - before, "rows": len(table)}
    if reader == "dllm2rec":
        arrays = (table.users, table.items, table.times, table.ratings)
        kept = sum(a.nbytes for a in arrays) + table.user_ids.nbytes + table.item_ids.nbytes
        result |= {"kept_mb": kept / 2**20, "users": table.n_users, "items": table.n_items}
    return result


def main() -> None:
    """Generate, measure, print a line of JSON for each run."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("rows", type=int)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["dllm2rec", "polars"])
    parser.add_argument("--reader", choices=["dllm2rec", "polars"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = options.folder / f"log_{options.rows}.csv"
    if options.reader:
        sys.stdout.write(json.dumps(read(options.reader, path)))
        return
    if not path.exists():
        write_log(path, options.rows)
    command = [sys.executable, __file__, str(options.rows), "--folder", str(options.folder)]
    for _ in range(options.repeat):
        for reader in [options.only] if options.only else ["dllm2rec", "polars"]:
            done = subprocess.run(  # noqa: S603 - our own command
                [*command, "--reader", reader], check=True, capture_output=True, text=True
            )
            line = {"reader": reader, "mb": round(path.stat().st_size / 1e6)} | {
                key: round(value, 2) for key, value in json.loads(done.stdout).items()
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    if not options.keep:
        path.unlink()


if __name__ == "__main__":
    main()
