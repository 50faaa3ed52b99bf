"""Folders that are there whole or not at all: written aside, hashed, fsynced, renamed.

A folder holds a `manifest.json` with its kind, its format version, what made it, and size and
sha256 of every other file. Reading verifies all of it before anything else is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError

from dllm2rec.errors import ArtifactError, ConfigError, ResourceError

MANIFEST = "manifest.json"
# A manifest lists a handful of files: more than this is not one of ours.
_MANIFEST_LIMIT = 16 * 2**20


@dataclass(frozen=True)
class FileRecord:
    """What a manifest says of one file: its size in bytes and its sha256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a folder says of itself.

    Attributes:
        kind: what the folder is, such as "teacher".
        version: version of this kind's format, from 1.
        made_by: the program that wrote it and its version.
        facts: what its kind needs to know, plain JSON values.
        files: the other files of the folder, by their relative path with forward slashes.
    """

    kind: str
    version: int
    made_by: str
    facts: dict[str, Any]
    files: dict[str, FileRecord]


def write_folder(
    path: str | Path,
    writers: Mapping[str, Callable[[Path], object]],
    *,
    kind: str,
    version: int,
    facts: Mapping[str, Any] | None = None,
) -> Manifest:
    """Write a folder so that it is seen complete or not at all, whatever stops the writing.

    Each file is written into a hidden folder beside `path`, hashed and fsynced; the manifest
    comes last; then the folder takes its name.

    Args:
        path: the folder to make.
        writers: for each file, by its path inside the folder, a function that writes it at the
            place it is given.
        kind: what the folder is.
        version: version of this kind's format.
        facts: plain JSON values for the manifest.

    Raises:
        ConfigError: `path` exists and is no empty folder: nothing is ever replaced.
        ResourceError: disk full, quota, no permission; nothing is left behind.
    """
    path = Path(path)
    for name in writers:
        _check_name(name, path)
    if path.exists() and not _is_empty_folder(path):
        raise ConfigError(f"{path}: it exists, expected a new or empty folder; name another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        aside = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        aside.mkdir()
        try:
            manifest = _fill(aside, writers, kind, version, dict(facts or {}))
            aside.rename(path)
            _fsync(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as err:
        raise _out_of_resources(path, err.strerror or str(err)) from err
    except SafetensorError as err:
        if "I/O error" not in str(err):
            raise
        raise _out_of_resources(path, str(err)) from err
    return manifest


def check_space(path: Path, n_bytes: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        path: what is about to be written; the nearest folder above it that exists is asked.
        n_bytes: how large it will be.

    Raises:
        ResourceError: fewer bytes are free; the message has both.
    """
    place = next(place for place in path.absolute().parents if place.is_dir())
    free = shutil.disk_usage(place).free
    if free < n_bytes:
        raise ResourceError(
            f"{path}: {n_bytes:,} bytes to write, {free:,} bytes free; make room there; what was "
            "there before is unchanged"
        )


