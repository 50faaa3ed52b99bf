"""Which files a log is made of, and in which format each is written."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from dllm2rec.errors import InputError

PathLike = str | os.PathLike[str]

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


def find_logs(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """List the files that `paths` stand for: files, folders, globs, or several of them.

    The order is that of `paths`; the files of a folder or a glob are sorted by name. Names in a
    folder that begin with `.` or `_`, as markers of other programs do, are passed over.

    Raises:
        InputError: nothing is there, a file is named twice, or a folder holds a folder.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = [file for path in given for file in _expand(os.fspath(path))]
    if not files:
        raise InputError("no paths, expected files, folders or globs", code="E-FILE")
    seen: set[str] = set()
    for file in files:
        name = os.path.realpath(file)
        if name in seen:
            raise InputError("named twice, expected each file once", code="E-FILE", path=file)
        seen.add(name)
    return files


def _expand(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return _files_of(path)
    if not path.exists() and glob.has_magic(text):
        found = sorted(map(Path, glob.glob(text)))  # noqa: PTH207 - Path.glob takes no absolute ones
        if not found:
            raise InputError("no file matches, expected some", code="E-FILE", path=text)
        return [file for name in found for file in (_files_of(name) if name.is_dir() else [name])]
    if not path.is_file():
        what = "not a regular file" if path.exists() else "no such file"
        raise InputError(f"{what}, expected one", code="E-FILE", path=path)
    return [path]


def _files_of(folder: Path) -> list[Path]:
    entries = sorted(entry for entry in folder.iterdir() if entry.name[0] not in "._")
    inner = next((entry for entry in entries if entry.is_dir()), None)
    if inner is not None:
        raise InputError(
            f"holds the folder {inner.name!r}, expected files only",
            code="E-FILE",
            path=folder,
            hint="name the files, or use a glob such as '*/*.parquet'",
        )
    if not entries:
        raise InputError("an empty folder, expected files", code="E-FILE", path=folder)
    return entries


def plain_name(path: Path) -> str:
    """Return the name of a file without what only tells its compression."""
    return re.sub(r"\.(gz|zst)$", "", path.name, flags=re.IGNORECASE)


def format_of(path: Path) -> str:
    """Return `csv`, `tsv`, `jsonl` or `parquet` by the file's suffix.

    Raises:
        InputError: the suffix is none of these.
    """
    found = ENDINGS.get(Path(plain_name(path).lower()).suffix)
    if found is None:
        raise InputError(
            f"unknown kind of file, expected one of {', '.join(ENDINGS)} (or with .gz, .zst)",
            code="E-FILE",
            path=path,
            hint="give --format csv, tsv, jsonl or parquet",
        )
    return found
