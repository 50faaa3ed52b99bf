"""Item embeddings from `.pt`, `.npy` and `.safetensors` files, which may be hostile.

Nothing in a file is ever executed, no size in it is believed before it is compared with the file,
and no file is mapped (a mapped file that shrinks kills the process). What a file really is, is told
by its first bytes, whatever its name.
"""

from __future__ import annotations

import json
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dllm2rec.data.text.files import foreign_content
from dllm2rec.errors import ArtifactError, InputError, ResourceError

if TYPE_CHECKING:  # importing torch takes seconds, and only tensors need it
    import torch

_CONVERT = "save it again with torch.save(tensor, path)"
_MAX_HEADER = 100_000_000  # the limit of safetensors itself


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
        matrix = _read_npy(path)
    elif kind == "safetensors":
        matrix = _from_tensor(_read_safetensors(path, tensor_key), path, notes)
    else:
        matrix = _from_tensor(_read_torch(path, tensor_key), path, notes)
    matrix = _without_pad_row(matrix, path, n_items, has_pad_row=has_pad_row)
    return _finite(matrix, path, notes), notes


def _refuse(path: Path, code: str, message: str, hint: str = "") -> ArtifactError:
    return ArtifactError(f"{code} {path}: {message}" + (f". hint: {hint}" if hint else ""))


# --- what a file is -------------------------------------------------------------------------------


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
        raise _refuse(path, "E-CONTENT", message, f"rename it to {path.stem}{suffix}")


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Framing first: the length bytes may look like anything."""
    length = int.from_bytes(head[:8], "little")
    framed = len(head) > 8 and head[8:9] == b"{" and length <= path.stat().st_size - 8
    return framed or path.suffix == ".safetensors"


def _not_embeddings(path: Path, head: bytes) -> ArtifactError:
    if not head:
        return _refuse(path, "E-EMPTY", "the file is empty", "copy or download it again")
    if head[:1] == b"\x80" or head[257:262] == b"ustar":
        message = "a pickle or a .pt file older than PyTorch 1.6, which is not opened"
        return _refuse(path, "E-LEGACY", message, f"load it where it was made and {_CONVERT}")
    what = "a text file" if head.isascii() and b"\0" not in head else "an unknown kind of file"
    what, todo = foreign_content(head) or (what, "")
    return _refuse(path, "E-CONTENT", f"{what}, expected a .pt, .npy or .safetensors file", todo)


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


# --- .pt ------------------------------------------------------------------------------------------


def _read_torch(path: Path, key: str | None) -> torch.Tensor:
    import torch

    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch speaks of its own plans, not of this file
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception:  # noqa: BLE001 - whatever it is; its text may advise what is unsafe
        message = "damaged, or it holds Python objects instead of one tensor"
        hint = "save a tensor with torch.save, or an array with numpy.save as .npy"
        raise _refuse(path, "E-PICKLE", message, hint) from None
    return _one_tensor(loaded, path, key)


def _check_archive(path: Path) -> None:
    """A `.pt` file is a zip archive of stored members; a compressed one could be a bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        message = "the archive is cut or damaged"
        raise _refuse(path, "E-TRUNC", message, "copy or download it again") from None
    if not any(member.filename.endswith("/data.pkl") for member in members):
        message = "a zip archive (.npz?), expected a .pt file of torch.save"
        raise _refuse(path, "E-CONTENT", message, "save one array with numpy.save as .npy")
    size = sum(member.file_size for member in members)
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or size > path.stat().st_size:
        raise _refuse(path, "E-BOMB", "compressed members, which torch.save never writes", _CONVERT)


def _one_tensor(loaded: Any, path: Path, key: str | None) -> torch.Tensor:  # noqa: ANN401 - a file may hold anything
    import torch

    if isinstance(loaded, torch.Tensor):
        return loaded
    if isinstance(loaded, dict):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
        return tensors[_one_name({k: tuple(v.shape) for k, v in tensors.items()}, path, key)]
    hint = "torch.stack(rows) makes one tensor" if isinstance(loaded, (list, tuple)) else _CONVERT
    message = f"holds a {type(loaded).__name__}, expected one tensor"
    raise InputError(message, code="E-TENSOR", path=path, hint=hint)


def _one_name(shapes: dict[str, tuple[int, ...]], path: Path, key: str | None) -> str:
    if key is None and len(shapes) == 1:
        return next(iter(shapes))
    if key is not None and key in shapes:
        return key
    listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:20])
    what = "no tensor named" if key is None else f"no tensor {key!r}"
    hint = "name one with tensor_key (--tensor-key)"
    message = f"{what}, expected one of: {listed or 'none, there are no tensors'}"
    raise InputError(message, code="E-TENSOR", path=path, hint=hint)


