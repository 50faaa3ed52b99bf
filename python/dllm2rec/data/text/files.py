"""The one opener of text files: plain, gzip or zstd, bounded, and never another kind of file.

Whoever reads text in this package takes its bytes from here, so that a file which is missing, cut,
not at rest, a decompression bomb or no text at all is refused in the same words by every command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import pyarrow as pa

from dllm2rec.data.text.at_rest import at_rest, changed, identity
from dllm2rec.data.text.text_form import PLAIN, TextForm, as_utf8
from dllm2rec.errors import InputError

# What fits the caches of a processor, and memory that is used again for the next block.
BLOCK_BYTES = 2 * 2**20
# The longest line, or record of a delimited file.
RECORD_CAP = 16 * 2**20
# More columns than any file has whose cells are of use here: each takes some 200 bytes of memory.
MAX_COLUMNS = 2**17
# The longest line of JSON: as Python objects it may take 20 times its size.
JSON_CAP = 2 * 2**20
BOM = b"\xef\xbb\xbf"
# A compressed file may inflate to 100 times its size, or to 32 MiB, whichever is more.
_INFLATED_RATIO = 100
_INFLATED_FLOOR = 32 * 2**20
# Real rows stay below 20:1. What exceeds that is counted to its end before more of it is held.
_USUAL_RATIO = 20
_USUAL_FLOOR = 4 * 2**20
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
        InputError: it cannot be read, is cut, changes meanwhile, inflates absurdly, or is another
            kind of file.
    """
    pieces = _inflated(path, size, may_be_pipe=may_be_pipe, any_start=form.is_wide)
    yield from pieces if form == PLAIN else as_utf8(path, pieces, form)


def _inflated(path: Path, size: int, *, may_be_pipe: bool, any_start: bool) -> Iterator[bytes]:
    with at_rest(path), _opened(path, may_be_pipe=may_be_pipe) as stream:
        codec = stream.codec
        n_bytes, is_counted = 0, codec is None
        while piece := _next_piece(path, stream, size):
            if not (n_bytes or any_start) and (found := foreign_content(piece)) is not None:
                what, todo = found
                raise InputError(f"{what}, expected text", code="E-CONTENT", path=path, hint=todo)
            if not n_bytes and codec is not None and (inner := _codec_of(piece)) is not None:
                message = f"{inner} inside {codec}, expected text that was compressed once"
                hint = "decompress it once, with gunzip or zstd -d; what is left can be read"
                raise InputError(message, code="E-CONTENT", path=path, hint=hint)
            n_bytes += len(piece)
            if not is_counted and n_bytes > max(_USUAL_FLOOR, _USUAL_RATIO * stream.n_read):
                is_counted = _is_counted(path, stream, n_bytes)
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


@dataclass
class _Stream:
    """An open file that counts what is read of it, and what comes out of that.

    Attributes:
        file: its bytes.
        codec: how they are compressed, or None.
        inflated: what is to be read.
        n_read: how many bytes were taken from the file.
    """

    file: BinaryIO
    codec: str | None = None
    inflated: BinaryIO | None = None
    n_read: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.inflated is not None:
            self.inflated.close()
        self.close()

    def read(self, size: int = -1) -> bytes:
        """Read from the file, as the codec does."""
        found = self.file.read(size)
        self.n_read += len(found)
        return found

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self.file.closed

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _opened(path: Path, *, may_be_pipe: bool) -> _Stream:
    if not may_be_pipe and path.exists() and not path.is_file():
        raise InputError("not a regular file, expected one", code="E-FILE", path=path)
    try:
        stream = _Stream(path.open("rb"))
        stream.codec = _codec_of(stream.file.peek(4))  # type: ignore[attr-defined] # buffered
        if stream.codec is not None:
            stream.inflated = pa.input_stream(pa.PythonFile(stream, "r"), compression=stream.codec)
    except (OSError, ValueError) as err:
        raise _unreadable(path, err) from err
    if identity(stream.file.fileno()) != identity(path):
        stream.close()
        raise changed(path)  # it was replaced just before it was opened
    return stream


def _codec_of(start: bytes) -> str | None:
    return next((name for sign, name in _CODECS.items() if start.startswith(sign)), None)


def _next_piece(path: Path, stream: _Stream, size: int) -> bytes:
    try:
        source = stream if stream.inflated is None else stream.inflated
        piece: bytes = source.read(size)
    except OSError as err:
        if stream.codec is None:
            raise _unreadable(path, err) from err
        raise InputError(
            f"broken {stream.codec} stream ({str(err)[:60]}), expected a whole file",
            code="E-TRUNC",
            path=path,
            hint="copy the file again",
        ) from err
    return piece


def _is_counted(path: Path, stream: _Stream, n_bytes: int) -> bool:
    """Refuse what inflates to too much; whether that is settled for all of the file.

    A file is inflated once more for that, up to the limit; a pipe is judged by what came so far.
    """
    if not path.is_file():
        _check_inflated(path, n_bytes, stream.n_read)
        return False
    size, total = path.stat().st_size, 0
    with _opened(path, may_be_pipe=False) as again:
        while piece := _next_piece(path, again, 2**18):
            total += len(piece)
            _check_inflated(path, total, size)
    return True


def most_inflated(size: int) -> int:
    """Return how many bytes a file of `size` bytes may have inside."""
    return max(_INFLATED_FLOOR, _INFLATED_RATIO * size)


def _check_inflated(path: Path, n_bytes: int, n_read: int) -> None:
    limit = most_inflated(n_read)
    if n_bytes > limit:
        raise InputError(
            f"inflates to more than {limit} bytes, expected at most that",
            code="E-BOMB",
            path=path,
            hint="if you trust the file, decompress it yourself first",
        )


def _unreadable(path: Path, err: OSError | ValueError) -> InputError:
    reason = getattr(err, "strerror", None) or str(err)[:60]
    return InputError(f"{reason}, expected a readable file", code="E-FILE", path=path)
