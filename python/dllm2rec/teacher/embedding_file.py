"""Item embeddings from a file: told by its first bytes, whatever its name, read and checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dllm2rec.caller import words
from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.files import foreign_content
from dllm2rec.errors import ArtifactError, InputError, ResourceError
from dllm2rec.teacher.keyed_vectors import JoinRules, Vectors, joined, read_ids
from dllm2rec.teacher.tensor_files import (
    CONVERT,
    from_tensor,
    read_npy,
    read_safetensors,
    read_torch,
    refuse,
)

SUFFIXES = (".pt", ".npy", ".npz", ".safetensors", ".parquet", ".csv")
PadRow = Literal["none", "first", "last", "maybe-last"]


@dataclass(frozen=True)
class VectorOptions:
    """How a file of vectors is to be read.

    Attributes:
        tensor_key: which tensor, where the file holds several by name.
        pad_row: "none"; "first" or "last" where that row is the padding item's, which is dropped;
            "maybe-last" where it may be there.
        ids_file: ids of the items beside a matrix, one for each row.
        join: how vectors with ids are brought into the order of the catalogue; None where there is
            no catalogue.
    """

    tensor_key: str | None = None
    pad_row: PadRow = "none"
    ids_file: Path | None = None
    join: JoinRules | None = None


def load_embeddings(
    path: str | os.PathLike[str],
    *,
    n_items: int,
    tensor_key: str | None = None,
    has_pad_row: bool = False,
    options: VectorOptions | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Load the embedding of every item.

    Args:
        path: a `.pt`, `.npy`, `.npz`, `.safetensors`, `.parquet` or `.csv` file: a matrix whose row
            i belongs to item i, or vectors with the ids of their items.
        n_items: the number N of items.
        tensor_key: as in `VectorOptions`, which holds it too.
        has_pad_row: the file may end with a row for the padding item, which is dropped.
        options: all that can be said of the file; by default what the other two say.

    Returns:
        The embeddings, float32 (N, E) in C order, finite, and warnings, each starting with a code.

    Raises:
        InputError: not a floating-point (N, E) matrix of finite numbers, or ids that are not those
            of the catalogue.
        ArtifactError: the file is corrupt, unsafe or of another kind.
        ResourceError: it does not fit into memory.
    """
    path = Path(path)
    options = options or VectorOptions(tensor_key, "maybe-last" if has_pad_row else "none")
    notes: list[str] = []
    with at_rest(path):
        kind = _kind(path)
        _check_memory(path, 2 * path.stat().st_size)
        vectors = _read(path, kind, options, notes)
    if options.ids_file is not None:
        vectors = _with_ids(vectors, path, options.ids_file)
    if vectors.ids is None:
        matrix = _without_pad_row(vectors.matrix, path, n_items, options.pad_row)
    elif options.join is None:
        message = "vectors with ids of items, expected a matrix"
        raise InputError(message, code="E-VECTOR-IDS", path=path)
    else:
        matrix = joined(vectors, path, options.join, notes)
    return _finite(matrix, path, notes), notes


def _read(path: Path, kind: str, options: VectorOptions, notes: list[str]) -> Vectors:
    key = options.tensor_key
    if kind == "npy":
        return Vectors(read_npy(path))
    if kind in {"safetensors", "pt"}:
        read = read_safetensors if kind == "safetensors" else read_torch
        tensor, ids = read(path, key)
        return Vectors(from_tensor(tensor, path, notes), ids)
    from dllm2rec.teacher import vector_tables  # pyarrow's Parquet, which other kinds do not need

    if kind == "npz":
        return vector_tables.read_npz(path, key)
    if kind == "parquet":
        return vector_tables.read_parquet_vectors(path)
    known = options.join.item_ids if options.join else ()
    return vector_tables.read_csv_vectors(path, frozenset(known))


def _with_ids(vectors: Vectors, path: Path, ids_file: Path) -> Vectors:
    """A matrix and the ids of its rows."""
    if vectors.ids is not None:
        message = f"has ids of its own, expected none beside {ids_file.name}"
        raise InputError(message, code="E-VECTOR-IDS", path=path, hint="leave the file of ids out")
    return Vectors(vectors.matrix, read_ids(ids_file, path, len(vectors.matrix)))


def _kind(path: Path) -> str:
    """What a file is by its first bytes; what holds no vectors is refused by its right name."""
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
        return "npz" if path.suffix == ".npz" else "pt"
    if head.startswith(b"PAR1") or (path.suffix == ".parquet" and head):
        _refuse_name(path, ".parquet")
        return "parquet"
    if path.suffix == ".csv" and head and foreign_content(head) is None:
        return "csv"
    raise _not_embeddings(path, head)


def _refuse_name(path: Path, suffix: str) -> None:
    if path.suffix in {*SUFFIXES, ".pth"} and path.suffix != suffix:
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
    return refuse(path, "E-CONTENT", f"{what}, expected {', '.join(SUFFIXES)}", todo)


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
    matrix: NDArray[np.float32], path: Path, n_items: int, pad_row: PadRow
) -> NDArray[np.float32]:
    """The rows of the items. One row more is the padding's only where it is said which it is."""
    n_rows = len(matrix)
    if n_rows == n_items and pad_row in {"none", "maybe-last"}:
        return matrix
    if n_rows == n_items + 1 and pad_row != "none":
        return matrix[1:] if pad_row == "first" else matrix[:n_items]
    expected = f"{n_items}, one for each item"
    if pad_row in {"first", "last"}:
        expected = f"{n_items + 1}, one for each item and the {pad_row} for padding"
    hint = "row i must be the vector of item i of the same catalogue"
    if n_rows == n_items + 1:
        option = words(python='embeddings_pad_row="last"', option="--embeddings-pad-row last")
        first = words(python='"first"', option="--embeddings-pad-row first")
        zeros = [name for name, row in (("first", 0), ("last", -1)) if not matrix[row].any()]
        seen = f" (all zeros: the {' and the '.join(zeros)} row)" if zeros else ""
        hint = (
            f"if one row is the padding item's, say which: {option} "
            f"({words(python='embeddings_have_pad_row', option='--embeddings-have-pad-row')} "
            f"is the same), or {first}{seen}"
        )
    message = f"{n_rows} rows, expected {expected}"
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
