"""Rows X: words of a command line, and where a command runs."""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.storage.output_folder import locked
from dllm2rec.teacher.folder import load_teacher
from tests.corpus.case import Case, accepted, files, refused
from tests.corpus.worlds import (
    NO_REPORT,
    all_of,
    dataset,
    files_of_at_most,
    replaced,
    teacher,
    threads_as_before,
    train_words,
    training,
)

Words = Callable[[Path], list[str]]


def words(*given: str) -> Words:
    return lambda _: list(given)


def usage(name: str, *given: str, says: str) -> Case:
    return refused(name, words(*given), 2, says)


def flag_against_file(folder: Path) -> list[str]:
    files(folder, {"c.toml": "[train]\nseed = 1\nbatch_size = 7\n"})
    return train_words(folder, "--config", str(folder / "c.toml"), "--seed", "3")


def flag_won(folder: Path) -> None:
    written = tomllib.loads((folder / "out" / "config.toml").read_text())["train"]
    assert (written["seed"], written["batch_size"]) == (3, 7)


def not_empty(*more: str, name: str = "mine.txt") -> Words:
    """A run into a folder that holds a file."""

    def make(folder: Path) -> list[str]:
        files(folder, {f"full/{name}": "mine"})
        return train_words(folder, "--out", str(folder / "full"), *more)

    return make


def into_its_input(which: str) -> Words:
    def make(folder: Path) -> list[str]:
        return train_words(folder, "--out", str(folder / which), "--overwrite")

    return make


def import_into(which: str) -> Words:
    def make(folder: Path) -> list[str]:
        dataset(folder)
        (teacher(folder) / "all_embeddings.pt").unlink()  # no vectors, no torch: it is quicker
        base = ["teacher", "import", str(folder / "teacher"), "--dataset", str(folder / "data")]
        return [*base, "--out", str(folder / which), "--overwrite"]

    return make


def on_a_full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# --- as a process --------------------------------------------------------------------------------


def process(
    folder: Path,
    *given: str,
    env: dict[str, str] | None = None,
    stdout: int | None = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dllm2rec", *given],
        stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=folder, check=False, env=os.environ | (env or {}),
    )  # fmt: skip


def closed_stdout(folder: Path) -> None:
    """Nobody reads what is printed: the files are complete all the same."""
    given = import_into("out")(folder)
    reading, writing = os.pipe()
    os.close(reading)
    done = process(folder, *given, env={"PYTHONUNBUFFERED": ""}, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    assert len(load_teacher(folder / "out", load_dataset(folder / "data")).ranking) == 33


def same_bytes(folder: Path) -> None:
    """Machine output does not depend on the terminal or the locale."""
    given = import_into("\u00fc-out")(folder)
    bare = {"LANG": "C", "LC_ALL": "C", "COLUMNS": "1", "NO_COLOR": "1", "TERM": "dumb"}
    outputs = [process(folder, *given, "--json", env=env) for env in (bare, {"COLUMNS": "200"})]
    assert [done.returncode for done in outputs] == [0, 0], outputs[0].stderr
    assert outputs[0].stdout == outputs[1].stdout
    assert json.loads(outputs[0].stdout)["facts"]["rows"] == 33


def run_under_way(folder: Path) -> AbstractContextManager[None]:
    return locked(folder / "out")


X = [
    usage("X01-unknown", "train", "--nope", "1", says="No such option: --nope"),
    usage("X01-abbreviation", "train", "--alph", "1", says="No such option: --alph"),
    usage("X01-abbreviation-of-ours", "train", "--see", "1", says="No such option: --see"),
    usage("X01-abbreviation-of-import", "teacher", "import", "x", "--data", "y", "--out", "z", says="No such option: --data"),
    usage("X02-1e3", "train", "--seed", "1e3", says="'--seed'"),
    usage("X02-1e3-setting", "train", "--set", "train.max_epochs=1e3", says="--set train.max_epochs=1e3: 1000.0, expected a whole number"),
    usage("X02-decimal-comma", "train", "--set", "train.learning_rate=0,001", says="--set train.learning_rate=0,001"),
    accepted("X03-flag-wins", flag_against_file, check=flag_won, during=NO_REPORT),
    refused("X04-not-empty", not_empty(), 2, "not empty"),
    refused("X04-not-ours", not_empty("--overwrite"), 2, "expected a folder that dllm2rec wrote"),
    accepted("X04-ours", not_empty("--overwrite", name="config.toml"), during=NO_REPORT),
    refused("X05-dataset", into_its_input("data"), 2, "is or holds the input"),
    refused("X05-teacher", into_its_input("teacher"), 2, "is or holds the input"),
    refused("X05-above-both", into_its_input("."), 2, "is or holds the input"),
    refused("X05-import", import_into("teacher"), 2, "is or holds the input"),
    refused("X06-nobody-can-write", training("--out", "/proc/dllm2rec"), 6, "expected a place that can be written to"),
    refused("X06-full", training(), 6, "No space left on device", "out", during=replaced("tempfile.TemporaryFile", on_a_full_disk)),
    refused("X06-no-file-may-grow", training(), 6, "File too large", "out", during=files_of_at_most(0)),
    Case(name="X07-closed-stdout", call=closed_stdout),
    Case(name="X08-same-bytes", call=same_bytes),
    *[refused(f"X09-{name}", given, 2, "device cuda: none is present", during=replaced("torch.cuda.is_available", lambda: False)) for name, given in {
        "option": training("--device", "cuda"),
        "setting": training(sets=["train.device=cuda"]),
        "evaluate": words("evaluate", "x", "--device", "cuda"),
        "recommend": words("recommend", "x", "--history", "1", "--device", "cuda"),
    }.items()],
    refused("X10-two-runs", training("--overwrite"), 4, f"process {os.getpid()} on ", "is writing to it", during=run_under_way, begun=True),
    refused("X11-0", words("train", "--threads", "0"), 2, "'--threads'"),
    accepted("X11-a-million", training("--threads", "1000000"), f"--threads 1000000: {os.cpu_count()} are used", during=all_of(NO_REPORT, threads_as_before)),
]  # fmt: skip
