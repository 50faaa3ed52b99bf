"""Dates that are not ISO 8601: brought into that form where they can be meant in one way only.

Whatever else there is, such as 03/04/2024, is read by a format that the caller gives.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.errors import ConfigError

_CLOCK = r"(?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)"
_ZONE = r"(?P<zone>[+-][0-9]{2}:?[0-9]{2}|GMT|UTC|Z)"
_DAY, _YEAR = "(?P<day>[0-9]{1,2})", "(?P<year>[0-9]{4})"
_NAME = r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?"
# As Foursquare, Goodreads and `date` have them; mail headers; prose; years first; "UTC" behind.
_KNOWN = (
    rf"^{_WEEKDAY}{_NAME} +{_DAY} {_CLOCK}(?: {_ZONE})? {_YEAR}$",
    rf"^{_WEEKDAY}{_DAY}[ -]{_NAME}[ -]{_YEAR}(?:,? {_CLOCK}(?: ?{_ZONE})?)?$",
    rf"^{_WEEKDAY}{_NAME} {_DAY},? {_YEAR}(?:,? {_CLOCK}(?: ?{_ZONE})?)?$",
    rf"^{_YEAR}/(?P<month>[0-9]{{1,2}})/{_DAY}(?:[T ]{_CLOCK}(?: ?{_ZONE})?)?$",
    rf"^{_YEAR}-(?P<month>[0-9]{{2}})-{_DAY}[T ]{_CLOCK} {_ZONE}$",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = [f"{number:02}" for number in range(1, 13)]
# What an error proposes for a date of none of these forms.
_PROPOSED = [
    day + clock
    for day in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m %d, %Y", "%d/%m/%y",
                "%m/%d/%y", "%Y%m%d")
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S %z")
]  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def as_iso(cells: pa.Array) -> pa.Array | None:
    """Return dates as ISO 8601, by the form of the first; null where a cell is not in that form.

    None where the first is in none of the forms that are known.
    """
    for pattern in _KNOWN:
        if compute.match_substring_regex(cells[:1], pattern)[0].as_py():
            return _iso(compute.extract_regex(cells, pattern))
    return None


def _iso(parts: pa.StructArray) -> pa.Array:
    found = {field.name: compute.struct_field(parts, field.name) for field in parts.type}
    month = found["month"]
    names, numbers = (pa.array(each, pa.large_string()) for each in (_MONTHS, _MONTH_NUMBERS))
    named = compute.index_in(compute.utf8_slice_codeunits(month, 0, 3), names)
    month = compute.coalesce(numbers.take(named), compute.utf8_lpad(month, 2, "0"))
    day = compute.utf8_lpad(found["day"], 2, "0")
    date = _joined(found["year"], month, day, between="-")
    if "clock" not in found:
        return date
    clock = found["clock"]
    zone = compute.replace_substring_regex(found["zone"], "^(GMT|UTC)$", "Z")
    clock_and_zone = _joined(clock, zone, between="")
    moment = _joined(date, clock_and_zone, between="T")
    return compute.if_else(compute.equal(clock, ""), date, moment)


def _joined(*parts: pa.Array, between: str) -> pa.Array:
    wide = (part.cast(pa.large_string()) for part in parts)
    return compute.binary_join_element_wise(*wide, pa.scalar(between, pa.large_string()))


def proposed_formats(text: str) -> list[str]:
    """Return the formats of `datetime.strptime` that a date may be in."""
    return [form for form in _PROPOSED if _fits(text, form)]


def _fits(text: str, form: str) -> bool:
    try:
        moment = dt.datetime.strptime(text, form)
    except ValueError:
        return False
    return 1970 <= moment.year <= 2100


def check_time_format(form: str) -> None:
    """Refuse what is no format of times.

    Raises:
        ConfigError: it holds nothing of a time, or what `strptime` does not know.
    """
    expected = "expected one as Python's strptime has it, such as '%d/%m/%Y %H:%M:%S'"
    try:
        text = dt.datetime(2024, 5, 31, tzinfo=dt.UTC).strftime(form)
        _reader(form)(text)
    except (ValueError, re.error) as err:
        raise ConfigError(f"time format {form!r}: {str(err)[:80]}, {expected}") from err
    if text == form:
        raise ConfigError(f"time format {form!r}, {expected}")


def _reader(form: str) -> Callable[[str], dt.datetime]:
    """Return the function that reads one time; without a year it is one in 2000."""
    if re.search(r"%[YyGcx]", form.replace("%%", "")):
        return lambda text: dt.datetime.strptime(text, form)
    return lambda text: dt.datetime.strptime(f"2000 {text}", f"%Y {form}")


class NotInFormatError(ValueError):
    """A time that a format does not read; `row` is its row."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(row)


def read_by_format(cells: pa.Array, form: str) -> tuple[npt.NDArray[np.int64], bool]:
    """Read times by a format of `datetime.strptime`, each distinct one once.

    Returns:
        Microseconds since 1970, int64 (n,), and whether they have an offset from UTC.

    Raises:
        NotInFormatError: a cell is not in it.
    """
    encoded = cells.dictionary_encode()
    read, has_zone = _reader(form), False
    values = np.empty(len(encoded.dictionary), np.int64)
    for place, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            moment = read(text)
        except ValueError:
            row = int((encoded.indices.to_numpy() == place).argmax())
            raise NotInFormatError(row) from None
        has_zone = moment.tzinfo is not None
        moment = moment if has_zone else moment.replace(tzinfo=dt.UTC)
        values[place] = (moment - _EPOCH) // _MICROSECOND
    return values[encoded.indices.to_numpy()], has_zone
