"""The cells of a log, checked as ids, ratings and splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec import _core
from dllm2rec.data.logs.roles import REQUIRED
from dllm2rec.errors import InputError

IdType = Literal["string", "int"]
# fault(row of the chunk, role, what was found and expected, code, hint) -> the error.
Fault = Callable[[int, str, str, str, str], InputError]

NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_SPLIT_NAMES = {
    "train": 0,
    "0": 0,
    "validation": 1,
    "valid": 1,
    "val": 1,
    "1": 1,
    "test": 2,
    "2": 2,
}
_SHOWN = 40
# Out of buffers: from a Python string, Arrow would import pandas, where it is installed.
_EMPTY = pa.LargeStringArray.from_buffers(1, pa.py_buffer(bytes(16)), pa.py_buffer(b""))[0]


@dataclass(frozen=True, eq=False)
class SplitIds:
    """Ids that a kernel has found in a block and checked, as strings.

    Attributes:
        block: the rows.
        user: which of its columns holds the users.
        item: which the items.
    """

    block: _core.RowBlock
    user: int
    item: int


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a log, one Arrow array per role (`user`, `item`, `time`, `rating`, `split`).

    Attributes:
        columns: the cells; roles that the file lacks are left out.
        fault: makes the error for one cell.
        plain: whether it is known that no cell has white space or is other than ASCII.
        ids: the users and items, where they are not among the columns.
    """

    columns: dict[str, pa.Array]
    fault: Fault
    plain: bool = False
    ids: SplitIds | None = None

    @property
    def roles(self) -> set[str]:
        """The roles that the file has."""
        return {*REQUIRED, *self.columns}


def checked_ids(chunk: Chunk, role: str, *, id_type: IdType, strip: bool) -> pa.DictionaryArray:
    """Return a column of ids as dictionary<int32, large_string>, in order of first appearance.

    The dictionary may hold an id twice, where two spellings of the file mean the same one.

    Raises:
        InputError: a cell is missing, has white space at its ends, or is no integer where ids
            are integers; a column of another type than text or whole numbers.
    """
    array = chunk.columns[role]
    if array.null_count:
        _missing(chunk, role, int(array.is_null().index(True).as_py()))
    encoded = _encoded(chunk, role, array)
    names = encoded.dictionary
    if names.null_count or compute.any(compute.equal(names, _EMPTY)).as_py():
        empty = compute.fill_null(compute.equal(names, _EMPTY), fill_value=True)
        _missing(chunk, role, _first(encoded, empty))
    if not chunk.plain:
        names = _without_space(chunk, role, encoded, strip=strip)
    if id_type == "int":
        names = _integers(chunk, role, encoded, names)
    return pa.DictionaryArray.from_arrays(encoded.indices, names)


def _missing(chunk: Chunk, role: str, row: int) -> None:
    raise chunk.fault(row, role, f"no {role}, expected one in each row", "E-LOG-MISSING", "")


def _encoded(chunk: Chunk, role: str, array: pa.Array) -> pa.DictionaryArray:
    kind = array.type
    if not pa.types.is_dictionary(kind):
        array = without_view(array).dictionary_encode() if _is_id(kind) else array
    elif isinstance(array, pa.DictionaryArray) and not chunk.plain:
        # A frame's categories may be sorted, or unused: only those that are met count, in order.
        met = array.indices.dictionary_encode()
        names = without_view(array.dictionary).take(met.dictionary)
        array = pa.DictionaryArray.from_arrays(met.indices, names)
    if not pa.types.is_dictionary(array.type) or not _is_id(array.type.value_type):
        message = f"{role} column of type {kind}, expected text or whole numbers"
        raise chunk.fault(0, role, message, "E-DTYPE", "")
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), _text(array.dictionary))


def _is_id(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_integer(kind)
        or (types.is_decimal(kind) and kind.scale == 0)
    )


def _text(names: pa.Array) -> pa.Array:
    if pa.types.is_decimal(names.type):
        return names.cast(pa.string()).cast(pa.large_string())
    return without_view(names).cast(pa.large_string())


