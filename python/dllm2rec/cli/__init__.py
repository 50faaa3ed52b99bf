"""The commands: the one room that prints or exits."""

# Little is imported here, and nothing before the signals are taken over: Ctrl-C may come at once.
from __future__ import annotations

import os
import sys
from contextlib import suppress

from dllm2rec.runtime.ending import Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

SPINS = 10_000  # up to 100,000 is as good; with 0 each of torch's short loops wakes its threads

# Commands that have no use for pandas: where it is installed, pyarrow would load it, in half a
# second, to see whether it was given a frame.
WITHOUT_FRAMES = {"audit", "evaluate", "prepare", "recommend", "report"}


class _WithoutFrames:
    """Finds no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def run() -> NoReturn:
    """Run the command of this process and end it; the signals are never given back."""
    ending = Ending()
    ending.take_over()
    if {*sys.argv[1:2]} & WITHOUT_FRAMES:
        sys.meta_path.insert(0, _WithoutFrames)
    code = _command(None, ending)
    ending.end_at_once(os._exit)
    # Python notes a KeyboardInterrupt that left text being run, as an import of a dataclass does,
    # and `python -m` then ends by SIGINT, whatever the exit code. The next text clears the note.
    exec("")  # noqa: S102
    if code == _resources_exit():
        # Where memory ran out, what libraries do at the end of Python would end it by a signal.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(ending.came or code)
    sys.exit(ending.came or code)


def _resources_exit() -> int:
    from dllm2rec.errors import ResourceError

    return ResourceError.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one line on stderr.

    Args:
        arguments: the words after `dllm2rec`; without them those of this process.

    Returns:
        0, or what went wrong: 1 a bug of this package, 2 usage or configuration, 3 input data, 4 an
        artifact, 5 numbers, 6 resources, 130 Ctrl-C, 141 a closed standard output, 143 SIGTERM.
    """
    ending = Ending()
    ending.take_over()
    try:
        return _command(arguments, ending)
    finally:
        ending.give_back()


def _command(arguments: Sequence[str] | None, ending: Ending) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    _leave_cores_free()
    from dllm2rec.caller import command_line
    from dllm2rec.cli.exit_codes import describe
    from dllm2rec.cli.streams import notes, safe_streams, tell
    from dllm2rec.cli.torchrun import silence_other_processes

    with safe_streams(), notes(), command_line(words):
        try:
            try:
                ending.release()
                silence_other_processes()
                code, line = _run(words), ""
                sys.stdout.flush()
            finally:
                ending.hold()
        except BaseException as err:  # noqa: BLE001 - each kind has its exit code
            ending.hold()
            if not ending.came:
                code, line = describe(err, words)
        if ending.came:  # whatever it made of the command, which is no bug to report
            code, line = describe(ending.as_error(), words)
        if line:
            tell(line)
    return code


def _run(words: list[str]) -> int:
    _check_text(words)
    import typer

    from dllm2rec.cli.app import command
    from dllm2rec.runtime.room import check_room

    check_room()
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
            from dllm2rec.errors import ConfigError

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
