"""The one opener of text files: plain, gzip or zstd, bounded, and never another kind of file.

Whoever reads text in this package takes its bytes from here, so that a file which is missing, cut,
a decompression bomb or no text at all is refused in the same words by every command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from dllm2rec.data.text.text_form import PLAIN, TextForm, as_utf8
from dllm2rec.errors import InputError

# What fits the caches of a processor, and memory that is used again for the next block.
BLOCK_BYTES = 8 * 2**20
# The longest line, or record of a delimited file.
RECORD_CAP = 16 * 2**20
BOM = b"\xef\xbb\xbf"
# A compressed file may inflate to 100 times its size, or to 32 MiB, whichever is more: real rows
# stay below 20:1, and a bomb is refused before it costs memory.
_INFLATED_RATIO = 100
_INFLATED_FLOOR = 32 * 2**20
_TOKEN_SHOWN = 40

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_NO_UTF8 = "save it as UTF-8, or give --encoding utf-16 (of titles, --titles-encoding utf-16)"
# How files begin that people take for text: pattern, what it is, what to do.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x80[\x02-\x05]", "a Python pickle", "it is never loaded, as it may run code; save text"),
    (rb"PAR1", "a Parquet file", "a log may be one: name it .parquet or give --format parquet"),
    (rb"PK\x03\x04", "a zip archive", "unpack it"),
    (rb"BZh|\xfd7zXZ\x00", "compressed in an unsupported way", "use gzip or zstd"),
    (rb"\xff\xfe|\xfe\xff", "UTF-16 text", _NO_UTF8),
    (rb"version https://git-lfs", "a Git LFS pointer", "run git lfs pull"),
    (rb"(?i)\s*<(!doctype|html|head|body)", "an HTML page", "download the file itself"),
    (rb"\s*<\?xml", "an XML page", "download the file itself"),
)
_SIGN_BYTES = 64


def foreign_content(head: bytes) -> tuple[str, str] | None:
    """Tell what a file is that begins so and is no text: its kind, and what to do; or None."""
    start = head[:_SIGN_BYTES]
    return next(((what, todo) for sign, what, todo in _FOREIGN if re.match(sign, start)), None)


def read_pieces(
    path: Path, size: int = BLOCK_BYTES, *, may_be_pipe: bool = False, form: TextForm = PLAIN
) -> Iterator[bytes]:
    """Yield a file's bytes, inflated by its first bytes, in pieces of `size`, the last one shorter.

    Args:
        path: plain, gzip or zstd, whatever its name.
        size: of a piece, in bytes; what is not UTF-8 gives longer or shorter ones.
        may_be_pipe: for a caller that reads it once; messages often look at a file again.
        form: how the bytes are meant; what is yielded is UTF-8.

    Raises:
        InputError: it cannot be read, is cut, inflates absurdly, or is another kind of file.
    """
    pieces = _inflated(path, size, may_be_pipe=may_be_pipe, any_start=form.is_wide)
    yield from pieces if form == PLAIN else as_utf8(path, pieces, form)


def _inflated(path: Path, size: int, *, may_be_pipe: bool, any_start: bool) -> Iterator[bytes]:
    codec, source = _opened(path, may_be_pipe=may_be_pipe)
    n_bytes = 0
    with source:
        limit = max(_INFLATED_FLOOR, _INFLATED_RATIO * path.stat().st_size)
        while piece := _next_piece(path, source, size, codec):
            if not (n_bytes or any_start) and (found := foreign_content(piece)) is not None:
                what, todo = found
                raise InputError(f"{what}, expected text", code="E-CONTENT", path=path, hint=todo)
            if not n_bytes and codec is not None and (inner := _codec_of(piece)) is not None:
                message = f"{inner} inside {codec}, expected text that was compressed once"
                hint = "decompress it once, with gunzip or zstd -d; what is left can be read"
                raise InputError(message, code="E-CONTENT", path=path, hint=hint)
            n_bytes += len(piece)
            if codec is not None and n_bytes > limit:
                raise InputError(
                    f"inflates to more than {limit} bytes, expected at most that",
                    code="E-BOMB",
                    path=path,
                    hint="if you trust the file, decompress it yourself first",
                )
            yield piece


def read_bytes(path: Path) -> bytes:
    """Return all of a file's bytes, inflated.

    Raises:
        InputError: as `read_pieces`.
    """
    try:
        size = path.stat().st_size + 1  # a plain file is one piece, which is not copied
    except OSError as err:
        raise _unreadable(path, err) from err
    return b"".join(read_pieces(path, max(BLOCK_BYTES, size)))


def shown(token: bytes) -> str:
    """Return a token as an error shows it: escaped, at most 40 characters."""
    text = token.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
    return text if len(text) <= _TOKEN_SHOWN else text[: _TOKEN_SHOWN - 3] + "..."


def _opened(path: Path, *, may_be_pipe: bool) -> tuple[str | None, BinaryIO]:
    """Return the codec of a file and its stream of inflated bytes."""
    try:
        if not may_be_pipe and path.exists() and not path.is_file():
            raise InputError("not a regular file, expected one", code="E-FILE", path=path)
        file = path.open("rb")
        codec = _codec_of(file.peek(4))
        return codec, file if codec is None else pa.input_stream(file, compression=codec)
    except OSError as err:
        raise _unreadable(path, err) from err


def _codec_of(start: bytes) -> str | None:
    return next((name for sign, name in _CODECS.items() if start.startswith(sign)), None)


def _next_piece(path: Path, source: BinaryIO, size: int, codec: str | None) -> bytes:
    try:
        piece: bytes = source.read(size)
    except OSError as err:
        if codec is None:
            raise _unreadable(path, err) from err
        raise InputError(
            f"broken {codec} stream ({str(err)[:60]}), expected a whole file",
            code="E-TRUNC",
            path=path,
            hint="copy the file again",
        ) from err
    return piece


def _unreadable(path: Path, err: OSError) -> InputError:
    reason = err.strerror or str(err)[:60]
    return InputError(f"{reason}, expected a readable file", code="E-FILE", path=path)