def replace_text(path: Path, text: str) -> None:
    """Write a small text file so that readers see the old one or the new one, never a part.

    Raises:
        ResourceError: disk full, quota, no permission; the old file is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            aside.write_text(text, encoding="utf-8")
            _fsync(aside)
            aside.replace(path)
            _fsync(path.parent)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as err:
        raise _out_of_resources(path, err.strerror or str(err)) from err


def read_manifest(path: str | Path, kind: str, *, newest_version: int) -> Manifest:
    """Read a folder's manifest and verify every file that it lists.

    Args:
        path: the folder.
        kind: what the folder must be.
        newest_version: the newest format version the caller understands.

    Raises:
        ArtifactError: no manifest, another kind or a newer version, a file that is missing or
            differs, or a path that leaves the folder.
    """
    path = Path(path)
    manifest = _parse_manifest(path)
    if manifest.kind != kind:
        raise ArtifactError(f"{path}: a {manifest.kind!r} folder, expected a {kind!r} folder")
    if manifest.version > newest_version:
        raise ArtifactError(
            f"{path}: format version {manifest.version} written by {manifest.made_by}, expected "
            f"at most {newest_version}; install a newer dllm2rec"
        )
    for name, record in manifest.files.items():
        _verify_file(path, name, record)
    return manifest


def _fill(
    folder: Path,
    writers: Mapping[str, Callable[[Path], object]],
    kind: str,
    version: int,
    facts: dict[str, Any],
) -> Manifest:
    files = {}
    for name, write in writers.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file)
        _fsync(file)
        files[name] = FileRecord(file.stat().st_size, _sha256(file))
    manifest = Manifest(kind, version, f"dllm2rec {package_version('dllm2rec')}", facts, files)
    (folder / MANIFEST).write_bytes(_manifest_bytes(manifest))
    _fsync(folder / MANIFEST)
    for inner in {(folder / name).parent for name in writers} | {folder}:
        _fsync(inner)
    return manifest


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of this folder left when they were killed."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        pid = leftover.name.removeprefix(f".{path.name}.").split(".")[0]
        if pid.isdecimal() and int(pid) != os.getpid() and not _is_running(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _manifest_bytes(manifest: Manifest) -> bytes:
    """Return the one spelling of a manifest, its own sha256 included."""
    content = asdict(manifest)
    plain = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    content["sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode() + b"\n"


def _parse_manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST
    try:
        if file.stat().st_size > _MANIFEST_LIMIT:
            raise ArtifactError(f"{file}: larger than {_MANIFEST_LIMIT} bytes, expected a manifest")
        raw = file.read_bytes()
    except OSError as err:
        raise ArtifactError(
            f"{file}: {err.strerror}, expected the manifest of a whole folder"
        ) from err
    try:
        content = json.loads(raw)
        content.pop("sha256")
        content["files"] = {n: FileRecord(**record) for n, record in content["files"].items()}
        manifest = Manifest(**content)
        spelled = _manifest_bytes(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise ArtifactError(f"{file}: not a manifest of ours ({type(err).__name__})") from err
    # One spelling only: a flipped bit anywhere in the file shows, whatever JSON makes of it.
    if spelled != raw:
        raise ArtifactError(f"{file}: changed since it was written, expected its own sha256")
    _check_types(file, manifest)
    return manifest


def _check_types(file: Path, manifest: Manifest) -> None:
    fields_hold = (
        isinstance(manifest.kind, str)
        and isinstance(manifest.made_by, str)
        and isinstance(manifest.facts, dict)
        and type(manifest.version) is int
        and all(type(record.size) is int for record in manifest.files.values())
    )
    if not fields_hold:
        raise ArtifactError(f"{file}: a field of another type, expected a manifest of ours")


def _verify_file(folder: Path, name: str, record: FileRecord) -> None:
    _check_name(name, folder)
    file = folder / name
    if file.is_symlink() or not file.is_file():
        raise ArtifactError(f"{file}: missing or no regular file, expected as in {MANIFEST}")
    size = file.stat().st_size
    if size != record.size:
        raise ArtifactError(f"{file}: {size} bytes, expected {record.size}; copy the folder again")
    if _sha256(file) != record.sha256:
        raise ArtifactError(f"{file}: its sha256 differs from {MANIFEST}; copy the folder again")


def _check_name(name: str, folder: Path) -> None:
    pure = PurePosixPath(name)
    leaves = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name
    if leaves or str(pure) != name or name in {"", ".", MANIFEST}:
        raise ArtifactError(f"{folder}: file name {name!r}, expected a path inside the folder")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and next(path.iterdir(), None) is None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _out_of_resources(path: Path, reason: str) -> ResourceError:
    parent = path.parent if path.parent.is_dir() else Path.cwd()
    free = shutil.disk_usage(parent).free
    return ResourceError(
        f"{path}: not written ({reason}; {free:,} bytes free); what was there before is unchanged"
    )
