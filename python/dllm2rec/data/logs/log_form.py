"""How a log is written, where its files do not say so themselves."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from typing import Literal

from dllm2rec.data.logs.date_forms import check_time_format
from dllm2rec.data.text.text_form import TextForm
from dllm2rec.errors import ConfigError

Quotes = Literal["auto", "double", "backslash", "none"]
QUOTES = ("auto", "double", "backslash", "none")


@dataclass(frozen=True)
class LogForm:
    """How the files of a log are written.

    Attributes:
        header: whether the first line of a delimited file names the columns; if not, `Columns`
            names them by number, "1" the first.
        names: of all columns of a delimited file without a header, in which a quote then means
            nothing.
        encoding: of text files, any that Python knows.
        quotes: what a quote means in a delimited file: `double` (RFC 4180: fields may stand in
            quotes, and `""` is a quote inside one), `backslash` (the same, with a backslash before
            the quote), `none` (a letter like others); `auto` is `double` but for files of `names`
            and those with `::` between columns.
        time_format: of the times, as Python's `datetime.strptime` has it; None: numbers, ISO 8601
            or another form that can be meant in one way only.
        time_zone: of times without an offset, such as "Europe/Berlin"; None: UTC.
        splits: `train`, `validation` or `test` for each file, in their order, where the files are
            the splits.
    """

    header: bool = True
    names: tuple[str, ...] | None = None
    encoding: str = "utf-8"
    quotes: Quotes = "auto"
    time_format: str | None = None
    time_zone: str | None = None
    splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        TextForm(self.encoding)  # refuses an encoding that there is not
        check_quotes(self.quotes)
        if self.time_format is not None:
            check_time_format(self.time_format)
        if self.time_zone is not None:
            _check_zone(self.time_zone)

    @property
    def text(self) -> TextForm:
        """How the bytes are meant."""
        return TextForm(self.encoding, backslashes=self.quotes == "backslash")

    def has_quotes(self, delimiter: str) -> bool:
        """Whether a quote means anything in a delimited file."""
        if self.quotes == "auto":
            return self.names is None and delimiter != "::"
        return self.quotes != "none"


def check_quotes(quotes: str) -> None:
    """Refuse what says nothing about quotes.

    Raises:
        ConfigError: it is none of `QUOTES`.
    """
    if quotes not in QUOTES:
        raise ConfigError(f"quotes {quotes!r}, expected one of {', '.join(QUOTES)}")


def _check_zone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError) as err:
        raise ConfigError(
            f"time zone {name!r}, expected a name such as UTC, Europe/Berlin or America/New_York"
        ) from err