def _from_tensor(tensor: torch.Tensor, path: Path, notes: list[str]) -> NDArray[np.float32]:
    import torch

    is_plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested)
    if not is_plain or tensor.is_complex():
        raise InputError(
            f"layout {tensor.layout}, dtype {tensor.dtype}, expected dense real numbers",
            code="E-LAYOUT",
            path=path,
            hint="save tensor.to_dense() or tensor.dequantize()",
        )
    if tensor.device.type != "cpu":
        raise InputError("a tensor without data", code="E-LAYOUT", path=path, hint=_CONVERT)
    if not tensor.is_floating_point():
        raise _wrong_dtype(path, str(tensor.dtype))
    _check_shape(path, tuple(tensor.shape))
    _check_storage(tensor, path, notes)
    if tensor.dtype != torch.float32:
        notes.append(f"W-EMB-DTYPE {tensor.dtype} converted to float32")
    array: NDArray[np.float32] = tensor.detach().to(torch.float32).contiguous().numpy()
    return array


def _check_storage(tensor: torch.Tensor, path: Path, notes: list[str]) -> None:
    needed = tensor.numel() * tensor.element_size()
    stored = tensor.untyped_storage().nbytes()
    if needed > stored:
        message = f"shape {tuple(tensor.shape)} needs {needed:,} bytes, the file holds {stored:,}"
        hint = "an expanded tensor; save tensor.clone()"
        raise InputError(message, code="E-BOMB", path=path, hint=hint)
    if stored > needed:
        notes.append(f"W-STORAGE the file holds {stored:,} bytes, of which {needed:,} are used")


# --- .npy and .safetensors ------------------------------------------------------------------------


def _read_npy(path: Path) -> NDArray[np.float32]:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            read = read if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            found = path.stat().st_size - file.tell()
    except (ValueError, OSError, EOFError):
        raise _refuse(path, "E-NPY", "the header is damaged", "copy or download it again") from None
    if dtype.hasobject:
        raise _refuse(path, "E-PICKLE", "Python objects, expected numbers", "save a float array")
    if min(shape, default=0) < 0:
        raise _refuse(path, "E-NPY", f"shape {shape}, expected no negative size")
    _check_size(path, math.prod(shape) * dtype.itemsize, found)
    if dtype.kind != "f":
        raise _wrong_dtype(path, str(dtype))
    _check_shape(path, shape)
    with np.errstate(over="ignore"):  # infinities are refused later, with their place
        array = np.load(path, allow_pickle=False).astype(np.float32, copy=False)
    return np.ascontiguousarray(array)


def _check_size(path: Path, expected: int, found: int) -> None:
    message = f"{found:,} bytes of data, the header asks for {expected:,}"
    if found < expected:
        raise _refuse(path, "E-TRUNC", message, "copy or download it again")
    if found > expected:
        raise _refuse(path, "E-TRAILING", message, "save the array again")


def _read_safetensors(path: Path, key: str | None) -> torch.Tensor:
    import safetensors
    import safetensors.torch

    data = path.read_bytes()
    names = _safetensors_names(path, data)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, OverflowError):
        message = "the safetensors file is damaged"
        raise _refuse(path, "E-SAFETENSORS", message, "copy or download it again") from None
    shapes = {name: tuple(tensors[name].shape) for name in names}
    return tensors[_one_name(shapes, path, key)]


def _safetensors_names(path: Path, data: bytes) -> list[str]:
    """The tensors of the header; a name that is there twice is refused."""
    length = int.from_bytes(data[:8], "little")
    hint = "copy or download it again"
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER):
        raise _refuse(path, "E-SAFETENSORS", "the header does not fit the file", hint)
    try:
        pairs: Any = json.loads(data[8 : 8 + length], object_pairs_hook=list)
        names = [name for name, _ in pairs]
    except (ValueError, TypeError, RecursionError):
        raise _refuse(path, "E-SAFETENSORS", "the header is no JSON object", hint) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _refuse(path, "E-SAFETENSORS", f"the name {twice[0]!r} is there twice", hint)
    return [name for name in names if name != "__metadata__"]


# --- what embeddings must be ----------------------------------------------------------------------


def _wrong_dtype(path: Path, dtype: str) -> InputError:
    message = f"dtype {dtype}, expected floating-point numbers"
    return InputError(message, code="E-DTYPE", path=path)


def _check_shape(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or min(shape) == 0:
        message = f"shape {shape}, expected (n_items, width), neither of them 0"
        raise InputError(message, code="E-SHAPE", path=path)


def _without_pad_row(
    matrix: NDArray[np.float32], path: Path, n_items: int, *, has_pad_row: bool
) -> NDArray[np.float32]:
    n_rows = len(matrix)
    if n_rows == n_items or (has_pad_row and n_rows == n_items + 1):
        return matrix[:n_items]
    hint = "row i must be the vector of item i of the same catalogue"
    if n_rows == n_items + 1:
        hint = "if the last row is the padding item's, pass has_pad_row=True (--emb-has-pad)"
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
