"""One array out of a `.pt`, `.npy` or `.safetensors` file, which may be hostile.

Nothing in a file is ever executed, no size in it is believed before it is compared with the file,
and no file is mapped (a mapped file that shrinks kills the process).
"""

from __future__ import annotations

import json
import math
import warnings
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dllm2rec.caller import words
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.storage.npy_file import HEADER_ERRORS

if TYPE_CHECKING:  # importing torch takes seconds, and only tensors need it
    import torch

CONVERT = "save it again with torch.save(tensor, path)"
_MAX_HEADER = 4 * 2**20  # of a safetensors file: 40,000 tensors; as Python objects it is far larger


def read_torch(path: Path, key: str | None) -> tuple[torch.Tensor, list[str] | None]:
    """Read the tensor of a `.pt` file, the one named `key` where it holds several.

    A dict of vectors gives them as one tensor, and the keys, which are ids of items.
    """
    import torch

    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch speaks of its own plans, not of this file
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception:  # noqa: BLE001 - whatever it is; its text may advise what is unsafe
        message = "damaged, or it holds Python objects instead of one tensor"
        hint = "save a tensor with torch.save, or an array with numpy.save as .npy"
        raise refuse(path, "E-PICKLE", message, hint) from None
    return _one_tensor(loaded, path, key)


def _check_archive(path: Path) -> None:
    """A `.pt` file is a zip archive of stored members; a compressed one could be a bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        message = "the archive is cut or damaged"
        raise refuse(path, "E-TRUNC", message, "copy or download it again") from None
    if not any(member.filename.endswith("/data.pkl") for member in members):
        message = "a zip archive (.npz?), expected a .pt file of torch.save"
        raise refuse(path, "E-CONTENT", message, f"rename it to {path.stem}.npz if it is one")
    size = sum(member.file_size for member in members)
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or size > path.stat().st_size:
        raise refuse(path, "E-BOMB", "compressed members, which torch.save never writes", CONVERT)


def _one_tensor(
    loaded: Any,  # noqa: ANN401 - a file may hold anything
    path: Path,
    key: str | None,
) -> tuple[torch.Tensor, list[str] | None]:
    import torch

    if isinstance(loaded, torch.Tensor):
        return loaded, None
    if isinstance(loaded, dict):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}
        if len(tensors) < len([v for v in loaded.values() if isinstance(v, torch.Tensor)]):
            message = "keys that are spelled alike, such as 7 and '7', expected one per item"
            raise InputError(message, code="E-VECTOR-IDS", path=path)
        return _of_names(tensors, path, key)
    hint = "torch.stack(rows) makes one tensor" if isinstance(loaded, (list, tuple)) else CONVERT
    message = f"holds a {type(loaded).__name__}, expected one tensor"
    raise InputError(message, code="E-TENSOR", path=path, hint=hint)


def _of_names(
    tensors: dict[str, torch.Tensor], path: Path, key: str | None
) -> tuple[torch.Tensor, list[str] | None]:
    """One tensor of several by name; where all are vectors, all of them and their names, ids."""
    import torch

    if key is None and len(tensors) > 1 and all(one.ndim == 1 for one in tensors.values()):
        width = max(one.shape[0] for one in tensors.values())
        for name, one in tensors.items():
            if one.shape[0] != width:
                message = f"item id {name!a}: {one.shape[0]} numbers, expected {width} as others"
                raise InputError(message, code="E-SHAPE", path=path)
            if one.layout != torch.strided or one.is_quantized or one.device.type != "cpu":
                message = f"item id {name!a}: layout {one.layout}, expected dense numbers"
                raise InputError(message, code="E-LAYOUT", path=path, hint=CONVERT)
        return torch.stack(list(tensors.values())), list(tensors)
    shapes = {name: tuple(one.shape) for name, one in tensors.items()}
    return tensors[one_name(shapes, path, key)], None


def one_name(shapes: dict[str, tuple[int, ...]], path: Path, key: str | None) -> str:
    """The name that is asked for, or the only one there is."""
    if key is None and len(shapes) == 1:
        return next(iter(shapes))
    if key is not None and key in shapes:
        return key
    listed = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:20])
    what = "no tensor named" if key is None else f"no tensor {key!r}"
    hint = f"name one with {words(python='tensor_key', option='--tensor-key')}"
    message = f"{what}, expected one of: {listed or 'none, there are no tensors'}"
    raise InputError(message, code="E-TENSOR", path=path, hint=hint)


def from_tensor(tensor: torch.Tensor, path: Path, notes: list[str]) -> NDArray[np.float32]:
    """Turn a dense tensor into a float32 matrix; what was accepted but should be known is noted."""
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
        raise InputError("a tensor without data", code="E-LAYOUT", path=path, hint=CONVERT)
    if not tensor.is_floating_point():
        raise wrong_dtype(path, str(tensor.dtype))
    check_shape(path, tuple(tensor.shape))
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


@dataclass(frozen=True)
class NpyHeader:
    """What a `.npy` file says of its array, and where the numbers begin."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    offset: int


