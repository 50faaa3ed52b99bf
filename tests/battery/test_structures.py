"""Folders of ours that hold what we never write, their checksums right: read or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec import load
from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import Dllm2RecError, InputError
from dllm2rec.exports.load_export import load_export
from dllm2rec.teacher.folder import load_teacher
from tests.battery.test_readers import mutated as mutated_bytes
from tests.battery.trials import Tell, Trials
from tests.runs.test_mutations import mutated, put_run_file, sealed
from tests.support.children import ended, forked

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning"),
]


def read_export(home: Path) -> object:
    return load_export(home / "export", threads=1).recommend([["item-1"], ["item-7"]])


def read_dataset(home: Path) -> object:
    return load_dataset(home / "data").fingerprint()


def read_teacher(home: Path) -> object:
    return load_teacher(home / "teacher", load_dataset(home / "data"))


def read_run(home: Path) -> object:
    return load(home / "run", device="cpu").recommend([["item-1"], ["item-7"]])


def use_mapped(home: Path) -> None:
    """Read what a command reads of a dataset whose arrays are mapped."""
    code = main(["audit", str(home / "mapped")])
    assert code in {0, 3, 4}
    if code:
        raise InputError("told by the command")


FOLDERS: dict[str, Callable[[Path], object]] = {
    "data": read_dataset,
    "mapped": use_mapped,
    "teacher": read_teacher,
    "export": read_export,
}


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    for name in [*FOLDERS, "run"]:
        shutil.copytree(home / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", FOLDERS)
def test_a_changed_manifest_is_read_or_refused(
    copied: Path, name: str, trials: Trials, tell: Tell
) -> None:
    file, read = copied / name / "manifest.json", FOLDERS[name]
    good = file.read_bytes()
    content: dict[str, Any] = json.loads(good)
    n = n_refused = 0
    for chance in trials.of(1000):
        try:
            bad = sealed(mutated(content, chance))
        except ValueError:
            continue  # what JSON cannot hold
        file.write_bytes(bad)
        n += 1
        try:
            read(copied)
        except Dllm2RecError:
            n_refused += 1
    file.write_bytes(good)
    assert n_refused
    tell({"changed manifests": n, "refused": n_refused, "crashes": 0}, "kinds of folder", name)


# Manifests are changed above; no answer depends on the others.
UNLIKE = {"manifest.json", "run.json", "report.html", ".lock"}
# What an array may become.
ARRAYS: dict[str, Callable[[Any], Any]] = {
    "shorter": lambda array: array[:-1],
    "flat": lambda array: array.ravel(),
    "deeper": lambda array: array[None],
    "empty": lambda array: array[:0],
    "doubles": lambda array: array.astype(np.float64),
    "halves": lambda array: array.astype(np.float16),
    "bytes": lambda array: array.astype(np.int8),
    "negative": lambda array: np.full(array.shape, -1, np.int64),
    "huge": lambda array: np.full_like(array, np.iinfo(np.int32).max),
    "Fortran": lambda array: np.asfortranarray(array),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "text": lambda array: array.astype(str),
    "complex": lambda array: array.astype(np.complex64),
}


@pytest.mark.parametrize("name", ["teacher", "export", "mapped"])
def test_a_forged_array_is_read_or_refused(copied: Path, name: str, tell: Tell) -> None:
    n = n_refused = 0
    for file in sorted((copied / name).glob("*.npy")):
        good, array = file.read_bytes(), np.load(file)
        for change in ARRAYS.values():
            np.save(file, change(array))
            put_run_file(copied / name, file.name, file.read_bytes())
            n += 1
            try:
                FOLDERS[name](copied)
            except Dllm2RecError:
                n_refused += 1
        put_run_file(copied / name, file.name, good)
    FOLDERS[name](copied)
    assert n_refused
    tell({"forged arrays": n, "refused": n_refused, "crashes": 0}, "kinds of folder", name)


@pytest.mark.parametrize("name", [*FOLDERS, "run"])
def test_mutated_files_of_a_sealed_folder_are_read_or_refused(
    copied: Path, name: str, trials: Trials, tell: Tell
) -> None:
    """Bytes that no checksum refuses, as of one who made the folder to do harm."""
    folder, told = copied / name, copied / "told"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    good = {path: path.read_bytes() for path in files if path.name not in UNLIKE}
    read = FOLDERS.get(name, read_run)

    def all_of_them() -> int:
        n_refused = 0
        for chance in trials.of(1000):
            file = chance.choice([*good])
            inside = str(file.relative_to(folder))
            told.write_text(f"trial {trials.now}: {inside}")
            put_run_file(folder, inside, mutated_bytes(good[file], chance))
            try:
                read(copied)
            except Dllm2RecError:
                n_refused += 1
            put_run_file(folder, inside, good[file])
        told.write_text(str(n_refused))
        return 0

    code = ended(forked(all_of_them, copied / "log"), within_s=3000.0)
    log = (copied / "log").read_text(errors="replace")
    assert code == 0, f"{told.read_text()}: {code}\n{log[-3000:]}"
    n_refused = int(told.read_text())
    assert n_refused
    counts = {"mutated files": trials.count(1000), "refused": n_refused, "crashes": 0}
    tell(counts, "kinds of folder", name)


def test_control_a_manifest_that_is_not_sealed_is_always_refused(
    copied: Path, trials: Trials
) -> None:
    """Without right checksums no change would reach what the trials above look at."""
    file = copied / "data" / "manifest.json"
    content = json.loads(file.read_bytes())
    for chance in trials.of(100):
        bad = mutated(content, chance)
        if bad == content:
            continue
        file.write_text(json.dumps(bad), encoding="utf-8")
        with pytest.raises(Dllm2RecError):
            read_dataset(copied)
