"""How the bytes of a text file are meant: its encoding, and how it writes quotes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.errors import ConfigError, InputError


@dataclass(frozen=True)
class TextForm:
    r"""How a text file is written.

    Attributes:
        encoding: any encoding of text that Python knows.
        backslashes: whether a quote inside a quoted field is written `\"` instead of `""`.
    """

    encoding: str = "utf-8"
    backslashes: bool = False

    def __post_init__(self) -> None:
        try:
            "a".encode(self.encoding)
        except (LookupError, ValueError) as err:
            raise ConfigError(
                f"encoding {self.encoding!r}, expected one that Python knows, such as utf-8, "
                "latin-1, cp1252, gbk or utf-16"
            ) from err

    @property
    def is_utf8(self) -> bool:
        """Whether there is nothing to decode."""
        return codecs.lookup(self.encoding).name == "utf-8"

    @property
    def is_wide(self) -> bool:
        """Whether letters take two bytes or four, so that the first ones tell no kind of file."""
        return codecs.lookup(self.encoding).name.startswith(("utf-16", "utf-32"))


PLAIN = TextForm()
_NOT_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


def other_encoding(byte: int, option: str) -> str:
    """Return what to do about a byte that is no UTF-8, where an option can name the encoding."""
    likely = "latin-1" if byte in _NOT_IN_CP1252 else "cp1252"
    return f"save it as UTF-8, or, if it is in a Western European encoding, give {option} {likely}"


def as_utf8(path: Path, pieces: Iterable[bytes], form: TextForm) -> Iterator[bytes]:
    r"""Yield the pieces of a file as UTF-8 in which `""` is the only quote inside a field.

    `\"` becomes `""`, which is as long: places in a UTF-8 file stay where they are.

    Raises:
        InputError: a byte that the encoding does not have; the message names the line.
    """
    if not form.is_utf8:
        pieces = _decoded(path, pieces, form.encoding)
    yield from _doubled(pieces) if form.backslashes else pieces


def _decoded(path: Path, pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    n_lines = 0

    def decode(piece: bytes, *, final: bool = False) -> bytes:
        try:
            return decoder.decode(piece, final).encode()
        except UnicodeError as err:
            reason = f"{err.reason}" if isinstance(err, UnicodeDecodeError) else str(err)[:60]
            before = err.object[: err.start] if isinstance(err, UnicodeDecodeError) else b""
            raise InputError(
                f"no {encoding} ({reason}), expected text in it",
                code="E-ENC",
                path=path,
                line=n_lines + before.count(b"\n") + 1,
                hint="name the encoding that the file is in, or save it as UTF-8",
            ) from err

    for piece in pieces:
        if text := decode(piece):
            yield text
            n_lines += text.count(b"\n")
    if text := decode(b"", final=True):
        yield text


def _doubled(pieces: Iterable[bytes]) -> Iterator[bytes]:
    carry = b""
    for piece in pieces:
        text = carry + piece
        # A backslash at the end may belong to a quote in the next piece.
        carry = b"\\" if (len(text) - len(text.rstrip(b"\\"))) % 2 else b""
        text = text[: len(text) - len(carry)]
        if text:
            yield re.sub(rb'\\[\\"]', _double, text) if b"\\" in text else text
    if carry:
        yield carry


def _double(found: re.Match[bytes]) -> bytes:
    return b'""' if found.group() == b'\\"' else found.group()
