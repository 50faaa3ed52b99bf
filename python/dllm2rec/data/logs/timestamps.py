"""Times as they are written: numbers in one unit, or dates in microseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.logs.columns import NUMBER, Chunk, is_text, without_view
from dllm2rec.data.logs.date_forms import (
    NotInFormatError,
    as_iso,
    proposed_formats,
    read_by_format,
)
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.time_units import Int64Vector, Raw

CUT_NOTE = "W-TS-CUT: {:,} times lost their nanoseconds below one microsecond"
ZONE_NOTE = "W-TS-ZONE: {:,} times without an offset from UTC were read as UTC"
CLOCK_NOTE = "{:,} times are in an hour that the clocks there show twice or never: taken as earlier"
_INTEGER = r"^-?[0-9]{1,19}$"


_PLAIN = LogForm()

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


def raw_times(chunk: Chunk, form: LogForm = _PLAIN) -> RawTimes:
    """Read a chunk's times.

    Args:
        chunk: some rows.
        form: the format of times, and the zone of those without an offset.

    Raises:
        InputError: a cell is missing, is no time, or a column is of no type for times.
    """
    array = chunk.columns["time"]
    if array.null_count:
        _missing(chunk, int(array.is_null().index(True).as_py()))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if form.time_format is not None:
        if not (is_text(array.type) or pa.types.is_integer(array.type)):
            message = f"time column of type {array.type}, expected text, as a time format is given"
            raise chunk.fault(0, "time", message, "E-DTYPE", "leave --time-format away")
        times = _by_format(chunk, without_view(array).cast(pa.large_string()), form.time_format)
    else:
        times = _by_type(chunk, array)
    return times if form.time_zone is None else _in_zone(chunk, times, form.time_zone)


def _by_type(chunk: Chunk, array: pa.Array) -> RawTimes:
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
        message = f"time column of type {kind}, expected numbers, timestamps or text"
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
        "where the order of the file is the order of events, give --file-order",
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
    if (iso := as_iso(cells)) is None:
        return _of_iso(chunk, cells, cells)
    _refuse(chunk, cells, iso.is_valid(), f"a date such as {cells[0].as_py()!r}")
    return _of_iso(chunk, cells, iso)


def _by_format(chunk: Chunk, cells: pa.Array, form: str) -> RawTimes:
    try:
        values, has_zone = read_by_format(cells, form)
    except NotInFormatError as err:
        text = cells[err.row].as_py()
        if not text:
            _missing(chunk, err.row)
        raise _no_time(chunk, err.row, text, f"the format {form!r}") from None
    return RawTimes(values, _kind(has_zone=has_zone), {} if has_zone else {ZONE_NOTE: len(cells)})


def _in_zone(chunk: Chunk, times: RawTimes, zone: str) -> RawTimes:
    """Take times without an offset for those that clocks in `zone` showed."""
    if times.kind != "times without one":
        found = "numbers" if times.kind == "numbers" else "dates with an offset from UTC"
        message = f"times are {found}, expected dates without an offset, as a time zone is given"
        raise chunk.fault(0, "time", message, "E-TS", "leave --time-zone away")
    shown = pa.array(times.values, pa.timestamp("us"))
    # An hour that clocks show twice, or skip, has two readings.
    readings = [
        compute.assume_timezone(shown, zone, ambiguous=end, nonexistent=end).cast(pa.int64())
        for end in ("earliest", "latest")
    ]
    values = readings[0].to_numpy()
    n_unsure = int((values != readings[1].to_numpy()).sum())
    notes = {note: n for note, n in times.notes.items() if note != ZONE_NOTE}
    return RawTimes(values, times.kind, notes | ({CLOCK_NOTE: n_unsure} if n_unsure else {}))


_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_ISO = rf"{_DAY}({_CLOCK}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?)?$"
_ZONED = r"[T ].*(Z|[+-][0-9:]+)$"


def _of_iso(chunk: Chunk, shown: pa.Array, cells: pa.Array) -> RawTimes:
    """Read ISO 8601; `shown` are the cells as they are in the file."""
    good = compute.match_substring_regex(cells, _ISO)
    expected = "seconds since 1970 or ISO 8601 such as 2024-05-31T08:00:00+02:00"
    _refuse(chunk, shown, good, expected)
    zoned = compute.match_substring_regex(cells, _ZONED)
    has_zone = zoned[0].as_py()
    _refuse(
        chunk,
        shown,
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
        raise _no_time(chunk, row, shown[row].as_py(), "a day and an hour that exist") from None
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
    message = f"time {ascii(text)[:40]}, expected {expected}"
    formats = proposed_formats(text)
    hint = " or ".join(f"--time-format '{form}'" for form in formats[:2])
    return chunk.fault(row, "time", message, "E-TS", f"if so meant, give {hint}" if hint else "")
