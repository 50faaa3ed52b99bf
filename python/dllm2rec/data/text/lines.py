"""Text files line by line, of any size, each line under a cap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dllm2rec.data.text.files import BOM, RECORD_CAP, read_pieces
from dllm2rec.data.text.text_form import PLAIN, TextForm, other_encoding
from dllm2rec.errors import InputError

_PIECE_BYTES = 2**18  # little is read in vain where only the first lines are looked at


def read_lines(
    path: Path, *, cap: int = RECORD_CAP, may_be_pipe: bool = False, form: TextForm = PLAIN
) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file with their numbers, from 1, without their line ends.

    A byte order mark is skipped. Memory is that of one line.

    Args:
        path: plain, gzip or zstd.
        cap: the most bytes that a line may have.
        may_be_pipe: a pipe will do as well.
        form: how the bytes are meant; the lines are UTF-8.

    Raises:
        InputError: as `read_pieces`, or a line is over `cap` bytes.
    """
    for number, line in enumerate(_whole_lines(path, cap, may_be_pipe, form), start=1):
        if len(line) > cap:
            message = f"over {cap:,} bytes, expected a line of text"
            raise InputError(message, code="E-LINE", path=path, line=number, column=1)
        yield number, (line.removeprefix(BOM) if number == 1 else line).rstrip(b"\r")


def _whole_lines(path: Path, cap: int, may_be_pipe: bool, form: TextForm) -> Iterator[bytes]:
    """Yield what stands between line feeds, a line above the cap may lack its end."""
    rest: list[bytes] = []
    n_rest = 0
    for piece in read_pieces(path, _PIECE_BYTES, may_be_pipe=may_be_pipe, form=form):
        first, *others = piece.split(b"\n")
        rest.append(first)
        n_rest += len(first)
        if others:
            yield b"".join(rest)
            yield from others[:-1]
            rest, n_rest = [others[-1]], len(others[-1])
        elif n_rest > cap:
            break
    if n_rest:
        yield b"".join(rest)


def first_lines(path: Path, count: int, form: TextForm = PLAIN) -> list[str]:
    """Return up to `count` first lines as text for a look, undecodable bytes escaped.

    A file that is no text has none.

    Raises:
        InputError: as `read_lines`.
    """
    try:
        lines = [line for _, line in islice(read_lines(path, form=form), count)]
    except InputError as err:
        if err.code != "E-CONTENT":
            raise
        return []
    return [line.decode("utf-8", "backslashreplace") for line in lines]


def decoded(path: Path, number: int, line: bytes, *, option: str = "") -> str:
    """Return a line as UTF-8 text.

    Args:
        path: the file that it is of.
        number: of the line.
        line: its bytes.
        option: the command's option that names the encoding of the file, where there is one.

    Raises:
        InputError: it is not UTF-8, or holds a NUL.
    """
    place = line.find(b"\0")
    code, message, hint = "E-NUL", "a NUL byte, expected text", "write it again"
    if place < 0:
        try:
            return line.decode()
        except UnicodeDecodeError as err:
            place = err.start
            code, hint = "E-ENC", "save the file as UTF-8"
            hint = other_encoding(line[place], option) if option else hint
            message = f"byte 0x{line[place]:02x} is no UTF-8, expected UTF-8 text"
    raise InputError(message, code=code, path=path, line=number, column=place + 1, hint=hint)
