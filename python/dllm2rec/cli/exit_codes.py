"""How a command ends: an exit code and a line for whatever was raised."""

from __future__ import annotations

import errno
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dllm2rec.errors import Dllm2RecError, InternalError, ResourceError
from dllm2rec.runtime.ending import CTRL_C_EXIT

CLOSED_PIPE_EXIT = 141
# How what torch, Arrow and the loader of libraries raise tells that memory or threads ran out.
_OUT_OF_MEMORY = re.compile(
    r"allocate memory|enough memory|out of memory|bad_alloc|start new thread|map segment|"
    r"ThreadPoolBuildError|Resource temporarily unavailable",
    re.IGNORECASE,
)


def describe(err: BaseException, words: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the line to print; a bug also leaves a report file.

    Args:
        err: what ended the command.
        words: its command line, for the report.
    """
    if isinstance(err, KeyboardInterrupt) or type(err).__name__ == "Abort":
        return CTRL_C_EXIT, "interrupted"
    if isinstance(err, BrokenPipeError) or _is_closed_pipe(err):
        return CLOSED_PIPE_EXIT, ""
    if isinstance(err, SystemExit):
        return _system_exit(err)
    if isinstance(err, Dllm2RecError) and not isinstance(err, InternalError):
        if isinstance(err, ResourceError) or not _ran_out(_earlier(err)):
            return err.exit_code, f"error: {_line(str(err))}"
        # A file seems to be at fault where there was no memory to read it.
        return ResourceError.exit_code, _too_little(err)
    if usage := _usage(err):
        return 2, usage
    if isinstance(err, OSError) and err.errno == errno.ENAMETOOLONG:
        path = Path(str(err.filename))
        long = f"a path of {len(str(path)):,} characters, expected a shorter one"
        return 2, f"error: {path.name[:40]}...: {long}"
    if type(err).__name__ == "OutOfMemoryError":  # of a GPU, which says how much was missing
        return ResourceError.exit_code, f"error: {_line(str(err))}"
    if _ran_out(err):
        return ResourceError.exit_code, _too_little(err)
    if isinstance(err, OSError) and err.errno is not None:
        return ResourceError.exit_code, f"error: {_line(str(err))}"
    return 1, _bug(err, words)


def _line(text: str) -> str:
    return " ".join(text.split())


def _is_closed_pipe(err: BaseException) -> bool:
    """What rich's console makes of a closed pipe."""
    return isinstance(err, SystemExit) and isinstance(err.__context__, BrokenPipeError)


def _system_exit(err: SystemExit) -> tuple[int, str]:
    if isinstance(err.code, int):
        return err.code, "terminated" if err.code > CTRL_C_EXIT else ""
    return (0, "") if err.code is None else (1, f"error: {err.code}")


def _usage(err: BaseException) -> str:
    """The line of a command line that cannot be meant, empty for any other error."""
    import typer

    # click's ClickException, by way of the one error class that every typer exports.
    base = typer.BadParameter.__mro__[2]
    if not isinstance(err, base):
        return ""
    context = getattr(err, "ctx", None)
    path = context.command_path if context else "dllm2rec"
    if context and type(err).__name__ == "NoArgsIsHelpError":
        return str(context.get_help())
    message = _line(err.format_message())  # type: ignore[attr-defined]
    return f"error: {message.rstrip('.')}; see {path} --help"


def _too_little(err: BaseException) -> str:
    """The line for memory or threads that ran out, with what was first said of it."""
    first = err
    while (before := _earlier(first)) is not None:
        first = before
    said = _line(str(first))[:120]
    reason = f" ({said})" if said else ""
    return (
        f"error: out of memory or threads{reason}, expected more of them; raise the limits of this "
        "process (ulimit) or end other work"
    )


def _ran_out(err: BaseException | None) -> bool:
    """Whether memory or threads ran out, here or in what this error came from."""
    while err is not None:
        # torch's out-of-memory error is told by its name: torch may not be imported.
        if isinstance(err, MemoryError) or type(err).__name__ == "OutOfMemoryError":
            return True
        # Arrow's errors are told by their text, and may be any of these or none. A lock that
        # another process holds has the text of a thread that cannot be started.
        is_told = not isinstance(err, Dllm2RecError | BlockingIOError)
        if is_told and _OUT_OF_MEMORY.search(str(err)):
            return True
        err = _earlier(err)
    return False


def _earlier(err: BaseException) -> BaseException | None:
    return err.__cause__ or err.__context__


def _bug(err: BaseException, words: Sequence[str]) -> str:
    what = f"{type(err).__name__}: {_line(str(err))}"[:200]
    where = _write_report(err, words)
    return f"error: this is a bug of dllm2rec ({what}); {where}"


def _write_report(err: BaseException, words: Sequence[str]) -> str:
    text = "\n".join(
        [
            f"command: dllm2rec {' '.join(map(repr, words))}",
            f"python: {sys.version}",
            f"platform: {platform.platform()}",
            "",
            "".join(traceback.format_exception(err)),
        ]
    )
    for folder in (Path.cwd, lambda: Path(tempfile.gettempdir())):
        with (
            suppress(OSError),
            tempfile.NamedTemporaryFile(
                "w",
                dir=folder(),
                prefix="dllm2rec-report-",
                suffix=".txt",
                delete=False,
                encoding="utf-8",
            ) as file,
        ):
            file.write(text)
            return f"please report it with {file.name}"
    return "its report could not be written"
