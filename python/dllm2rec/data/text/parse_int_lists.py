"""Whole numbers, and lists of them, out of text cells: the grammar is checked, never evaluated.

Diary: one pass over the bytes of a column at a time in NumPy. 106,702 cells of 10 numbers (6.9 MB)
take about 0.15 s on one core; `ast.literal_eval` per cell takes 4 s.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.text.arrow_buffers import numbers_of
from dllm2rec.data.text.csv_table import CsvTable

Int64Vector = npt.NDArray[np.int64]

_OTHER, _DIGIT, _COMMA, _SPACE, _OPEN, _CLOSE = range(6)
_KINDS = np.full(256, _OTHER, dtype=np.uint8)
_KINDS[np.frombuffer(b"0123456789", dtype=np.uint8)] = _DIGIT
_KINDS[ord(",")] = _COMMA
_KINDS[ord(" ")] = _SPACE

_MAX_DIGITS = 10  # 2**32 - 1 has ten
_WHOLE = r"^[0-9]{1,10}(\.0*)?$"


def parse_whole_numbers(table: CsvTable, column: str) -> Int64Vector:
    """Read a column of whole numbers, `196` or `196.0`.

    Returns:
        The numbers, int64 (R,), 0 or more.

    Raises:
        InputError: a cell is anything else; the message names its line and column.
    """
    cells = table.columns[column]
    whole = compute.match_substring_regex(cells, _WHOLE)
    if not compute.all(whole).as_py():
        row = int(whole.to_numpy(zero_copy_only=False).argmin())
        text = cells[row].as_py()
        fractional = text.replace(".", "", 1).isdecimal() and text.isascii()
        code = "E-NOT-INTEGER" if fractional and "." in text else "E-TOKEN"
        message = f"{column} = {text[:40]!r}, expected a whole number such as 196"
        raise table.fault(column, row, message, code=code)
    digits = compute.replace_substring_regex(cells, r"\.0*$", "")
    return numbers_of(digits.cast(pa.int64()))


def parse_int_lists(table: CsvTable, column: str) -> npt.NDArray[np.int64]:
    """Read a column of lists of whole numbers, `[6, 11172, 20]`, all of one length.

    Only digits, commas and spaces may stand between the two brackets.

    Returns:
        The numbers, int64 (R, L), 0 or more.

    Raises:
        InputError: a cell is no such list, or is longer or shorter than the first; the message
            names its line and column.
    """
    values, counts = parse_ragged_lists(table, column)
    if (counts != counts[0]).any():
        row = int((counts != counts[0]).argmax())
        message = f"a list of {counts[row]} items, expected {counts[0]} as in the first row"
        raise table.fault(column, row, message, code="E-RAGGED")
    return values.reshape(len(counts), -1)


def parse_ragged_lists(table: CsvTable, column: str) -> tuple[Int64Vector, Int64Vector]:
    """Read a column of lists of whole numbers, each of its own length.

    Returns:
        The numbers of all rows one after the other, int64, 0 or more; how many each row has,
        int64 (R,).

    Raises:
        InputError: a cell is no such list; the message names its line and column.
    """
    text, offsets = _bytes_of(table.columns[column])
    kinds = _kinds(table, column, text, offsets)
    _check_separators(table, column, kinds, offsets)
    starts, widths = _digit_runs(kinds)
    _check_runs(table, column, kinds, offsets, starts, widths)
    return _values(text, starts, widths), np.diff(np.searchsorted(starts, offsets))


def _bytes_of(cells: pa.LargeStringArray) -> tuple[npt.NDArray[np.uint8], Int64Vector]:
    _, offset_buffer, text_buffer = cells.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)
    offsets = offsets[cells.offset : cells.offset + len(cells) + 1]
    text = np.frombuffer(text_buffer or b"", dtype=np.uint8)
    return text[offsets[0] : offsets[-1]], offsets - offsets[0]


def _kinds(
    table: CsvTable, column: str, text: npt.NDArray[np.uint8], offsets: Int64Vector
) -> npt.NDArray[np.uint8]:
    """Classify every byte; brackets count as such at the two ends of a cell only."""
    is_list = np.diff(offsets) >= 2
    firsts, lasts = offsets[:-1][is_list], offsets[1:][is_list] - 1
    is_list[is_list] = (text[firsts] == ord("[")) & (text[lasts] == ord("]"))
    if not is_list.all():
        row = int(is_list.argmin())
        raise table.fault(column, row, "no list, expected [item, item, ...]", code="E-TOKEN")
    kinds = _KINDS[text]
    kinds[offsets[:-1]] = _OPEN
    kinds[offsets[1:] - 1] = _CLOSE
    bad = kinds == _OTHER
    if bad.any():
        place = int(bad.argmax())
        message = f"{chr(text[place])!a} in a list, expected item indices with commas between"
        raise _fault_at(table, column, place, offsets, message)
    return kinds


def _check_separators(
    table: CsvTable, column: str, kinds: npt.NDArray[np.uint8], offsets: Int64Vector
) -> None:
    """After an opening bracket or a comma a number must follow."""
    solid = kinds[kinds != _SPACE]
    bad = ((solid[:-1] == _OPEN) | (solid[:-1] == _COMMA)) & (solid[1:] != _DIGIT)
    if bad.any():
        place = int(np.flatnonzero(kinds != _SPACE)[int(bad.argmax())])
        raise _fault_at(table, column, place, offsets, "no item after this, expected a number")


def _digit_runs(kinds: npt.NDArray[np.uint8]) -> tuple[Int64Vector, Int64Vector]:
    digit = kinds == _DIGIT
    edges = np.flatnonzero(digit[1:] != digit[:-1]) + 1  # cells begin and end with a bracket
    return edges[0::2], edges[1::2] - edges[0::2]


def _check_runs(
    table: CsvTable,
    column: str,
    kinds: npt.NDArray[np.uint8],
    offsets: Int64Vector,
    starts: Int64Vector,
    widths: Int64Vector,
) -> None:
    """Refuse a space inside a number (more runs than separators) and numbers beyond uint32."""
    separators = np.flatnonzero((kinds == _COMMA) | (kinds == _OPEN))
    if separators.size != starts.size:
        # The n-th run belongs to the n-th separator until a run comes before its own.
        early = starts[: separators.size] < separators[: starts.size]
        n = int(early.argmax()) if early.any() else separators.size
        message = "a space inside a number, expected a comma"
        raise _fault_at(table, column, int(starts[n]), offsets, message)
    if (widths > _MAX_DIGITS).any():
        place = int(starts[int((widths > _MAX_DIGITS).argmax())])
        message = f"a number of more than {_MAX_DIGITS} digits, expected an item index"
        raise _fault_at(table, column, place, offsets, message, code="E-OVERFLOW")


def _values(
    text: npt.NDArray[np.uint8], starts: Int64Vector, widths: Int64Vector
) -> npt.NDArray[np.int64]:
    values = np.zeros(starts.size, dtype=np.int64)
    for place in range(int(widths.max(initial=0))):
        # Where a run is over, any byte may be read: its digit is not taken.
        digit = text[np.minimum(starts + place, text.size - 1)].astype(np.int64) - ord("0")
        values = np.where(place < widths, values * 10 + digit, values)
    return values


def _fault_at(
    table: CsvTable,
    column: str,
    place: int,
    offsets: Int64Vector,
    message: str,
    code: str = "E-TOKEN",
) -> Exception:
    row = int(np.searchsorted(offsets, place, side="right")) - 1
    return table.fault(column, row, message, code=code, offset=place - int(offsets[row]))
