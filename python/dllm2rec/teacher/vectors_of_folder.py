"""Which file of a teacher's folder holds the vectors, and what of the folder is not read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dllm2rec.caller import words
from dllm2rec.errors import InputError
from dllm2rec.teacher.embedding_file import SUFFIXES

EMBEDDINGS = "all_embeddings"  # with one of the endings
IDS = ("all_embeddings_ids.txt", "all_embeddings_ids.npy")
_NAMED = 5


def find_vectors(
    folder: Path, named: str | None, ids: str | None
) -> tuple[Path | None, Path | None]:
    """The file of vectors and that of the ids of its rows, None where there is none.

    Args:
        folder: of the teacher.
        named: the file of vectors, if the caller says which.
        ids: the file of ids, if the caller says which.

    Raises:
        InputError: several files could be meant, or one that is named is not there.
    """
    for name in (named, ids):
        if name is not None and not (folder / name).is_file():
            message = "no such file, expected it in the teacher's folder"
            raise InputError(message, code="E-OPEN", path=folder / name)
    found = [name for ending in SUFFIXES if os.path.lexists(folder / (name := EMBEDDINGS + ending))]
    if named is None and len(found) > 1:
        given = words(python=f"embeddings={found[0]!r}", option=f"--embeddings {found[0]}")
        raise InputError(
            f"{' and '.join(found)} are there, expected one file of vectors",
            code="E-AMBIGUOUS",
            path=folder,
            hint=f"remove those that are out of date, or give {given}",
        )
    chosen = named or next(iter(found), None)
    if chosen is None:
        return None, None
    beside = ids or next((name for name in IDS if (folder / name).exists()), None)
    return folder / chosen, None if beside is None else folder / beside


def unread_note(folder: Path, read: Iterable[str]) -> list[str]:
    """Name the files of the folder that nobody asked about: one of them may be meant."""
    names = {name for base in read for name in (base, f"{base}.gz")}
    names |= {f"{name}.sha256" for name in names}
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name not in names and not path.name.startswith(".")
    )
    if not others:
        return []
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return [f"W-FILES-UNREAD {folder}: {', '.join(others[:_NAMED])}{more} were not read"]


def find_ids(vectors: Path, named: str | None) -> Path | None:
    """The file of ids beside a file of vectors, `NAME_ids.txt` or `.npy`, None without one.

    Raises:
        InputError: the one that is named is not there.
    """
    if named is not None:
        if not (beside := vectors.parent / named).is_file():
            raise InputError("no such file, expected it beside the vectors", code="E-OPEN",
                             path=beside)  # fmt: skip
        return beside
    names = (f"{vectors.stem}_ids{ending}" for ending in (".txt", ".npy"))
    return next((vectors.parent / name for name in names if is_there(vectors.parent / name)), None)


def is_there(path: Path) -> bool:
    """Whether a file is there. A link to nothing is no absent file: whoever made it meant one."""
    if not os.path.lexists(path):
        return False
    try:
        path.stat()
    except OSError as err:
        raise unopened(path, err) from err
    return True


def unopened(path: Path, err: OSError) -> InputError:
    """The error for a file that the system does not open."""
    return InputError(err.strerror or str(err), code="E-OPEN", path=path)
