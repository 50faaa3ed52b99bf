"""Folders on disk: whole or absent, and refused when anything in them changed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dllm2rec.errors import ArtifactError, ConfigError, ResourceError
from dllm2rec.storage.atomic_file import FileRecord
from dllm2rec.storage.atomic_folder import (
    Manifest,
    _manifest_bytes,
    read_manifest,
    write_folder,
)

WRITERS = {
    "a.bin": lambda path: path.write_bytes(bytes(range(256))),
    "inner/b.txt": lambda path: path.write_text("text\n"),
}


def make(path: Path) -> Path:
    write_folder(path, WRITERS, kind="thing", version=2, facts={"n": 3, "who": "Ünï"})
    return path


def read(path: Path) -> Manifest:
    return read_manifest(path, "thing", newest_version=2)


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_folder_is_written_and_verified(tmp_path):
    folder = make(tmp_path / "deep" / "folder")
    manifest = read(folder)
    assert (manifest.kind, manifest.version) == ("thing", 2)
    assert manifest.facts == {"n": 3, "who": "Ünï"}
    assert manifest.made_by.startswith("dllm2rec ")
    assert manifest.files["a.bin"].size == 256
    assert (folder / "inner" / "b.txt").read_text() == "text\n"
    assert names_in(tmp_path / "deep") == ["folder"]


def test_empty_folder_may_be_filled_and_any_other_not(tmp_path):
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    for taken in ("empty", "file"):
        with pytest.raises(ConfigError, match="expected a new or empty folder"):
            make(tmp_path / taken)
    assert read(tmp_path / "empty").version == 2


def test_failing_writer_leaves_nothing(tmp_path):
    def fail(path: Path) -> None:
        path.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "f", {**WRITERS, "c": fail}, kind="thing", version=1)
    assert names_in(tmp_path) == []


def test_every_flipped_bit_is_refused(tmp_path):
    folder = make(tmp_path / "folder")
    rng = random.Random(0)
    for name in ("a.bin", "inner/b.txt", "manifest.json"):
        whole = (folder / name).read_bytes()
        for bit in rng.sample(range(8 * len(whole)), min(300, 8 * len(whole))):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            (folder / name).write_bytes(flipped)
            with pytest.raises(ArtifactError):
                read(folder)
        (folder / name).write_bytes(whole)
    read(folder)


def test_every_cut_is_refused(tmp_path):
    folder = make(tmp_path / "folder")
    for name in ("a.bin", "manifest.json"):
        whole = (folder / name).read_bytes()
        for percent in range(100):
            (folder / name).write_bytes(whole[: len(whole) * percent // 100])
            with pytest.raises(ArtifactError):
                read(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("gone", ["a.bin", "inner/b.txt", "manifest.json"])
def test_missing_file_is_refused(tmp_path, gone):
    folder = make(tmp_path / "folder")
    (folder / gone).unlink()
    with pytest.raises(ArtifactError, match=Path(gone).name):
        read(folder)


def test_link_in_place_of_a_file_is_refused(tmp_path):
    folder = make(tmp_path / "folder")
    (folder / "a.bin").rename(tmp_path / "elsewhere")
    (folder / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="no regular file"):
        read(folder)


def test_other_files_in_the_folder_are_ignored(tmp_path):
    folder = make(tmp_path / "folder")
    (folder / "left.tmp").write_text("x")
    read(folder)


def test_other_kind_and_newer_version_are_refused(tmp_path):
    folder = make(tmp_path / "folder")
    with pytest.raises(ArtifactError, match="a 'thing' folder, expected a 'teacher' folder"):
        read_manifest(folder, "teacher", newest_version=2)
    with pytest.raises(ArtifactError, match=r"format version 2 .* at most 1; install a newer"):
        read_manifest(folder, "thing", newest_version=1)


BAD_NAMES = ["../out", "/etc/x", "a/../../b", "", ".", "a//b", "./a", "c:\\x", "a\\b", "a\0b"]


@pytest.mark.parametrize("name", [*BAD_NAMES, "manifest.json"])
def test_path_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="expected a path inside the folder"):
        write_folder(tmp_path / "w", {name: WRITERS["a.bin"]}, kind="thing", version=1)
    assert names_in(tmp_path) == []
    # A manifest that is consistent in itself, as an attacker would write it.
    (tmp_path / "out").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    forged = Manifest("thing", 1, "x", {}, {name: FileRecord(6, "0" * 64)})
    (folder / "manifest.json").write_bytes(_manifest_bytes(forged))
    with pytest.raises(ArtifactError, match="expected a path inside the folder"):
        read(folder)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "{}", '{"sha256": 1, "files": 3}', "[" * 100_000, '{"files": {"a": [1]}}'],
)
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json: .*expected"):
        read(tmp_path)


def test_manifest_with_fields_of_other_types_is_refused(tmp_path):
    forged = Manifest("thing", "2", "x", {}, {})  # type: ignore[arg-type]
    (tmp_path / "manifest.json").write_bytes(_manifest_bytes(forged))
    with pytest.raises(ArtifactError, match="a field of another type"):
        read(tmp_path)


def test_manifest_is_readable_json(tmp_path):
    content = json.loads((make(tmp_path / "folder") / "manifest.json").read_text())
    assert sorted(content) == ["facts", "files", "kind", "made_by", "sha256", "version"]


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    dead, living = (
        tmp_path / f".folder.{child.pid}.ab.tmp",
        tmp_path / f".folder.{os.getppid()}.cd.tmp",
    )
    other = tmp_path / f".folder2.{child.pid}.ab.tmp"
    for leftover in (dead, living, other):
        leftover.mkdir()
    make(tmp_path / "folder")
    assert names_in(tmp_path) == sorted([living.name, other.name, "folder"])


def run_python(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    )


FULL_DISK = """
import resource, sys
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.errors import ResourceError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_folder(sys.argv[1], {"a": lambda p: p.write_bytes(b"x" * 999),
                               "b": lambda p: p.write_bytes(b"x" * 1001)}, kind="thing", version=1)
