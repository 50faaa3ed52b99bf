"""One flipped bit anywhere in what a command reads: never another answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError
from dllm2rec.exports.load_export import load_export
from dllm2rec.teacher.folder import load_teacher
from tests.battery.trials import Tell, Trials
from tests.runs.test_every_bit import COMMANDS

pytestmark = [pytest.mark.battery, pytest.mark.timeout(3600)]

# Reading a folder beside the commands that read a run.
READ: dict[str, tuple[str, Callable[[Path], object]]] = {
    "recommend": ("run", COMMANDS["recommend"]),
    "evaluate": ("run", COMMANDS["evaluate"]),
    "export": (
        "export",
        lambda home: load_export(home / "export", threads=1).recommend([["item-1"], ["item-7"]]),
    ),
    "dataset": ("data", lambda home: load_dataset(home / "data").fingerprint()),
    "teacher": (
        "teacher",
        lambda home: load_teacher(home / "teacher", load_dataset(home / "data")).ranking.tobytes(),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_is_never_served(home: Path, name: str, trials: Trials, tell: Tell) -> None:
    folder, read = READ[name]
    right = read(home)
    files = sorted(
        path
        for path in (home / folder).rglob("*")
        if path.stat().st_size and path.is_file() and path.name not in {".lock", "report.html"}
    )
    n = n_refused = 0
    for chance in trials.of(2000):
        file = chance.choice(files)
        good = file.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        file.write_bytes(bad)
        try:
            answer = read(home)
        except ArtifactError:
            n_refused += 1
        else:
            assert answer == right, file  # of a file that it does not need
        finally:
            file.write_bytes(good)
        n += 1
    assert n_refused
    tell({"flipped bits": n, "refused": n_refused, "served wrong": 0}, "readers", name)


def test_control_a_file_without_a_checksum_serves_the_bit(home: Path, trials: Trials) -> None:
    file = next((home / "run" / "sasrec").rglob("model.safetensors"))
    good, right = file.read_bytes(), load_file(file)
    served = 0
    for chance in trials.of(100):
        bad = bytearray(good)
        bad[chance.randrange(len(bad) // 2, len(bad))] ^= 1 << chance.randrange(8)
        copied = home / "control.safetensors"
        copied.write_bytes(bad)
        served += any(
            read.numpy().tobytes() != right[name].numpy().tobytes()
            for name, read in load_file(copied).items()
        )
    assert served
