"""Ctrl-C and SIGTERM from the first line of a command to its last: each ends it, once.

Python raises what a signal means wherever the program happens to be, and some places lose it: a
finalizer, a callback of the import system, a library that catches everything. So it is raised again
until something is seen to unwind.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # not from typing: nothing slow is imported before the signals are taken over
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

CTRL_C_EXIT, SIGTERM_EXIT = 130, 143
EXITS = {signal.SIGINT: CTRL_C_EXIT, signal.SIGTERM: SIGTERM_EXIT}
_AGAIN_S = 0.05


class Ending:
    """The signal that ends this process, if one came.

    Attributes:
        came: its exit code, 0 while none came.
    """

    def __init__(self) -> None:
        self.came = 0
        self._held = True
        self._before: dict[signal.Signals, Any] = {}
        self._hook: Callable[[Any], object] = sys.unraisablehook

    def take_over(self) -> None:
        """Handle the signals, held back for now; off the main thread Python allows no handlers."""
        try:
            for number in EXITS:
                # What is ignored stays so: a shell's background job is not for its terminal's
                # Ctrl-C.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._again)
        except ValueError:
            return
        sys.unraisablehook = self._lost

    def give_back(self) -> None:
        """Set what was set before."""
        self.hold()
        for number, handler in self._before.items():
            # None: a handler that is not Python's, which only its owner can set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = self._hook

    def release(self) -> None:
        """Let signals raise from now on, one that came already at once."""
        self._held = False
        if self.came:
            self._raise()

    def hold(self) -> None:
        """Note signals from now on, and raise no more."""
        self._held = True
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def end_at_once(self, leave: Callable[[int], object]) -> None:
        """From now on there is nothing to unwind: a signal calls `leave` with its exit code."""
        for number in self._before.keys() & EXITS.keys():
            signal.signal(number, lambda number, _: leave(EXITS[signal.Signals(number)]))

    def as_error(self) -> BaseException:
        """What the signal that came means to Python."""
        return KeyboardInterrupt() if self.came == CTRL_C_EXIT else SystemExit(self.came)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        code = EXITS[signal.Signals(number)]
        if number == signal.SIGTERM and self.came == code:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the second one ends it at once
            os.kill(os.getpid(), signal.SIGTERM)
        self.came = self.came or code
        if not self._held:
            self._raise()

    def _again(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            return
        if _is_unwinding():
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            self._raise()

    def _raise(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        raise self.as_error()

    def _lost(self, unraisable: Any) -> None:  # noqa: ANN401 - a type of sys that it does not name
        """Say nothing of what will be raised again."""
        if not (self.came and isinstance(unraisable.exc_value, (KeyboardInterrupt, SystemExit))):
            self._hook(unraisable)


def _is_unwinding() -> bool:
    """Whether the code that was interrupted cleans up after a signal."""
    err: BaseException | None = sys.exception()
    while err is not None:
        if isinstance(err, (KeyboardInterrupt, SystemExit)):
            return True
        err = err.__context__
    return False
