"""What the first line of a delimited file says, and where its cells are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from dllm2rec import _core
from dllm2rec.data.logs.columns import NUMBER
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.roles import roles_of
from dllm2rec.data.text.blocks import TextBlock, fault_at, separators, text_blocks
from dllm2rec.data.text.files import MAX_COLUMNS, shown
from dllm2rec.errors import InputError, InternalError

_OTHER_DELIMITERS = ",\t;|"
_DECIMAL = r"-?[0-9]*\.[0-9]*$"
# A time that is none of an id: a date, or seconds and smaller units of this century.
_TIME = (
    r"[0-9]{4}[-/][0-9]{1,2}[-/]|[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{2}|"
    r"([A-Z][a-z]{2} ){2}[0-9]{2} |1[0-9]{9}([0-9]{3}){0,3}$"
)


@dataclass(frozen=True)
class DelimitedLog:
    """What the first line of a file says, or who named its columns.

    Attributes:
        path: the file.
        delimiter: one character, or `::`.
        header: the names of all columns.
        roles: role -> name of its column.
        form: how the file is written.
    """

    path: Path
    delimiter: str
    header: list[str]
    roles: dict[str, str]
    form: LogForm

    @property
    def quotes(self) -> bool:
        """Whether a quote means anything."""
        return self.form.has_quotes(self.delimiter)

    def fault(self, record: int, role: str, message: str, code: str, hint: str) -> InputError:
        """Return the error for a cell; `record` counts from 0, the header."""
        field, done = self.header.index(self.roles[role]), 0
        for block in text_blocks(
            self.path, self.delimiter, quotes=self.quotes, form=self.form.text
        ):
            begin, n_records = _core.row_start(block.data, record - done, self.quotes)
            if begin is not None:
                if is_blank(block, begin):
                    return block.blank(begin)
                first, last = _cell(self, block, begin, field)
                return fault_at(
                    self.path,
                    block.offset + first,
                    message,
                    code=code,
                    hint=hint,
                    token=shown(block.data[first:last]),
                    form=self.form.text,
                )
            done += n_records
        raise InternalError(f"{self.path}: record {record} of {done} is at fault")


def opened(
    block: TextBlock, columns: Columns, delimiter: str, form: LogForm
) -> tuple[DelimitedLog, TextBlock]:
    """Read the header; return it and the rest of the block.

    Raises:
        InputError: it has no names, or not those of the columns that are needed.
    """
    header, end = _first_record(block, delimiter, form)
    _check_header(block.path, header, columns, delimiter)
    roles = roles_of(header, columns, block.path, line=1)
    rest = replace(block, data=block.data[end:], offset=block.offset + end)
    return DelimitedLog(block.path, delimiter, header, roles, form), rest


def numbered(block: TextBlock, columns: Columns, delimiter: str, form: LogForm) -> DelimitedLog:
    """Name the columns of a file without a header "1", "2", ..., as many as its first row has.

    Raises:
        InputError: there are fewer than a column's number says.
    """
    cells, _ = _first_record(block, delimiter, form)
    header = [str(place) for place in range(1, len(cells) + 1)]
    roles = roles_of(header, columns, block.path, line=1)
    return DelimitedLog(block.path, delimiter, header, roles, form)


def _first_record(block: TextBlock, delimiter: str, form: LogForm) -> tuple[list[str], int]:
    """Return the cells of the first record and where it ends."""
    quotes = form.has_quotes(delimiter)
    start, _ = _core.row_start(block.data, 1, quotes)
    end = len(block.data) if start is None else start
    if is_blank(block, 0):
        raise block.blank(0)
    if block.data.count(delimiter.encode(), 0, end) >= MAX_COLUMNS:
        message = f"over {MAX_COLUMNS:,} columns, expected those of a log"
        raise InputError(message, code="E-HEADER", path=block.path, line=1)
    return fields(block.data[:end], delimiter, quotes=quotes), end


def fields(record: bytes, delimiter: str, *, quotes: bool) -> list[str]:
    """Return the cells of a record without the quotes around them."""
    line = record.rstrip(b"\r\n")
    cells = [line[a:b] for a, b in _bounds(line, delimiter, quotes=quotes)]
    return [
        (cell[1:-1].replace(b'""', b'"') if quotes and cell[:1] == b'"' else cell).decode(
            "utf-8", "replace"
        )
        for cell in cells
    ]


def _bounds(line: bytes, delimiter: str, *, quotes: bool) -> list[tuple[int, int]]:
    """Return where each cell of a line begins and ends."""
    ends = separators(line, delimiter, quotes=quotes).tolist()
    begins = [0, *(end + len(delimiter) for end in ends)]
    return list(zip(begins, [*ends, len(line)], strict=True))


def _check_header(path: Path, header: list[str], columns: Columns, delimiter: str) -> None:
    if columns.user in header and columns.item in header:
        return
    other = next((d for d in _OTHER_DELIMITERS if d != delimiter and d in "".join(header)), None)
    if len(header) == 1 and other is not None:
        raise InputError(
            f"one column {header[0][:60]!r}, expected columns separated by {delimiter!r}",
            code="E-DELIM",
            path=path,
            line=1,
            column=1,
            hint=f"give --delimiter {other!r}",
        )
    if is_data(header):
        raise InputError(
            f"first row looks like data ({', '.join(header)[:60]!r}), expected the columns' names",
            code="E-HEADER",
            path=path,
            line=1,
            column=1,
            hint=f"give the columns by number, for instance: {by_number(header)}",
        )


def is_data(cells: list[str]) -> bool:
    """Whether a first row looks like data: a number or time is in it, or all cells have digits."""
    found = (re.match(NUMBER, cell) or re.match(_TIME, cell) for cell in cells)
    return any(found) or all(re.search("[0-9]", cell) for cell in cells)


def by_number(cells: list[str]) -> str:
    """Return the options that may be right for a file without a header, by its first row."""
    dates = [place for place, cell in enumerate(cells, start=1) if re.match(_TIME, cell)]
    decimals = [place for place, cell in enumerate(cells, start=1) if re.match(_DECIMAL, cell)]
    taken = {*dates, *decimals}
    others = [place for place in range(1, len(cells) + 1) if place not in taken]
    user, item = others[:2] if len(others) > 1 else (1, 2)
    time = f" --time-column {dates[0]}" if dates else ""
    return f"--no-header --user-column {user} --item-column {item}{time}"


def is_blank(block: TextBlock, start: int) -> bool:
    """Whether there is nothing in a record, which begins at `start`."""
    return block.data[start : start + 1] in (b"\r", b"\n")


def _cell(log: DelimitedLog, block: TextBlock, begin: int, field: int) -> tuple[int, int]:
    """Return where a cell's text begins, behind an opening quote, and where it ends."""
    record = block.data[begin:]
    end, _ = _core.row_start(record, 1, log.quotes)
    line = record[:end].rstrip(b"\r\n")
    first, last = _bounds(line, log.delimiter, quotes=log.quotes)[field]
    quoted = int(log.quotes and line[first : first + 1] == b'"')
    return begin + first + quoted, begin + last - quoted
