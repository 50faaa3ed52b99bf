"""Kill trainings at random moments and let them go on; a script, so that one process imports torch
once and forks a child for each training.

    python -m tests.support.kill_trials kill 200 FOLDER
        SIGKILL, then --resume until the run ends
    python -m tests.support.kill_trials term 40 FOLDER
        SIGTERM, or Ctrl-C every other time
    python -m tests.support.kill_trials save 200 FOLDER
        SIGKILL while states are saved back to back

The last line that it prints is what it saw, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dllm2rec.cli import main
from dllm2rec.config.load import changed, config_to_toml, load_config
from dllm2rec.runs.run_folder import student_folders
from dllm2rec.runs.source import Source
from dllm2rec.runs.training_state import TrainingState, load_state, save_state
from dllm2rec.runs.trial import Trial
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.train import train_run as run
from tests.support.worlds import cycle_dataset, oracle_teacher

# Everything that a state holds is used: dropout, negatives, averages, a schedule, two weights.
TRIAL = Trial(0.1, 0.3)
CONFIG = changed(
    load_config(recipe="paper"),
    student={"name": "sasrec", "hidden_size": 16, "dropout": 0.2},
    distillation={"ranking_weight": [0.0, 0.3], "top_k": 6},
    train={
        "batch_size": 32,
        "learning_rate": 0.01,
        "max_epochs": 5,
        "schedule": "cosine",
        "ema_decay": 0.9,
        "save_every_s": 0.1,
        "device": "cpu",
    },
)
TIMES = {"train_s", "validation_s", "rows_per_s", "seconds", "train_s_per_epoch", "answer_ms"}


def start(place: Path) -> list[str]:
    config = place.with_suffix(".toml")
    config.write_text(config_to_toml(CONFIG), encoding="utf-8")
    words = ["train", "--config", str(config), "--out", str(place), "--threads", "1"]
    return [*words, "--no-baseline", "--json"]


def resume(place: Path) -> list[str]:
    return ["train", "--resume", str(place), "--json"]


def forked(work: Callable[[], int], log: Path) -> int:
    """Do something in a child; return its number."""
    child = os.fork()
    if child:
        return child
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 99
    try:
        code = work()
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def what_it_made(place: Path) -> str:
    """One hash over all tensors, moments, generators and figures that a run ended with."""
    digest = hashlib.sha256()
    for student in student_folders(place):
        for pointer, file in (("last", "training.safetensors"), ("best", "model.safetensors")):
            digest.update((read_pointer(student, pointer) / file).read_bytes())
        for line in (student / "metrics.jsonl").read_text().splitlines():
            digest.update(repr(untimed(json.loads(line))).encode())
    digest.update(repr(untimed(json.loads((place / "results.json").read_text())["rows"])).encode())
    return digest.hexdigest()


def untimed(value: Any) -> Any:
    if isinstance(value, list):
        return [untimed(entry) for entry in value]
    if isinstance(value, dict):
        return {key: untimed(entry) for key, entry in value.items() if key not in TIMES}
    return value


def kill_and_resume(place: Path, seconds: float, chance: random.Random) -> dict[str, Any]:
    """Kill a run until it was killed once while a state lay there, then let it end."""
    seen = {"from_state": 0, "kills": 0, "code": 0, "made": ""}
    words = start(place)
    while not seen["from_state"]:
        child = forked(partial(main, words), place.with_suffix(".log"))
        while chance.random() < 0.99 and not list(place.glob("*/last")):
            time.sleep(0.01)  # mostly until there is a state, for what follows to show anything
        time.sleep(chance.uniform(0.0, 0.5 * seconds))
        os.kill(child, signal.SIGKILL)
        seen["kills"] += ended(child) == -signal.SIGKILL
        over = (place / "results.json").is_file()
        seen["from_state"] += bool(list(place.glob("*/last"))) and not over
        again = [*start(place), "--overwrite"]
        words = resume(place) if (place / "run.json").is_file() and not over else again
    seen["code"] = ended(forked(partial(main, words), place.with_suffix(".log")))
    seen["made"] = what_it_made(place) if seen["code"] == 0 else "nothing"
    return seen


def stop_and_resume(place: Path, seconds: float, chance: random.Random) -> dict[str, Any]:
    """Ask a run to stop before its end, see that it does and what it left, then let it end."""
    number = chance.choice([signal.SIGTERM, signal.SIGINT])
    seen: dict[str, Any] = {"signal": number.name}
    while not seen.get("stopped"):  # a run that ended before it was asked shows nothing
        shutil.rmtree(place, ignore_errors=True)
        child = forked(partial(main, start(place)), place.with_suffix(".log"))
        while not (place / "run.json").is_file():
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.8 * seconds))
        asked = time.monotonic()
        os.kill(child, number)
        seen |= {"code": ended(child), "took_s": time.monotonic() - asked}
        seen["stopped"] = not (place / "results.json").is_file()
    seen["again"] = ended(forked(partial(main, resume(place)), place.with_suffix(".log")))
    seen["made"] = what_it_made(place) if seen["again"] == 0 else "nothing"
    return seen


def kill_while_saving(folder: Path, seconds: float, chance: random.Random) -> dict[str, Any]:
    """Kill a process that does nothing but save, and load what it left."""
    folder.mkdir()

    def save_on() -> int:
        for step in range(10**6):
            tensors = {"student.x": torch.full((50_000,), float(step))}
            save_state(folder, TrainingState(tensors, {}, 5, step, 0.0, [], TRIAL, "cpu"))
        return 0

    child = forked(save_on, folder.with_suffix(".log"))
    time.sleep(chance.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    ended(child)
    state = load_state(folder)
    whole = state is None or bool((state.tensors["student.x"] == state.step).all())
    return {"whole": whole, "saved": -1 if state is None else state.step}


TRIALS = {"kill": kill_and_resume, "term": stop_and_resume, "save": kill_while_saving}


def trials(what: str, n: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Run `n` trials, two at a time."""
    whole = folder / "whole"
    began = time.monotonic()
    if what != "save":
        assert ended(forked(partial(main, start(whole)), folder / "whole.log")) == 0
    seconds = time.monotonic() - began

    def trial(number: int) -> dict[str, Any]:
        chance = random.Random(1000 * seed + number)
        seen = TRIALS[what](folder / f"trial-{number}", seconds, chance)
        shutil.rmtree(folder / f"trial-{number}")
        return seen

    def half(first: int) -> int:
        seen = [trial(number) for number in range(first, n, 2)]
        (folder / f"half-{first}.json").write_text(json.dumps(seen))
        return 0

    # Two processes, not two threads: what a thread holds while the other forks stays held.
    halves = [forked(partial(half, first), folder / f"half-{first}.log") for first in (0, 1)]
    assert [ended(child) for child in halves] == [0, 0]
    seen = [json.loads((folder / f"half-{first}.json").read_text()) for first in (0, 1)]
    made = "" if what == "save" else what_it_made(whole)
    return {"whole": made, "whole_s": seconds, "trials": seen[0] + seen[1]}


def script(words: list[str]) -> None:
    """Run the trials that the command line names."""
    dataset = cycle_dataset()
    world = dataset, oracle_teacher(dataset)
    Source.open = lambda _: world  # type: ignore[method-assign]
    torch.set_num_threads(1)
    run.write_report = lambda _: None  # type: ignore[assignment] - most of a small run's time
    for module in (
        "torch._dynamo",
        "matplotlib.pyplot",
        "jinja2",
        "rich.progress",
        "pydantic",
        "dllm2rec.train.train_run",
    ):
        import_module(module)  # once, before the forks
    folder = Path(words[2])
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(json.dumps(trials(words[0], int(words[1]), folder)) + "\n")


if __name__ == "__main__":
    script(sys.argv[1:])
