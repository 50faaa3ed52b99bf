"""SIGKILL at any moment of what writes: what is seen afterwards is whole, and work can go on."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import Dllm2RecError
from dllm2rec.exports.load_export import load_export
from dllm2rec.storage.atomic_folder import verify_folder
from dllm2rec.storage.output_folder import locked
from dllm2rec.teacher.folder import load_teacher
from tests.battery.trials import Tell, Trials
from tests.support.children import ended, forked
from tests.train.test_resume_run import trials as kill_trials

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
KEPT = 0.1  # of the commands that were killed are run again


@dataclass(frozen=True)
class Writer:
    """A command that writes a folder.

    Attributes:
        words: its words, up to the folder.
        read: what is in the folder; refuses one that is not whole.
    """

    words: list[str]
    read: Callable[[Path], object]


def writers(home: Path) -> dict[str, Writer]:
    data, run = str(home / "data"), str(home / "run")
    return {
        "prepare": Writer(
            ["prepare", str(home / "log.csv"), "--out"],
            lambda out: load_dataset(out).fingerprint(),
        ),
        "prepare --write authors": Writer(
            ["prepare", data, "--write", "authors", "--out"],
            lambda out: load_dataset(out).fingerprint(),
        ),
        "teacher import": Writer(
            ["teacher", "import", str(home / "lists"), "--dataset", data, "--out"],
            lambda out: load_teacher(out, load_dataset(home / "data")).ranking.tobytes(),
        ),
        "export": Writer(
            ["export", run, "--student", "sasrec", "--out"],
            lambda out: (verify_folder(out), load_export(out).recommend([["item-1"]]))[1],
        ),
    }


NAMES = ["prepare", "prepare --write authors", "teacher import", "export"]


def killed_after(words: list[str], delay_s: float, log: Path) -> bool:
    """Start a command and kill it; whether it was killed before its end."""
    child = forked(partial(main, words), log)
    time.sleep(delay_s)
    os.kill(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


@pytest.mark.parametrize("name", NAMES)
def test_a_command_killed_at_any_moment_leaves_all_or_nothing(
    home: Path, tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    writer, log, out = writers(home)[name], tmp_path / "log", tmp_path / "made" / "out"
    began = time.monotonic()
    assert ended(forked(partial(main, [*writer.words, str(tmp_path / "whole")]), log)) == 0
    seconds = time.monotonic() - began
    right = writer.read(tmp_path / "whole")
    n_killed = n_whole = 0
    for chance in trials.of(200):
        n_killed += killed_after([*writer.words, str(out)], chance.uniform(0.0, seconds), log)
        if out.exists():
            n_whole += 1
            assert writer.read(out) == right
        if chance.random() < KEPT:
            words = [*writer.words, str(out), *(["--overwrite"] if out.exists() else [])]
            assert ended(forked(partial(main, words), log)) == 0, log.read_text()
            assert writer.read(out) == right
            assert [path.name for path in out.parent.iterdir()] == ["out"]
        shutil.rmtree(out.parent, ignore_errors=True)
    assert n_killed
    tell({"kills": n_killed, "whole folders": n_whole, "in part": 0}, "commands", name)


def test_control_plain_writing_leaves_parts(home: Path, tmp_path: Path, trials: Trials) -> None:
    out = tmp_path / "out"

    def write_on() -> int:
        while True:
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(home / "data", out)

    in_part = 0
    for chance in trials.of(100):
        child = forked(write_on, tmp_path / "log")
        time.sleep(chance.uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        ended(child)
        try:
            load_dataset(out)
        except Dllm2RecError:
            in_part += 1
    assert in_part


def test_a_training_killed_at_any_moment_ends_with_the_same_bits(
    tmp_path: Path, trials: Trials, tell: Tell
) -> None:
    seen = kill_trials("kill", trials.count(200), tmp_path)
    each = seen["trials"]
    assert {(trial["code"], trial["made"]) for trial in each} == {(0, seen["whole"])}
    assert all(trial["from_state"] for trial in each)
    n_kills = sum(trial["kills"] for trial in each)
    tell({"trainings": len(each), "kills": n_kills, "with other bits": 0})


def test_a_save_killed_at_any_moment_leaves_a_whole_state(
    tmp_path: Path, trials: Trials, tell: Tell
) -> None:
    each = kill_trials("save", trials.count(200), tmp_path)["trials"]
    assert all(trial["whole"] for trial in each)
    tell({"kills while saving": len(each), "states in part": 0})


def test_control_torch_save_in_place_leaves_parts(tmp_path: Path, trials: Trials) -> None:
    file = tmp_path / "state.pt"

    def save_on() -> int:
        while True:
            torch.save({"x": torch.zeros(500_000)}, file)

    in_part = 0
    for chance in trials.of(60):
        child = forked(save_on, tmp_path / "log")
        time.sleep(chance.uniform(0.02, 0.1))
        os.kill(child, signal.SIGKILL)
        ended(child)
        try:
            torch.load(file, weights_only=True)
        except (RuntimeError, OSError, EOFError):
            in_part += 1
    assert in_part


def test_a_lock_of_a_killed_process_is_taken_over(
    tmp_path: Path, trials: Trials, tell: Tell
) -> None:
    folder, held = tmp_path / "run", tmp_path / "held"

    def hold() -> int:
        with locked(folder):
            held.touch()
            time.sleep(60)
        return 0

    n = 0
    for chance in trials.of(20):
        child = forked(hold, tmp_path / "log")
        while not held.exists():
            time.sleep(0.001)
        with pytest.raises(Dllm2RecError, match=f"process {child} "), locked(folder):
            pytest.fail("it was held")
        time.sleep(chance.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        ended(child)
        with locked(folder):
            n += 1
        held.unlink()
    tell({"locks of killed processes taken over": n})


def test_control_a_plain_lock_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "lock"

    def hold() -> int:
        file.touch(exist_ok=False)
        time.sleep(60)
        return 0

    child = forked(hold, tmp_path / "log")
    while not file.exists():
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    ended(child)
    with pytest.raises(FileExistsError):
        file.touch(exist_ok=False)
