"""Item embeddings from a file: told by its first bytes, whatever its name, read and checked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dllm2rec.data.text.files import foreign_content
from dllm2rec.errors import ArtifactError, InputError, ResourceError
from dllm2rec.teacher.tensor_files import (
    CONVERT,
    from_tensor,
    read_npy,
    read_safetensors,
    read_torch,
    refuse,
)


def load_embeddings(
    path: str | os.PathLike[str],
    *,
    n_items: int,
    tensor_key: str | None = None,
    has_pad_row: bool = False,
) -> tuple[NDArray[np.float32], list[str]]:
    """Load the embedding of every item.

    Args:
        path: a `.pt` file of one tensor, a `.npy` or a `.safetensors` file.
        n_items: the number N of items; row i belongs to item i.
        tensor_key: which tensor, where the file holds several by name.
        has_pad_row: the file may end with a row for the padding item, which is dropped.

    Returns:
        The embeddings, float32 (N, E) in C order, finite, and warnings, each starting with a code.

    Raises:
        InputError: not a floating-point (N, E) matrix of finite numbers.
        ArtifactError: the file is corrupt, unsafe or of another kind.
        ResourceError: it does not fit into memory.
    """
    path = Path(path)
    kind = _kind(path)
    _check_memory(path, 2 * path.stat().st_size)
    notes: list[str] = []
    if kind == "npy":
        matrix = read_npy(path)
    elif kind == "safetensors":
        matrix = from_tensor(read_safetensors(path, tensor_key), path, notes)
    else:
        matrix = from_tensor(read_torch(path, tensor_key), path, notes)
    matrix = _without_pad_row(matrix, path, n_items, has_pad_row=has_pad_row)
    return _finite(matrix, path, notes), notes


def _kind(path: Path) -> str:
    """`npy`, `safetensors` or `pt`, by the first bytes; all else is refused by its right name."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as err:
        raise InputError(err.strerror or str(err), code="E-OPEN", path=path) from None
    if head.startswith(b"\x93NUMPY"):
        _refuse_name(path, ".npy")
        return "npy"
    if _is_safetensors(path, head):
        _refuse_name(path, ".safetensors")
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "pt"
    raise _not_embeddings(path, head)


def _refuse_name(path: Path, suffix: str) -> None:
    if path.suffix in {".pt", ".pth", ".npy", ".safetensors"} and path.suffix != suffix:
        message = f"a {suffix} file named {path.suffix}, expected what the name says"
        raise refuse(path, "E-CONTENT", message, f"rename it to {path.stem}{suffix}")


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Framing first: the length bytes may look like anything."""
    length = int.from_bytes(head[:8], "little")
    framed = len(head) > 8 and head[8:9] == b"{" and length <= path.stat().st_size - 8
    return framed or path.suffix == ".safetensors"


def _not_embeddings(path: Path, head: bytes) -> ArtifactError:
    if not head:
        return refuse(path, "E-EMPTY", "the file is empty", "copy or download it again")
    if head[:1] == b"\x80" or head[257:262] == b"ustar":
        message = "a pickle or a .pt file older than PyTorch 1.6, which is not opened"
        return refuse(path, "E-LEGACY", message, f"load it where it was made and {CONVERT}")
    what = "a text file" if head.isascii() and b"\0" not in head else "an unknown kind of file"
    what, todo = foreign_content(head) or (what, "")
    return refuse(path, "E-CONTENT", f"{what}, expected a .pt, .npy or .safetensors file", todo)


def _check_memory(path: Path, needed: int) -> None:
    """Refuse before loading what cannot fit, where the system tells how much is free."""
    free = _free_memory()
    if free is not None and needed > free:
        raise ResourceError(f"E-MEM {path}: needs {needed:,} bytes of memory, {free:,} are free")


def _free_memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    lines = [line.split() for line in text.splitlines() if line.startswith("MemAvailable:")]
    return int(lines[0][1]) * 1024 if lines else None


def _without_pad_row(
    matrix: NDArray[np.float32], path: Path, n_items: int, *, has_pad_row: bool
) -> NDArray[np.float32]:
    n_rows = len(matrix)
    if n_rows == n_items or (has_pad_row and n_rows == n_items + 1):
        return matrix[:n_items]
    hint = "row i must be the vector of item i of the same catalogue"
    if n_rows == n_items + 1:
        hint = "if the last row is the padding item's, give --embeddings-have-pad-row"
    message = f"{n_rows} rows, expected {n_items}, one for each item"
    raise InputError(message, code="E-SHAPE", path=path, hint=hint)


def _finite(matrix: NDArray[np.float32], path: Path, notes: list[str]) -> NDArray[np.float32]:
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        message = f"item {bad[0]}: not finite in float32; {bad.size} such items"
        raise InputError(message, code="E-EMB-NONFINITE", path=path)
    n_zero = len(matrix) - np.count_nonzero(matrix.any(axis=1))
    if n_zero:
        notes.append(f"W-EMB-ZERO {n_zero} items have an all-zero vector")
    return matrix
