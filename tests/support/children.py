"""Work in forked processes, whose output goes to a file, whatever pytest does with its own."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import kill_trials

LONG_S = 120.0  # of a command that takes seconds, beside other work


def forked(work: Callable[[], int], log: Path) -> int:
    """Do something in a child; return its number. It exits with what `work` returns, or 99."""

    def within() -> int:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        try:
            return work()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()

    return kill_trials.forked(within, log)


def ended(child: int, within_s: float = LONG_S) -> int:
    """Its exit code, or minus the signal that ended it; one that hangs is killed and fails."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return pytest.fail(f"a child had not ended after {within_s:g} s")
