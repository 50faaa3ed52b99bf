"""Prepare a generated log of Parquet parts, larger than memory if asked, and read it for training.

    python benches/prepare_large.py 100_000_000 --folder big
    python benches/prepare_large.py 100_000_000 --folder big --cgroup /sys/fs/cgroup/memory/bench

A row is `user_id,item_id,timestamp` with string ids, in the order of time: the rows of a user lie
anywhere. Each command runs in a process of its own. "anonymous" is the most memory it held that the
system cannot take back, sampled ten times a second; "scratch" the most that its unnamed files took
on the disk; "resident" counts mapped pages of files too, which the system takes back as it needs
memory. With `--cgroup`, the command runs inside a memory cgroup (version 1) whose limit was set
beforehand: page cache counts there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PART = 10_000_000
BLOCK = 1_000_000
TRAINED_STEPS = 200

# What a training does first, and then for each step: open the dataset, count targets, cut windows.
READ = f"""
import sys, time
import numpy as np
import torch
from dllm2rec.batches.training_rows import epoch_order
from dllm2rec.data.device_rows import device_events
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.prefixes import prefix_rows
begin = time.perf_counter()
data = load_dataset(sys.argv[1])
opened = time.perf_counter()
data.target_counts(), prefix_rows(data)
rows = device_events(data, torch.device("cpu")).rows(data.train)
order = epoch_order(len(data.train), 0, 0)
ready = time.perf_counter()
total = 0
for step in range({TRAINED_STEPS}):
    sequences, lengths, targets = rows.windows(order[step * 4096 : (step + 1) * 4096].long())
    total += int(sequences.sum() + targets.sum())
done = time.perf_counter()
print(f"opened {{opened - begin:.1f}} s, made ready {{ready - opened:.1f}} s, "
      f"{{1000 * (done - ready) / {TRAINED_STEPS}:.2f}} ms per batch of 4,096, sum {{total}}")
"""


def write_parts(folder: Path, n_rows: int, seed: int = 0) -> None:
    """Write the log: a user per 50 rows, an item per 500, popular ones met more often."""
    folder.mkdir(parents=True)
    n_users, n_items = max(2, n_rows // 50), min(max(2, n_rows // 500), 5_000_000)
    rng = np.random.default_rng(seed)
    users, items = rng.permutation(n_users), rng.permutation(n_items)
    schema = pa.schema(
        [("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())]
    )
    for first in range(0, n_rows, PART):
        with pq.ParquetWriter(folder / f"part-{first // PART:04d}.parquet", schema) as file:
            for start in range(first, min(first + PART, n_rows), BLOCK):
                size = min(BLOCK, n_rows - start)
                active = users[(n_users * rng.random(size) ** 1.5).astype(np.int64)]
                popular = items[(n_items * rng.random(size) ** 3).astype(np.int64)]
                columns = [
                    pa.array(active).cast(pa.string()),
                    pa.array(popular).cast(pa.string()),
                    pa.array(1_500_000_000 + (start + np.arange(size)) // 3),
                ]
                file.write_table(pa.table(columns, schema=schema))


def on_disk(folder: Path) -> int:
    """How many bytes a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def watch(words: list[str], cgroup: Path | None) -> dict[str, object]:
    """Run a command; say how long it took and what it held at most."""

    def enter() -> None:
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    began, before = time.perf_counter(), os.times()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=enter)  # noqa: S603 - ours, one thread
    most = {"anonymous": 0, "resident": 0, "scratch": 0}
    while process.poll() is None:
        now = _held(process.pid)
        most = {name: max(number, now.get(name, 0)) for name, number in most.items()}
        time.sleep(0.1)
    seconds, after = time.perf_counter() - began, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{words[:4]} ended with {process.returncode}: {said[-2000:]}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        **{f"{n}_mb": v >> 20 for n, v in most.items()},
        "said": said,
    }


def _held(pid: int) -> dict[str, int]:
    """Bytes of memory and of files without a name that a process holds now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        held = {
            name: int(status.partition(word)[2].split()[0]) * 1024
            for name, word in (("anonymous", "RssAnon:"), ("resident", "VmHWM:"))
        }
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    except (OSError, IndexError):  # it has just ended
        return {}
    unnamed = [line.split()[0].split("-") for line in maps if line.endswith("(deleted)")]
    held["scratch"] = sum(int(end, 16) - int(begin, 16) for begin, end in unnamed)
    return held


def main() -> None:
    """Generate, prepare, read; print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("rows", type=int)
    parser.add_argument("--folder", type=Path, default=Path("large"))
    parser.add_argument("--cgroup", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep what was prepared")
    options = parser.parse_args()
    log, out = options.folder / f"log-{options.rows}", options.folder / f"data-{options.rows}"
    if not log.exists():
        write_parts(log, options.rows)
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "dllm2rec", "prepare", str(log), "--out", str(out)]
    prepared = watch(command, options.cgroup)
    prepared |= {"log_mb": on_disk(log) >> 20, "out_mb": on_disk(out) >> 20}
    facts = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["facts"]
    prepared["fingerprint"] = facts["fingerprint"]
    sys.stdout.write(json.dumps({"prepare": prepared}) + "\n")
    read = watch([sys.executable, "-c", READ, str(out)], options.cgroup)
    sys.stdout.write(json.dumps({"read": read}) + "\n")
    if not options.keep:
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
