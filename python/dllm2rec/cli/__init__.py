"""The commands: the one room that prints or exits."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TextIO

from dllm2rec.caller import command_line
from dllm2rec.cli.exit_codes import describe
from dllm2rec.cli.torchrun import process_name, silence_other_processes
from dllm2rec.errors import ConfigError
from dllm2rec.runtime.signals import SIGTERM_EXIT

SPINS = 10_000  # up to 100,000 is as good; with 0 each of torch's short loops wakes its threads


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line on stderr.

    Args:
        arguments: the words after `dllm2rec`; without them those of this process.

    Returns:
        0, or what went wrong: 1 a bug of this package, 2 usage or configuration, 3 input data, 4 an
        artifact, 5 numbers, 6 resources, 130 Ctrl-C, 141 a closed standard output, 143 SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _leave_cores_free()
    _give_streams()
    with _notes(), _terminable(), command_line():
        try:
            silence_other_processes()
            code = _run(words)
            sys.stdout.flush()
        except BaseException as err:  # noqa: BLE001 - each kind has its exit code
            code, line = describe(err, words)
            with suppress(OSError):
                if line:
                    print(f"{process_name()}{line}", file=sys.stderr)
        _settle(sys.stdout)
        _settle(sys.stderr)
    return code


def _run(words: list[str]) -> int:
    _check_text(words)
    import typer

    from dllm2rec.cli.app import command

    try:
        # Not command.main(): that would turn a closed pipe and Ctrl-C into exits of its own.
        with command().make_context("dllm2rec", words) as context:
            context.command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    return 0


def _check_text(words: list[str]) -> None:
    """Refuse a word that is no UTF-8: such a path could be written to, but in no file of a run."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word)[:40]
            raise ConfigError(
                f"{shown!r} is no UTF-8, expected names and values in UTF-8"
            ) from None


def _leave_cores_free() -> None:
    """Let torch's threads sleep soon after their work: they would spin where our kernels run.

    A step of `dllm2rec train` on games took 50 ms instead of 59 on two cores. OpenMP reads it when
    torch is loaded; what the user has set stands.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def _give_streams() -> None:
    """Make printing safe: a closed stream swallows, a narrow encoding escapes."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept open
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept open
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _settle(stream: TextIO) -> None:
    """Flush; where that fails, let what is left go nowhere, or the interpreter's exit fails too."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Note(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        word = "warning" if record.levelno >= logging.WARNING else "note"
        print(f"{process_name()}{word}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def _notes() -> Iterator[None]:
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


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn the first SIGTERM into an orderly exit; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.exit(SIGTERM_EXIT)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