def header_of(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of the `.npy` array that begins here; what NumPy raises is sorted.

    Raises:
        ValueError: there is none, its version is not known, or its header is damaged.
    """
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0), (3, 0)}:
        raise ValueError(f".npy version {version}")
    read = np.lib.format.read_array_header_1_0
    read = read if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(file)
    except HEADER_ERRORS as err:
        raise ValueError("the header is no Python text") from err


def read_npy_header(path: Path) -> NpyHeader:
    """Read the header of a `.npy` file of numbers, whose size it is compared with.

    Raises:
        InputError: it cannot be read.
        ArtifactError: no `.npy` file, damaged, cut, or one of Python objects.
    """
    try:
        file = path.open("rb")
    except OSError as err:
        raise InputError(err.strerror or str(err), code="E-OPEN", path=path) from None
    try:
        with file:
            shape, is_fortran, dtype = header_of(file)
            offset = file.tell()
    except (ValueError, OSError, EOFError):
        raise refuse(path, "E-NPY", "the header is damaged", "copy or download it again") from None
    if dtype.hasobject:
        raise refuse(path, "E-PICKLE", "Python objects, expected numbers", "save a float array")
    if min(shape, default=0) < 0:
        raise refuse(path, "E-NPY", f"shape {shape}, expected no negative size")
    _check_size(path, math.prod(shape) * dtype.itemsize, path.stat().st_size - offset)
    return NpyHeader(shape, is_fortran, dtype, offset)


def read_npy(path: Path) -> NDArray[np.float32]:
    """Read the float matrix of a `.npy` file."""
    header = read_npy_header(path)
    if header.dtype.kind != "f":
        raise wrong_dtype(path, str(header.dtype))
    check_shape(path, header.shape)
    with np.errstate(over="ignore"):  # infinities are refused later, with their place
        array = np.load(path, allow_pickle=False).astype(np.float32, copy=False)
    return np.ascontiguousarray(array)


def _check_size(path: Path, expected: int, found: int) -> None:
    message = f"{found:,} bytes of data, the header asks for {expected:,}"
    if found < expected:
        raise refuse(path, "E-TRUNC", message, "copy or download it again")
    if found > expected:
        raise refuse(path, "E-TRAILING", message, "save the array again")


def read_safetensors(path: Path, key: str | None) -> tuple[torch.Tensor, list[str] | None]:
    """Read the tensor of a `.safetensors` file, the one named `key` where it holds several.

    Where all are vectors they come as one tensor, with their names, which are ids of items.
    """
    import safetensors
    import safetensors.torch

    data = path.read_bytes()
    _check_header(path, data)
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError, OverflowError):
        message = "the safetensors file is damaged"
        raise refuse(path, "E-SAFETENSORS", message, "copy or download it again") from None
    names = _safetensors_names(path, data)
    return _of_names({name: tensors[name] for name in names}, path, key)


def _check_header(path: Path, data: bytes) -> None:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER):
        message = "the header does not fit the file, or is over 4 MiB"
        raise refuse(path, "E-SAFETENSORS", message, "copy or download it again")


def _safetensors_names(path: Path, data: bytes) -> list[str]:
    """The tensors of the header; a name that is there twice is refused."""
    length = int.from_bytes(data[:8], "little")
    hint = "copy or download it again"
    try:
        pairs: Any = json.loads(data[8 : 8 + length], object_pairs_hook=list)
        names = [name for name, _ in pairs]
    except (ValueError, TypeError, RecursionError):
        raise refuse(path, "E-SAFETENSORS", "the header is no JSON object", hint) from None
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise refuse(path, "E-SAFETENSORS", f"the name {twice[0]!r} is there twice", hint)
    return [name for name in names if name != "__metadata__"]


def wrong_dtype(path: Path, dtype: str) -> InputError:
    """Return the error for numbers of another type."""
    message = f"dtype {dtype}, expected floating-point numbers"
    return InputError(message, code="E-DTYPE", path=path)


def check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse what is no matrix, or an empty one."""
    if len(shape) != 2 or min(shape) == 0:
        message = f"shape {shape}, expected (n_items, width), neither of them 0"
        raise InputError(message, code="E-SHAPE", path=path)


def refuse(path: Path, code: str, message: str, hint: str = "") -> ArtifactError:
    """Return the error for a file that is not what it should be."""
    return ArtifactError(f"{code} {path}: {message}" + (f". hint: {hint}" if hint else ""))
