"""Ctrl-C and SIGTERM while a student is trained: they wait until its state can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dllm2rec.runtime.ending import SIGTERM_EXIT


class Interrupts:
    """The signal that came and was held back, if any.

    A second signal is never held back: SIGTERM then ends the process at once, Ctrl-C raises.
    """

    def __init__(self) -> None:
        self._n_holds = 0  # trainings that take turns begin and end theirs in any order
        self._came: BaseException | None = None
        self._before: dict[int, Any] = {}

    def check(self) -> None:
        """Raise what was held back.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            SystemExit: SIGTERM, with code 143.
        """
        came, self._came = self._came, None
        if came is not None:
            raise came

    @property
    def came(self) -> bool:
        """Whether a signal is held back."""
        return self._came is not None

    def join(self) -> None:
        """Be stopped by the next `check` as by SIGTERM: another process is."""
        self._came = self._came or SystemExit(SIGTERM_EXIT)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back within the block, which calls `check` where it can stop."""
        self._n_holds += 1
        try:
            yield
        finally:
            self._n_holds -= 1

    @contextmanager
    def released(self) -> Iterator[None]:
        """Within a block that holds signals back: let one raise at once."""
        self.check()
        before, self._n_holds = self._n_holds, 0
        try:
            yield
        finally:
            self._n_holds = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._came is not None and number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        again, came = self._came is not None, _meaning(number)
        if again or not self._n_holds:
            before = self._before.get(number)
            # A command's handler raises as well, and sees to it that this is not lost.
            if callable(before) and before is not signal.default_int_handler:
                before(number, frame)
            raise came
        self._came = came


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Take over Ctrl-C and SIGTERM within the block; what was set before is set again after it.

    Off the main thread, where Python allows no handlers, nothing is taken over.
    """
    taken = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield taken
        return
    # What is ignored stays so: a shell's background job is not for the Ctrl-C at its terminal.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    taken._before.update(before)  # noqa: SLF001 - its own
    for number in numbers:
        signal.signal(number, taken._handle)  # noqa: SLF001 - its own
    try:
        yield taken
        taken.check()
    finally:
        for taken_over, handler in before.items():
            # None: a handler that is not Python's, which only its owner can set again.
            signal.signal(taken_over, signal.SIG_DFL if handler is None else handler)


def _meaning(number: int) -> BaseException:
    return SystemExit(SIGTERM_EXIT) if number == signal.SIGTERM else KeyboardInterrupt()
