"""Standard output and error: where results go, and where messages go as long as anyone reads."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from dllm2rec.cli.torchrun import process_name
from dllm2rec.runtime.visible import visible, visible_lines


@contextmanager
def safe_streams() -> Iterator[None]:
    """Make printing safe within the block.

    A closed stream swallows, a narrow encoding escapes, and messages that nobody reads any more go
    nowhere: a training does not end because its log did. A standard output that nobody reads ends
    the command, since its results are lost.
    """
    given = sys.stdout, sys.stderr
    _give_streams()
    try:
        yield
    finally:
        _settle(sys.stdout)
        _settle(sys.stderr)
        if sys.stderr is not given[1] and given[1] is not None:
            sys.stderr = given[1]


def tell(line: str) -> None:
    """Write a message to standard error, with the process's name where there are several."""
    print(f"{process_name()}{visible_lines(line)}", file=sys.stderr)


@contextmanager
def notes() -> Iterator[None]:
    """Show what the package logs, one line each."""
    logger = logging.getLogger("dllm2rec")
    handler, level = _Note(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Note(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        word = "warning" if record.levelno >= logging.WARNING else "note"
        tell(f"{word}: {visible(record.getMessage())}")


def _give_streams() -> None:
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept open
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept open
    elif type(sys.stderr) is io.TextIOWrapper:
        sys.stderr = _lasting(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class _Lasting(io.FileIO):
    """A file that swallows what cannot be written."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever has a buffer
        try:
            return super().write(data)
        except OSError:
            _send_nowhere(self.fileno())
            return len(data)


def _lasting(stream: io.TextIOWrapper) -> TextIO:
    file = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(file, stream.encoding, line_buffering=True)


def _settle(stream: TextIO) -> None:
    """Flush; where that fails, let what is left go nowhere, or the interpreter's exit fails too."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            _send_nowhere(stream.fileno())


def _send_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