except ResourceError as err:
    print(err)
"""


def test_full_disk_leaves_nothing_and_says_so(tmp_path):
    out, _ = run_python(FULL_DISK, tmp_path / "folder").communicate()
    assert str(tmp_path / "folder") in out
    assert "bytes free" in out
    assert names_in(tmp_path) == []


def test_tensor_writer_out_of_space_is_a_resource_error(tmp_path):
    from safetensors import SafetensorError

    def fail(path: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    with pytest.raises(ResourceError, match="No space left"):
        write_folder(tmp_path / "folder", {"t": fail}, kind="thing", version=1)


def test_unwritable_parent_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"Not a directory|File exists"):
        make(tmp_path / "file" / "folder")


WRITE_FOR_EVER = """
import itertools, sys
from dllm2rec.storage.atomic_folder import write_folder
print("ready", flush=True)
for n in itertools.count():
    write_folder(f"{sys.argv[1]}/{n}", {f"{f}.bin": lambda p: p.write_bytes(bytes(100_000))
                                        for f in range(3)}, kind="thing", version=1)
"""


@pytest.mark.slow
def test_folder_that_is_seen_is_whole_after_sigkill(tmp_path):
    rng = random.Random(1)
    seen = 0
    for trial in range(5):
        home = tmp_path / str(trial)
        home.mkdir()
        child = run_python(WRITE_FOR_EVER, home)
        assert child.stdout is not None
        child.stdout.readline()
        while not any(folder.name[0] != "." for folder in home.iterdir()):
            assert child.poll() is None
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        for folder in home.iterdir():
            if not folder.name.startswith("."):
                read(folder)
                seen += 1
    assert seen > 0
