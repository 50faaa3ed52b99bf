"""Times as they are written, in microseconds since 1970 UTC: numbers in one unit, or ISO 8601."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.logs.columns import NUMBER, Chunk, is_text, without_view

Int64Vector = npt.NDArray[np.int64]
Raw = npt.NDArray[np.int64] | npt.NDArray[np.float64]

# Each unit's numbers of the years 1973 to 5138; nearer to zero, a number tells no unit.
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_LEAST = (1e8, 1e11, 1e14, 1e17, np.inf)
_TO_MICROSECONDS = (1_000_000, 1_000, 1)
# Neighbouring units differ by 1000; one file's years hardly by more than 200.
_MIXED_RATIO = 500
_SLICE = 1 << 20

_PLAUSIBLE = (315_532_800_000_000, 4_102_444_800_000_000)  # 1980 to 2100
_HIGHEST = 253_402_300_800_000_000  # the year 10000
CUT_NOTE = "W-TS-CUT: {:,} times lost their nanoseconds below one microsecond"
ZONE_NOTE = "W-TS-ZONE: {:,} times without an offset from UTC were read as UTC"
_INTEGER = r"^-?[0-9]{1,19}$"


Kind = Literal["numbers", "times with an offset", "times without one"]


@dataclass(frozen=True, eq=False)
class RawTimes:
    """What one chunk's times say: numbers whose unit the whole file tells, or microseconds.

    Attributes:
        values: int64 or float64 (n,).
        kind: `numbers`; or microseconds already, `times with an offset` or `times without one`.
        notes: how often something was accepted that should be known, by its note.
    """

    values: Raw
    kind: Kind
    notes: dict[str, int] = field(default_factory=dict)


def raw_times(chunk: Chunk) -> RawTimes:
    """Read a chunk's times.

    Raises:
        InputError: a cell is missing, is no time, or a column is of no type for times.
    """
    array = chunk.columns["time"]
    if array.null_count:
        _missing(chunk, int(array.is_null().index(True).as_py()))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if is_text(kind):
        return _of_text(chunk, without_view(array).cast(pa.large_string()))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _of_timestamps(array)
    if pa.types.is_decimal(kind):
        array = array.cast(pa.int64() if kind.scale == 0 else pa.float64())
    elif pa.types.is_floating(kind):
        array = array.cast(pa.float64())
    elif not pa.types.is_integer(kind):
        message = f"time column of type {kind}, expected numbers, timestamps or ISO 8601 text"
        raise chunk.fault(0, "time", message, "E-DTYPE", "")
    try:
        values = array.to_numpy() if pa.types.is_floating(array.type) else _int64(array)
    except pa.ArrowInvalid:
        row = int((array.to_numpy() > np.iinfo(np.int64).max).argmax())
        message = f"time {array[row].as_py()}, expected at most {np.iinfo(np.int64).max}"
        raise chunk.fault(row, "time", message, "E-TS", "") from None
    return _finite(chunk, values)


def _int64(array: pa.Array) -> Int64Vector:
    values: Int64Vector = array.cast(pa.int64()).to_numpy()
    return values


def _finite(chunk: Chunk, values: Raw) -> RawTimes:
    if values.dtype == np.float64 and not np.isfinite(values).all():
        row = int(np.isfinite(values).argmin())
        message = f"time {values[row]}, expected a finite number"
        raise chunk.fault(row, "time", message, "E-TS", "")
    return RawTimes(values, kind="numbers")


def _missing(chunk: Chunk, row: int) -> None:
    raise chunk.fault(
        row,
        "time",
        "no time, expected one in each row",
        "E-LOG-MISSING",
        "where the order of the file is the order of events, give --file-order "
        "(in Python: no time column)",
    )


def _of_timestamps(array: pa.Array) -> RawTimes:
    kind = array.type
    zone = kind.tz if pa.types.is_timestamp(kind) else None
    exact = array.cast(pa.timestamp("us", zone), safe=False)
    notes = {}
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        cut = (array.cast(pa.int64()).to_numpy() % 1000 != 0).sum()
        if cut:
            notes[CUT_NOTE] = int(cut)
    kind_of = _kind(has_zone=zone is not None)
    if zone is None:
        notes[ZONE_NOTE] = len(array)
    return RawTimes(_int64(exact), kind_of, notes)


def _of_text(chunk: Chunk, cells: pa.Array) -> RawTimes:
    """Read times as text; the first cell says whether they are numbers or ISO 8601."""
    if not len(cells):
        return RawTimes(np.empty(0, dtype=np.int64), kind="numbers")
    empty = compute.equal(cells, "").index(True).as_py()
    if empty >= 0:
        _missing(chunk, empty)
    if compute.match_substring_regex(cells[:1], NUMBER)[0].as_py():
        numeric = compute.match_substring_regex(cells, NUMBER)
        _refuse(chunk, cells, numeric, "a number as in the rows before")
        if compute.all(compute.match_substring_regex(cells, _INTEGER)).as_py():
            try:
                return RawTimes(_int64(cells), kind="numbers")
            except pa.ArrowInvalid:
                values = cells.cast(pa.float64()).to_numpy()
                row = int((np.abs(values) >= 2**63).argmax())
                message = f"time {cells[row].as_py()}, expected at most {np.iinfo(np.int64).max}"
                raise chunk.fault(row, "time", message, "E-TS", "") from None
        plain = compute.replace_substring_regex(cells, r"^\+", "")
        return _finite(chunk, plain.cast(pa.float64()).to_numpy())
    return _of_iso(chunk, cells)


_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ISO = rf"{_DAY}({_CLOCK}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?)?$"
_ZONED = r"[T ].*(Z|[+-][0-9:]+)$"


def _of_iso(chunk: Chunk, cells: pa.Array) -> RawTimes:
    good = compute.match_substring_regex(cells, _ISO)
    _refuse(chunk, cells, good, "seconds since 1970 or ISO 8601 such as 2024-05-31T08:00:00+02:00")
    zoned = compute.match_substring_regex(cells, _ZONED)
    has_zone = zoned[0].as_py()
    _refuse(
        chunk,
        cells,
        zoned if has_zone else compute.invert(zoned),
        f"{'an' if has_zone else 'no'} offset from UTC as in the rows before",
    )
    notes = {}
    fine = compute.match_substring_regex(cells, r"\.[0-9]{7,9}")
    if compute.any(fine).as_py():
        cells = compute.replace_substring_regex(cells, r"(\.[0-9]{6})[0-9]{1,3}", r"\1")
        n_fine = compute.sum(fine).as_py()
        notes[CUT_NOTE] = int(n_fine)
    if not has_zone:
        notes[ZONE_NOTE] = len(cells)
    kind = pa.timestamp("us", "UTC" if has_zone else None)
    try:
        stamps = cells.cast(kind)
    except pa.ArrowInvalid:
        row = next(row for row in range(len(cells)) if not _is_time(cells[row : row + 1], kind))
        raise _no_time(chunk, row, cells[row].as_py(), "a day and an hour that exist") from None
    return RawTimes(_int64(stamps), _kind(has_zone=has_zone), notes)


def _kind(*, has_zone: bool) -> Kind:
    return "times with an offset" if has_zone else "times without one"


def _is_time(cell: pa.Array, kind: pa.DataType) -> bool:
    try:
        cell.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _refuse(chunk: Chunk, cells: pa.Array, good: pa.BooleanArray, expected: str) -> None:
    row = good.index(False).as_py()
    if row >= 0:
        raise _no_time(chunk, row, cells[row].as_py(), expected)


def _no_time(chunk: Chunk, row: int, text: str, expected: str) -> Exception:
    return chunk.fault(row, "time", f"time {ascii(text)[:40]}, expected {expected}", "E-TS", "")


class MixedUnitsError(ValueError):
    """Two units in one column; `row` is the first row of the rarer one."""

    def __init__(self, row: int, message: str) -> None:
        self.row = row
        super().__init__(message)


def in_microseconds(values: Raw) -> tuple[Int64Vector, str, int]:
    """Turn numbers into microseconds, in place, by the unit that most of them tell.

    Returns:
        int64 (n,), the name of the unit, and how many lost nanoseconds below a microsecond.

    Raises:
        MixedUnitsError: the numbers are of two units: the medians differ by more than 500.
        OverflowError: a time behind the year 9999 or before -9999; the argument is its row.
    """
    unit = _unit(values)
    out, n_cut = values.view(np.int64), 0
    for part in _slices(values.size):
        numbers = values[part]
        if unit == len(_TO_MICROSECONDS):
            micro = np.floor_divide(numbers, 1000)
            n_cut += int((numbers != micro * 1000).sum())
        else:
            factor = _TO_MICROSECONDS[unit]
            far = np.abs(numbers.astype(np.float64)) * factor >= _HIGHEST
            if far.any():
                raise OverflowError(part.start + int(far.argmax()))
            micro = np.rint(numbers * factor) if numbers.dtype == np.float64 else numbers * factor
        out[part] = micro.astype(np.int64)
    return out, UNITS[unit], n_cut


def count_implausible(times: Int64Vector) -> int:
    """Count the times before 1980 or after 2100."""
    low, high = _PLAUSIBLE
    return sum(int(((times[p] < low) | (times[p] >= high)).sum()) for p in _slices(times.size))


def _slices(size: int) -> Iterator[slice]:
    return (slice(start, min(start + _SLICE, size)) for start in range(0, size, _SLICE))


def _unit(values: Raw) -> int:
    counts = np.zeros(len(UNITS), dtype=np.int64)
    for part in _slices(values.size):
        counts += _count_units(values[part])
    unit = int(counts.argmax())
    middle = None
    for other in np.flatnonzero(counts):
        if other == unit:
            continue
        middle = np.median(_of_unit(values, unit)) if middle is None else middle
        found = np.median(_of_unit(values, int(other)))
        if not 1 / _MIXED_RATIO < found / middle < _MIXED_RATIO:
            row = int(((values >= _LEAST[other]) & (values < _LEAST[other + 1])).argmax())
            raise MixedUnitsError(
                row,
                f"time {values[row]:.17g} as in {UNITS[other]} ({counts[other]} rows), expected "
                f"{UNITS[unit]} as in {counts[unit]} other rows",
            )
    return unit


def _count_units(values: Raw) -> Int64Vector:
    low, high = values.min(), values.max()
    for unit in range(len(UNITS)):  # nearly always all of one unit
        if _LEAST[unit] <= low and high < _LEAST[unit + 1]:
            return np.bincount([unit], [values.size], len(UNITS)).astype(np.int64)
    return np.array([_in_unit(values, unit).sum() for unit in range(len(UNITS))], dtype=np.int64)


def _in_unit(values: Raw, unit: int) -> npt.NDArray[np.bool_]:
    return np.asarray((values >= _LEAST[unit]) & (values < _LEAST[unit + 1]))


def _of_unit(values: Raw, unit: int) -> Raw:
    return values[_in_unit(values, unit)]
