"""One flipped bit, anywhere in what a command reads: refused, and never another answer."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ArtifactError
from dllm2rec.report.page import write_report
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_folder import open_source
from dllm2rec.runs.training_state import load_state
from dllm2rec.serve.recommend import recommend
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.train_seed import _clean

# Commands are run on many copies of a run.
pytestmark = pytest.mark.slow

BITS_A_FILE = 2  # besides the first and the last byte


def resumed(home: Path) -> object:
    """What resuming reads: of a run that has ended, and of students under way."""
    data, teacher = open_source(home / "run", None, None)
    result = resume_run(home / "run", data, teacher)
    states = []
    for student in ("sasrec", "sasrec+dllm2rec"):
        state = load_state(home / "run" / student)
        assert state is not None
        _clean(home / "run" / student)
        states.append(
            (state.records, {key: tensor.tolist() for key, tensor in state.tensors.items()})
        )
    return result, states


COMMANDS: dict[str, Callable[[Path], object]] = {
    "recommend": lambda home: recommend(home / "run", [["item-1"], ["item-7"]], device="cpu"),
    "recommend of a student": lambda home: recommend(
        home / "run" / "sasrec", [["item-1"]], device="cpu"
    ),
    "evaluate": lambda home: evaluate_run(home / "run", device="cpu"),
    "report": lambda home: write_report(home / "run").read_bytes(),
    "resume": resumed,
    "authors' layout": lambda home: load_dataset(home / "theirs").fingerprint(),
}

_opened: list[Path] | None = None


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], str):
        is_read = arguments[1] is None or not set("wax+") & set(arguments[1])
        if is_read:
            _opened.append(Path(arguments[0]))


sys.addaudithook(_listen)


@contextmanager
def listening() -> Iterator[list[Path]]:
    """What is opened to be read within the block, by Python."""
    global _opened
    _opened = opened = []
    try:
        yield opened
    finally:
        _opened = None


def bits_of(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """The content with one bit flipped: in the first byte, the last one and others."""
    places = {0, len(content) - 1, *(chance.randrange(len(content)) for _ in range(BITS_A_FILE))}
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.randrange(8)
        yield bytes(flipped)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flipped_bit_of_what_a_command_reads_is_refused(home: Path, name: str) -> None:
    command, chance = COMMANDS[name], random.Random(0)
    right = command(home)
    with listening() as opened:
        assert command(home) == right
    read = {path.resolve() for path in opened if path.is_file()} - {home / "run" / "report.html"}
    served = []
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        if file.name in {"log.csv", ".lock", "report.html"}:
            continue
        good = file.read_bytes()
        for bad in bits_of(good, chance) if good else ():
            file.write_bytes(bad)
            try:
                answer = command(home)
            except ArtifactError:
                continue
            finally:
                file.write_bytes(good)
            if answer != right or file.resolve() in read:
                served.append(file.relative_to(home).as_posix())
    assert served == []
    assert any(home.resolve() in path.parents for path in read)


def test_what_each_command_verifies(home: Path) -> None:
    with listening() as opened:
        COMMANDS["recommend"](home)
    names = {path.name for path in opened}
    assert {"run.json", "items.parquet", "best", "model.safetensors", "state.json"} <= names


def test_a_run_without_checksums_is_read_and_told(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Path(shutil.copytree(home / "run", tmp_path / "old"))
    right = recommend(old, [["item-1"]], device="cpu")
    page = write_report(old).read_text(encoding="utf-8")
    for file in old.rglob("*.json"):
        if file.name in {"run.json", "results.json", "result.json"}:
            content = json.loads(file.read_bytes())
            del content["sha256"]
            if file.name == "run.json":
                content["format"] = 1
                del content["files"]
            file.write_text(json.dumps(content, indent=1), encoding="utf-8")
    for pointer in (*old.glob("*/best"), *old.glob("*/last")):
        pointer.write_text(pointer.read_text().split("\n")[0] + "\n")
    for seal in old.rglob("metrics.sha256"):
        seal.unlink()
    with caplog.at_level(logging.WARNING):
        assert recommend(old, [["item-1"]], device="cpu") == right
    assert "W-UNVERIFIED" in caplog.text
    assert write_report(old).read_text(encoding="utf-8") == page.replace(
        "<td>format</td><td>2</td>", "<td>format</td><td>1</td>"
    )
    data, teacher = open_source(old, None, None)
    result = resume_run(home / "run", data, teacher)
    assert resume_run(old, data, teacher) == dataclasses.replace(result)


@pytest.mark.parametrize("key", ["sha256", "files"])
def test_a_run_of_this_version_without_its_checksums_is_refused(
    home: Path, tmp_path: Path, key: str
) -> None:
    copied = Path(shutil.copytree(home / "run", tmp_path / "run"))
    content = json.loads((copied / "run.json").read_bytes())
    del content[key]
    (copied / "run.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"run\.json"):
        recommend(copied, [["item-1"]], device="cpu")
