"""Delimited text in blocks of whole records, each byte of it looked at before it is parsed.

Diary: `in` and `rfind` of one byte run at memory speed, so that a block without a quote costs a few
milliseconds per 32 MiB; of two bytes and more they are 20 times slower, and are not used. Quotes
and rows are looked at by kernels that hold no list of their places: with a number of 8 bytes for
each, a file of nothing but quotes took twenty times its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.data.text.files import BLOCK_BYTES, BOM, RECORD_CAP, read_pieces
from dllm2rec.data.text.text_form import PLAIN, TextForm, other_encoding
from dllm2rec.errors import InputError

Int64Vector = npt.NDArray[np.int64]

_NO_QUOTES = "close it, or give --quotes none where quotes mean nothing"
# A file may end with at most this many bytes of empty lines.
_BLANK_END = 2**16


@dataclass(frozen=True)
class TextBlock:
    """Some whole records of a file.

    Attributes:
        path: the file.
        data: the bytes of the records; the last one may lack its line end.
        offset: where they begin in the inflated file, as UTF-8, byte order mark included.
        form: how the bytes of the file are meant.
    """

    path: Path
    data: bytes
    offset: int
    form: TextForm = PLAIN

    @property
    def quoted(self) -> bool:
        """Whether any quote is in it."""
        return b'"' in self.data

    def blank(self, place: int) -> InputError:
        """Return the error for a line without anything at the byte `place`."""
        return self.fault(place, "a blank line, expected a row", "E-BLANK", "remove it")

    def fault(self, place: int, message: str, code: str, hint: str = "") -> InputError:
        """Return the error for the byte `place` of the block."""
        offset = self.offset + place
        return fault_at(self.path, offset, message, code=code, hint=hint, form=self.form)


def text_blocks(
    path: Path, delimiter: str, *, quotes: bool = True, form: TextForm = PLAIN
) -> Iterator[TextBlock]:
    """Yield a file in blocks of whole records: UTF-8, LF or CRLF, quotes as RFC 4180 has them.

    Empty lines at the end of the file are left out, up to 64 KiB of them, a byte order mark too. An
    empty line before is left to whoever parses the block, as a row without anything in it.

    Args:
        path: plain, gzip or zstd.
        delimiter: one character; more where quotes mean nothing.
        quotes: whether a quote means anything; if not, each line is a record.
        form: how the bytes are meant; the blocks are UTF-8.

    Raises:
        InputError: a byte that is no text, a quote out of place, a record above
            16 MiB; the message names line and column.
    """
    for block in unchecked_blocks(path, delimiter, quotes=quotes, form=form):
        check_text(block, delimiter, quotes=quotes)
        yield block


def unchecked_blocks(
    path: Path, delimiter: str, *, quotes: bool = True, form: TextForm = PLAIN
) -> Iterator[TextBlock]:
    """Yield the blocks of `text_blocks`, whose bytes nobody has looked at; see `check_text`."""
    carry, offset, first = b"", 0, True
    for piece in read_pieces(path, BLOCK_BYTES, form=form):
        head = carry
        if first and len(carry) + len(piece) >= len(BOM):
            first = False
            if (carry + piece).startswith(BOM):
                head, piece, offset = b"", (carry + piece)[len(BOM) :], len(BOM)
        end = _record_end(head, piece, quotes=quotes)
        # Empty lines wait: whether they may stand there is known once something follows.
        data = b"".join((head, memoryview(piece)[:end])) if end else b""
        kept = _text_end(data)
        whole = data.find(b"\n", kept) + 1 if kept else 0
        if whole:
            block = data if whole == len(data) else data[:whole]
            yield TextBlock(path, block, offset, form)
        offset += whole
        if len(data) - whole > _BLANK_END:
            blank = TextBlock(path, data[whole:], offset, form)
            check_text(blank, delimiter, quotes=False)
            raise blank.blank(0)
        carry = data[whole:] + (piece[end:] if end else head + piece)
        if len(carry) > RECORD_CAP + 2:
            _check_record(TextBlock(path, carry, offset, form), delimiter, quotes=quotes)
    rest = carry.rstrip(b"\r\n")
    if rest:
        yield TextBlock(path, rest, offset, form)


def separators(data: bytes, delimiter: str, *, quotes: bool = True) -> Int64Vector:
    """Return where the delimiters outside quotes begin; of text that is short."""
    if len(delimiter) > 1:
        found = (place.start() for place in re.finditer(re.escape(delimiter).encode(), data))
        return np.fromiter(found, np.int64)
    text = np.frombuffer(data, dtype=np.uint8)
    places = np.flatnonzero(text == ord(delimiter))
    return places[_outside(text, places)] if quotes and b'"' in data else places


def fault_at(
    path: Path,
    offset: int,
    message: str,
    *,
    code: str,
    hint: str = "",
    token: str | None = None,
    form: TextForm = PLAIN,
) -> InputError:
    """Return the error for one byte of the inflated file, by reading up to it once more."""
    line, line_start, done = 1, 0, 0
    for piece in read_pieces(path, BLOCK_BYTES, form=form):
        before = piece[: max(0, offset - done)]
        line += before.count(b"\n")
        last = before.rfind(b"\n")
        line_start = done + last + 1 if last >= 0 else line_start
        if not done and piece.startswith(BOM) and not line_start:
            line_start = len(BOM)
        done += len(piece)
        if done > offset:
            break
    return InputError(
        message,
        code=code,
        path=path,
        line=line,
        column=offset - line_start + 1,
        byte_offset=offset,
        token=token,
        hint=hint,
    )


def _record_end(head: bytes, piece: bytes, *, quotes: bool) -> int:
    """Return the place in `piece` behind the last whole record of both, 0 where there is none."""
    if not (quotes and (b'"' in head or b'"' in piece)):
        return piece.rfind(b"\n") + 1
    return max(0, _core.last_row_end(head + piece) - len(head))


def _text_end(data: bytes) -> int:
    """Return where the empty lines at the end begin."""
    size = 64
    while not (tail := data[-size:].rstrip(b"\r\n")) and size < len(data):
        size *= 8
    return max(0, len(data) - size) + len(tail)


def _outside(text: npt.NDArray[np.uint8], places: Int64Vector) -> npt.NDArray[np.bool_]:
    inside = np.searchsorted(np.flatnonzero(text == ord('"')), places) % 2
    return np.asarray(inside == 0)


def check_text(
    block: TextBlock, delimiter: str, *, quotes: bool = True, is_log: bool = True
) -> None:
    """Refuse what is no text, quotes out of place and rows that are too long.

    `is_log`: whether `prepare` can be told what encoding the file is in.

    Raises:
        InputError: as `text_blocks`.
    """
    data = block.data
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as err:
            message = f"byte 0x{data[err.start]:02x} is no UTF-8, expected UTF-8 text"
            hint = other_encoding(data[err.start], "--encoding") if is_log else "save it as UTF-8"
            raise block.fault(err.start, message, "E-ENC", hint) from err
    nul = data.find(b"\0")
    if nul >= 0:
        raise block.fault(nul, "a NUL byte, expected text", "E-NUL", "write it again")
    if b"\r" in data:
        _check_returns(block)
    if quotes and b'"' in data:
        _check_quotes(block, delimiter)
    if len(data) > RECORD_CAP:
        _check_record(block, delimiter, quotes=quotes)


def _check_returns(block: TextBlock) -> None:
    lone = re.search(rb"\r(?!\n|\Z)", block.data)
    if lone is not None:
        message = "a carriage return without line feed, expected LF or CRLF lines"
        raise block.fault(lone.start(), message, "E-EOL", "convert the line ends")


def _check_record(block: TextBlock, delimiter: str, *, quotes: bool) -> None:
    start = _core.first_long_row(block.data, RECORD_CAP, quotes)
    if start is None:
        return
    if quotes and block.quoted:
        _check_quotes(block, delimiter)
    message = f"a row of more than {RECORD_CAP} bytes, expected shorter ones"
    raise block.fault(start, message, "E-LINE")


def _check_quotes(block: TextBlock, delimiter: str) -> None:
    """Refuse a quote that neither opens, closes nor doubles as RFC 4180 has it."""
    bad = _core.first_bad_quote(block.data, ord(delimiter))
    if bad is None:
        return
    rule, place, opened = bad
    if rule == "opening":
        message = "a quote inside an unquoted field, expected one around the whole field"
        raise block.fault(place, message, "E-QUOTE", _about_quote(block.data, place))
    if rule == "unclosed" or b"\n" in block.data[opened:place]:
        message = "a quote that is never closed, expected pairs"
        raise block.fault(opened, message, "E-QUOTE", _NO_QUOTES)
    message = "text behind a closing quote, expected a delimiter or the line's end"
    raise block.fault(place + 1, message, "E-QUOTE", _about_quote(block.data, place))


def _about_quote(data: bytes, place: int) -> str:
    """Return what to do about a quote that is out of place."""
    if data[max(0, place - 1) : place] == b"\\":
        return 'give --quotes backslash, as a backslash is before it; or write ""'
    return 'write "" for a quote in a field; or give --quotes none where quotes mean nothing'
