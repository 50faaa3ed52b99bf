"""A server that runs the checks of `interpreted`: it imports torch once, then forks.

Each check runs in a child, so that what it patches, and how it ends, is nothing to the others.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# What the checks import by and by; once before the fork it costs them nothing.
LAZY = ("torch.distributed.tensor", "torch._inductor.config", "numpy.random")

RunCheck = Callable[..., None]


class InterpreterIsBrokenError(Exception):
    """That of Triton 3.6 cannot run a loop with numpy 2.4 and later."""


@contextmanager
def interpreter() -> Iterator[RunCheck]:
    """Start the server; it runs `tests.support.kernels.interpreted.<check>(**arguments)`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.kernels.interpreter"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        asked, answers = server.stdin, server.stdout

        def run_check(check: str, **arguments: object) -> None:
            """Run one check; its traceback is the failure's message."""
            print(json.dumps([check, arguments]), file=asked, flush=True)
            answer = answers.readline()
            assert answer, f"{check}: the interpreter's process ended"
            bug = json.loads(answer)
            assert not bug, bug

        try:
            if not json.loads(answers.readline()):
                raise InterpreterIsBrokenError
            yield run_check
        finally:
            server.kill()  # between two checks it has nothing to lose


def _fork(check: str, arguments: dict[str, object]) -> str:
    """Run the check in a child and give its traceback, or nothing."""
    import torch

    from tests.support.kernels import interpreted

    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # standard output is the server's answers
            try:
                torch.manual_seed(0)
                getattr(interpreted, check)(**arguments)
            except BaseException:  # noqa: BLE001 - told to the test
                told.write(traceback.format_exc())
                told.flush()
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        told.seek(0)
        return told.read() if status == 0 else f"{check}: ended by signal {status}"


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _serve() -> None:
    import torch

    from tests.support.kernels.interpreted import interpreter_works

    torch.set_num_threads(1)
    for module in LAZY:
        importlib.import_module(module)
    _answer(interpreter_works())
    for line in sys.stdin:
        _answer(_fork(*json.loads(line)))


if __name__ == "__main__":
    _serve()
