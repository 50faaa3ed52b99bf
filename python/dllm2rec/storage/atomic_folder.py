"""Folders that are there whole or not at all: written aside, hashed, fsynced, renamed.

A folder holds a `manifest.json` with its kind, its format version, what made it, and size and
sha256 of every other file. Reading verifies all of it before anything else is opened.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError

from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.storage.atomic_file import (
    FileRecord,
    fsync,
    out_of_resources,
    record_of,
    remove_leftovers,
)
from dllm2rec.storage.sealed_json import read_sealed, seal

MANIFEST = "manifest.json"


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
        remove_leftovers(path.parent, path.name)
        aside = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        aside.mkdir()
        try:
            manifest = _fill(aside, writers, kind, version, dict(facts or {}))
            aside.rename(path)
            fsync(path.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as err:
        raise out_of_resources(path, err.strerror or str(err)) from err
    except SafetensorError as err:
        if "I/O error" not in str(err):
            raise
        raise out_of_resources(path, str(err)) from err
    return manifest


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
    manifest = parse_manifest(path)
    if manifest.kind != kind:
        raise ArtifactError(f"{path}: a {manifest.kind!r} folder, expected a {kind!r} folder")
    if manifest.version > newest_version:
        raise ArtifactError(
            f"{path}: format version {manifest.version} written by {manifest.made_by}, expected "
            f"at most {newest_version}; install a newer dllm2rec"
        )
    _verify_files(path, manifest)
    return manifest


def verify_folder(path: Path) -> None:
    """Verify a folder's manifest, of whatever kind, and every file that it lists.

    Raises:
        ArtifactError: no manifest, or a file that is missing or differs.
    """
    _verify_files(path, parse_manifest(path))


def _verify_files(path: Path, manifest: Manifest) -> None:
    for name, record in manifest.files.items():
        _verify_file(path, name, record)


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
        fsync(file)
        files[name] = record_of(file)
    manifest = Manifest(kind, version, f"dllm2rec {package_version('dllm2rec')}", facts, files)
    (folder / MANIFEST).write_bytes(_manifest_bytes(manifest))
    fsync(folder / MANIFEST)
    for inner in {(folder / name).parent for name in writers} | {folder}:
        fsync(inner)
    return manifest


def _manifest_bytes(manifest: Manifest) -> bytes:
    return seal(asdict(manifest))


def parse_manifest(path: Path) -> Manifest:
    """Read a folder's manifest, which verifies itself; the files that it lists are not read.

    Raises:
        ArtifactError: it is missing, or not as it was written.
    """
    file = path / MANIFEST
    content = read_sealed(file, "the manifest of a whole folder")
    try:
        content["files"] = {n: FileRecord(**record) for n, record in content["files"].items()}
        manifest = Manifest(**content)
    except (TypeError, KeyError, AttributeError) as err:
        raise ArtifactError(f"{file}: not a manifest of ours ({type(err).__name__})") from err
    _check_types(file, manifest)
    return manifest


def _check_types(file: Path, manifest: Manifest) -> None:
    fields_hold = (
        isinstance(manifest.kind, str)
        and isinstance(manifest.made_by, str)
        and isinstance(manifest.facts, dict)
        and type(manifest.version) is int
        and all(
            type(record.size) is int and isinstance(record.sha256, str)
            for record in manifest.files.values()
        )
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
    if record_of(file) != record:
        raise ArtifactError(f"{file}: its sha256 differs from {MANIFEST}; copy the folder again")


def _check_name(name: str, folder: Path) -> None:
    pure = PurePosixPath(name)
    leaves = pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name
    if leaves or str(pure) != name or name in {"", ".", MANIFEST}:
        raise ArtifactError(f"{folder}: file name {name!r}, expected a path inside the folder")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and next(path.iterdir(), None) is None