def _first(encoded: pa.DictionaryArray, bad: pa.BooleanArray) -> int:
    """Return the first row whose id is one of the `bad` entries of the dictionary."""
    is_bad = np.asarray(bad.to_numpy(zero_copy_only=False), dtype=bool)
    return int(is_bad[encoded.indices.to_numpy()].argmax())


def _without_space(
    chunk: Chunk, role: str, encoded: pa.DictionaryArray, *, strip: bool
) -> pa.Array:
    names = encoded.dictionary
    trimmed = compute.utf8_trim_whitespace(names)
    spaced = compute.not_equal(names, trimmed)
    if not compute.any(spaced).as_py():
        return names
    if not strip:
        row = _first(encoded, spaced)
        raise chunk.fault(
            row,
            role,
            f"{role} id {_shown(encoded[row].as_py())} begins or ends with white space",
            "E-LOG-SPACE",
            "--strip removes it, and makes ids that differ by it the same",
        )
    empty = compute.equal(trimmed, _EMPTY)
    if compute.any(empty).as_py():
        _missing(chunk, role, _first(encoded, empty))
    return trimmed


def _integers(chunk: Chunk, role: str, encoded: pa.DictionaryArray, names: pa.Array) -> pa.Array:
    whole = compute.match_substring_regex(names, r"^-?[0-9]{1,18}$")
    if not compute.all(whole, min_count=0).as_py():  # a block may hold blank lines alone
        row = _first(encoded, compute.invert(whole))
        raise chunk.fault(
            row,
            role,
            f"{role} id {_shown(encoded[row].as_py())}, expected an integer of up to 18 digits",
            "E-NOT-INTEGER",
            "leave --id-type away: ids are strings then",
        )
    return names.cast(pa.int64()).cast(pa.large_string())


def checked_ratings(chunk: Chunk) -> npt.NDArray[np.float32]:
    """Return the ratings, float32 (n,).

    Raises:
        InputError: a cell is missing, no number, or not finite in float32.
    """
    array = chunk.columns["rating"]
    if array.null_count:
        _missing(chunk, "rating", int(array.is_null().index(True).as_py()))
    array = _decoded(array)
    if is_text(array.type):
        good = compute.match_substring_regex(array, NUMBER)
        if not compute.all(good).as_py():
            row = int(good.index(False).as_py())
            text = array[row].as_py()
            if not text:
                _missing(chunk, "rating", row)
            message = f"rating {_shown(text)}, expected a number such as 4.5"
            raise chunk.fault(row, "rating", message, "E-RATING", "")
        array = array.cast(pa.float64())
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        message = f"rating column of type {array.type}, expected numbers"
        raise chunk.fault(0, "rating", message, "E-DTYPE", "")
    with np.errstate(over="ignore"):
        ratings: npt.NDArray[np.float32] = array.to_numpy(zero_copy_only=False).astype(np.float32)
    finite = np.isfinite(ratings)
    if not finite.all():
        row = int(finite.argmin())
        message = f"rating {array[row].as_py()}, expected a finite number"
        raise chunk.fault(row, "rating", message, "E-RATING", "")
    return ratings


def checked_splits(chunk: Chunk) -> npt.NDArray[np.uint8]:
    """Return the splits that the file gives, 0 train, 1 validation, 2 test, uint8 (n,).

    Raises:
        InputError: a cell says something else.
    """
    encoded = _encoded(chunk, "split", chunk.columns["split"])
    if encoded.null_count:
        _missing(chunk, "split", int(encoded.is_null().index(True).as_py()))
    numbers = [_SPLIT_NAMES.get(name, 255) for name in encoded.dictionary.to_pylist()]
    splits: npt.NDArray[np.uint8] = np.array(numbers, dtype=np.uint8)[encoded.indices.to_numpy()]
    if (splits == 255).any():
        row = int((splits == 255).argmax())
        message = f"split {_shown(encoded[row].as_py())}, expected one of {', '.join(_SPLIT_NAMES)}"
        raise chunk.fault(row, "split", message, "E-SPLIT", "")
    return splits


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's texts."""
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _decoded(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return without_view(array)


def without_view(array: pa.Array) -> pa.Array:
    """Return string views as plain text: few of Arrow's functions take views."""
    view = pa.types.is_string_view(array.type)
    return array.cast(pa.large_string()) if view else array


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
