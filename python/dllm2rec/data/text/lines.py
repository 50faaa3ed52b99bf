"""Text files line by line: plain, gzipped or zstd, of any size, each line under a cap."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from dllm2rec.errors import InputError

LINE_LIMIT = 16 * 2**20
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression_of(path: Path) -> str | None:
    """Return "gzip", "zstd" or None, by how the file begins, whatever its name.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as err:
        raise _unreadable(path, err) from err
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file with their numbers, from 1, without their line ends.

    A byte order mark is skipped. Memory is that of one line.

    Raises:
        InputError: the file cannot be read or is cut, or a line is over `LINE_LIMIT` bytes.
    """
    compression = compression_of(path)
    try:
        with io.BufferedReader(pa.input_stream(str(path), compression=compression)) as stream:
            number = 0
            while line := stream.readline(LINE_LIMIT + 1):
                number += 1
                if len(line) > LINE_LIMIT:
                    message = f"over {LINE_LIMIT:,} bytes, expected a line of text"
                    raise InputError(message, code="E-LINE", path=path, line=number)
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, line.rstrip(b"\r\n")
    except OSError as err:
        raise _unreadable(path, err) from err


def first_lines(path: Path, count: int) -> list[str]:
    """Return up to `count` first lines as text for a look, undecodable bytes escaped.

    Raises:
        InputError: as `read_lines`.
    """
    lines = []
    for _, line in read_lines(path):
        lines.append(line.decode("utf-8", "backslashreplace"))
        if len(lines) == count:
            break
    return lines


def decoded(path: Path, number: int, line: bytes) -> str:
    """Return a line as UTF-8 text.

    Raises:
        InputError: it is not UTF-8, or holds a NUL.
    """
    place = line.find(b"\0")
    if place < 0:
        try:
            return line.decode()
        except UnicodeDecodeError as err:
            place = err.start
    raise InputError(
        f"byte 0x{line[place]:02x}, expected text in UTF-8",
        code="E-ENCODING",
        path=path,
        line=number,
        column=place + 1,
        hint="save the file again as UTF-8",
    )


def _unreadable(path: Path, err: OSError) -> InputError:
    # Arrow's errors of cut or broken streams are OSErrors without an errno.
    reason = err.strerror or str(err).partition("\n")[0][:120]
    return InputError(f"{reason}, expected a readable file", code="E-FILE", path=path)
