"""Small files that name a folder beside them: `best`, `last` and `prev` of a student's folder.

While several ranking weights are tried, `best-0.3` names the best of each.

The first line is the folder's name, the second the sha256 of the first. A folder is written under a
temporary name and renamed; a pointer is replaced by rename. Whatever moment the process dies at,
each pointer names a folder that is whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_file import replace_text

POINTERS = ("best", "last", "prev")
OF_WEIGHT = "best-"
_NAME_BYTES = 255  # the longest name that file systems take


def read_pointer(folder: Path, pointer: str) -> Path:
    """Return the folder that a pointer names.

    Raises:
        ArtifactError: there is no such pointer, it changed since it was written, or it names
            nothing; the message lists what exists.
    """
    place = folder / pointer
    if not place.is_file():
        raise ArtifactError(
            f"{folder}: no file named {pointer}, expected the folder of a trained student; give a "
            "folder that dllm2rec train made"
        )
    name = pointed(place)
    path = folder / name
    if not path.is_dir():
        raise ArtifactError(f"{place}: names {name!r}, expected one of {_there(folder)}")
    return path


def pointed(place: Path) -> str:
    """Return the name in a pointer's file, whether such a folder is there or not.

    Raises:
        ArtifactError: it cannot be read, holds no name, or changed since it was written.
    """
    try:
        with place.open("rb") as file:
            raw = file.read(2 * _NAME_BYTES)
    except OSError as err:
        raise ArtifactError(f"{place}: {err.strerror or err}, expected a folder's name") from err
    name = raw.split(b"\n")[0].decode("utf-8", "replace")
    # One line alone is what older versions wrote.
    if raw not in {_spelled(name), name.encode() + b"\n"}:
        raise ArtifactError(
            f"{place}: changed since it was written, expected the name of a folder and its sha256; "
            f"copy it again, or name one of {_there(place.parent)} in a single line"
        )
    if not name or "\0" in name or name != Path(name).name or len(name.encode()) > _NAME_BYTES:
        raise ArtifactError(f"{place}: names {name!r}, expected one of {_there(place.parent)}")
    return name


def _spelled(name: str) -> bytes:
    return f"{name}\nsha256 {hashlib.sha256(name.encode()).hexdigest()}\n".encode()


def _there(folder: Path) -> str:
    names = ", ".join(sorted(c.name for c in folder.iterdir() if c.is_dir())) or "nothing"
    return f"the folders there: {names}"


def move_pointers(folder: Path, names: Mapping[str, str]) -> None:
    """Let pointers name folders, in the order given; folders that nothing names are deleted.

    Raises:
        ResourceError: the disk is full; each pointer names its old or its new folder.
    """
    for pointer, name in names.items():
        replace_text(folder / pointer, _spelled(name).decode())
    delete_unnamed(folder)


def pointer_of_weight(ranking_weight: float) -> str:
    """The pointer to the best student of one of several ranking weights."""
    return f"{OF_WEIGHT}{ranking_weight:g}"


def pointers_of_weights(folder: Path) -> list[str]:
    """The pointers of all ranking weights that were tried so far, in the order of their names."""
    return sorted(file.name for file in folder.glob(f"{OF_WEIGHT}*") if file.is_file())


def delete_unnamed(folder: Path) -> None:
    """Delete the folders in `folder` that no pointer names.

    Raises:
        ArtifactError: a pointer changed since it was written: what it named is kept.
    """
    pointers = [*POINTERS, *pointers_of_weights(folder)]
    named = {pointed(folder / name) for name in pointers if (folder / name).is_file()}
    for child in folder.iterdir():
        if child.is_dir() and child.name not in named:
            shutil.rmtree(child)
