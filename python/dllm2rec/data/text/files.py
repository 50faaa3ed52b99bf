"""Which files a log is, and their bytes: plain, gzip or zstd, one piece after the other."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from dllm2rec.data.text.csv_table import INFLATED_FLOOR, INFLATED_RATIO
from dllm2rec.errors import ArtifactError, InputError

PathLike = str | os.PathLike[str]

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".zst")
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x80[\x02-\x05]", "a Python pickle", "never loaded, as it may run code; save it as CSV"),
    (rb"PAR1", "a Parquet file", "name it .parquet or say --format parquet"),
    (rb"PK\x03\x04", "a zip archive", "unpack it"),
    (rb"BZh|\xfd7zXZ\x00", "compressed in an unsupported way", "use gzip or zstd"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text", "save it again as UTF-8"),
    (rb"version https://git-lfs", "a Git LFS pointer", "run git lfs pull"),
    (rb"(?i)\s*<(!doctype|html)", "an HTML page", "download the file itself"),
)


def find_logs(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """List the files that `paths` stand for: files, folders, globs, or several of them.

    The order is that of `paths`; the files of a folder or a glob are sorted by name. Names in a
    folder that begin with `.` or `_`, as markers of other programs do, are passed over.

    Raises:
        InputError: nothing is there, a file is meant twice, or a folder holds a folder.
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


def format_of(path: Path) -> str:
    """Return `csv`, `tsv`, `jsonl` or `parquet` by the file's suffix.

    Raises:
        InputError: the suffix is none of these.
    """
    name = path.name.lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    found = FORMATS.get(Path(name).suffix)
    if found is None:
        raise InputError(
            f"unknown kind of file, expected one of {', '.join(FORMATS)} (or with .gz, .zst)",
            code="E-FILE",
            path=path,
            hint="say which it is: --format csv, tsv, jsonl or parquet",
        )
    return found


def raw_pieces(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file's inflated bytes in pieces of `size`, the last one shorter.

    Raises:
        InputError: it cannot be read, is cut, inflates absurdly, or is another kind of file.
    """
    try:
        with path.open("rb", buffering=0) as head:
            magic = head.read(4)
        codec = next((c for start, c in _CODECS.items() if magic.startswith(start)), None)
        source = pa.input_stream(os.fspath(path), compression=codec)
    except OSError as err:
        raise _unreadable(path, err) from err
    n_bytes = 0
    limit = max(INFLATED_FLOOR, INFLATED_RATIO * path.stat().st_size)
    with source:
        while True:
            try:
                piece: bytes = source.read(size)
            except OSError as err:
                if codec is None:
                    raise _unreadable(path, err) from err
                raise InputError(
                    f"broken {codec} stream ({str(err)[:60]}), expected a whole file",
                    code="E-TRUNC",
                    path=path,
                    hint="copy the file again",
                ) from err
            if not piece:
                return
            if not n_bytes:
                _check_kind(path, piece[:64])
            n_bytes += len(piece)
            if codec is not None and n_bytes > limit:
                raise InputError(
                    f"inflates to more than {limit} bytes, expected at most that",
                    code="E-BOMB",
                    path=path,
                    hint="if the file is meant, inflate it beforehand",
                )
            yield piece


def _unreadable(path: Path, err: OSError) -> InputError:
    reason = err.strerror or str(err)[:60]
    return InputError(f"{reason}, expected a readable file", code="E-FILE", path=path)


def _check_kind(path: Path, head: bytes) -> None:
    for magic, what, hint in _FOREIGN:
        if re.match(magic, head):
            raise InputError(f"{what}, expected text", code="E-CONTENT", path=path, hint=hint)


def corrupt(path: Path, err: Exception) -> ArtifactError:
    """Return the error for a binary file that its own library cannot read."""
    reason = str(err).partition("\n")[0][:120]
    return ArtifactError(f"E-PARQUET {path}: {reason}, expected a whole Parquet file")
