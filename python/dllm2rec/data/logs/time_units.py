"""Times as numbers: the unit that most of them tell, and microseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Int64Vector = npt.NDArray[np.int64]
Raw = npt.NDArray[np.int64] | npt.NDArray[np.float64]

# Each unit's numbers of the years 1973 to 5138; nearer to zero, a number tells no unit.
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
_LEAST = (1e8, 1e11, 1e14, 1e17, np.inf)
_TO_MICROSECONDS = (1_000_000, 1_000, 1, 1e-3)
# Neighbouring units differ by 1000; one file's years hardly by more than 200.
_MIXED_RATIO = 500
_SLICE = 1 << 20

_PLAUSIBLE = (315_532_800_000_000, 4_102_444_800_000_000)  # 1980 to 2100
_HIGHEST = 253_402_300_800_000_000  # the year 10000


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
        numbers, factor = values[part], _TO_MICROSECONDS[unit]
        far = np.abs(numbers.astype(np.float64)) * factor >= _HIGHEST
        if far.any():
            raise OverflowError(part.start + int(far.argmax()))
        if UNITS[unit] == "nanoseconds":
            micro = np.floor_divide(numbers, 1000)
            n_cut += int((numbers != micro * 1000).sum())
        else:
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
