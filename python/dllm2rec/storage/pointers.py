"""One-line files that name a folder beside them: `best`, `last` and `prev` of a student's folder.

A folder is written under a temporary name and renamed; a pointer is replaced by rename. Whatever
moment the process dies at, each pointer names a folder that is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_folder import replace_text

POINTERS = ("best", "last", "prev")


def read_pointer(folder: Path, pointer: str) -> Path:
    """Return the folder that a pointer names.

    Raises:
        ArtifactError: there is no such pointer, or it names nothing; the message lists what exists.
    """
    place = folder / pointer
    if not place.is_file():
        raise ArtifactError(
            f"{folder}: no file named {pointer}, expected the folder of a trained student; give a "
            "folder that dllm2rec train made"
        )
    name = place.read_text(encoding="utf-8", errors="replace").strip()
    path = folder / name
    if not name or name != Path(name).name or not path.is_dir():
        there = ", ".join(sorted(c.name for c in folder.iterdir() if c.is_dir())) or "nothing"
        raise ArtifactError(f"{place}: names {name!r}, expected one of the folders there: {there}")
    return path


def move_pointers(folder: Path, names: Mapping[str, str]) -> None:
    """Let pointers name folders, in the order given; folders that nothing names are deleted.

    Raises:
        ResourceError: the disk is full; each pointer names its old or its new folder.
    """
    for pointer, name in names.items():
        replace_text(folder / pointer, name + "\n")
    delete_unnamed(folder)


def delete_unnamed(folder: Path) -> None:
    """Delete the folders in `folder` that no pointer names."""
    named = {
        (folder / pointer).read_text(encoding="utf-8", errors="replace").strip()
        for pointer in POINTERS
        if (folder / pointer).is_file()
    }
    for child in folder.iterdir():
        if child.is_dir() and child.name not in named:
            shutil.rmtree(child)
