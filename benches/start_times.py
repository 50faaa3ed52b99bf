"""How long one command takes from its start to its report: with nothing compiled, and again.

    python benches/start_times.py --data DIR --out times.jsonl

Each line of the file is one run, written as it ends: seconds in all, and those of them outside the
run itself (imports, reading the data, the report). Runs in the file already are not made again.
Python's bytecode is there, as pip leaves it where it installs; `--no-bytecode` leaves the
environment as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "paper, batch 256, 30 epochs": [
        *("--recipe", "paper", "--no-baseline"),
        *("--set", "loss.dro_weight=0.5"),
        *("--set", "distillation.ranking_weight=0.3"),
        *("--set", "train.max_epochs=30"),
        *("--set", "train.patience=99"),
    ],
    "light, batch 2048": [
        *("--recipe", "light"),
        *("--set", "train.batch_size=2048"),
        *("--set", "distillation.ranking_weight=0.3"),
    ],
    "light, batch 2048, taught alone": [
        *("--recipe", "light", "--no-baseline"),
        *("--set", "train.batch_size=2048"),
        *("--set", "distillation.ranking_weight=0.3"),
    ],
}


def surroundings(bytecode: Path | None) -> dict[str, str]:
    """Environment variables: with a folder, modules are compiled into it and read from it."""
    if bytecode is None:
        return dict(os.environ)
    kept = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode)}


def timed(
    words: list[str], folder: Path, cache: Path, environment: dict[str, str]
) -> dict[str, object]:
    """Run `dllm2rec train` in a process of its own; `cache` keeps the compiled kernels."""
    command = [sys.executable, "-m", "dllm2rec", "train", *words, "--student", "sasrec", "--json"]
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--out", str(folder), "--overwrite"],
        env=environment | {"TRITON_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    taken = time.perf_counter() - began
    result = json.loads(done.stdout)
    rows = [row["detail"] for row in result["rows"] if "epoch" in row["detail"]]
    return {
        "seconds": round(taken, 2),
        "before": round(taken - result["seconds"], 2),
        "epochs": sum(row["seconds"] for row in rows),
        "device": result["device"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset; its teacher in teacher/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], help="for a quick try")
    parser.add_argument("--no-bytecode", action="store_true")
    asked = parser.parse_args()
    data = ["--dataset", str(asked.data), "--teacher", str(asked.data / "teacher")]
    extra = [word for setting in asked.set for word in ("--set", setting)]
    lines = asked.out.read_text().splitlines() if asked.out.is_file() else []
    bytecode = not asked.no_bytecode
    facts = ("command", "kernels", "bytecode")
    known = {tuple(line[fact] for fact in facts) for line in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as place:
        environment = surroundings(Path(place) / "bytecode" if bytecode else None)
        if bytecode:  # a run imports some modules only as it needs them
            first = [*data, "--recipe", "light", "--set", "train.max_epochs=1", *extra]
            timed(first, Path(place) / "run", Path(place) / "kernels", environment)
        for number, (name, words) in enumerate(COMMANDS.items()):
            cache = Path(place) / f"kernels-{number}"
            for kernels in ("none", "compiled"):
                if (name, kernels, bytecode) in known:
                    continue
                seen = timed([*data, *words, *extra], Path(place) / "run", cache, environment)
                line = {"command": name, "kernels": kernels, "bytecode": bytecode, **seen}
                sys.stdout.write(json.dumps(line) + "\n")
                with asked.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
