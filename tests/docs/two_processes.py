"""Runs commands in two joined processes each, as torchrun would, for the price of one import.

A server: each line of its input is `[folder, [words]]`, each line of its output the two exit codes.
That torchrun itself does start the package has tests of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOG = "two-processes.txt"
Launch = Callable[[Path, list[str]], tuple[list[int], str]]


@contextmanager
def launcher() -> Iterator[Launch]:
    """Start the server; what is given runs a command's words in a folder, in two processes."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.docs.two_processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        asked, answers = server.stdin, server.stdout

        def launch(folder: Path, words: list[str]) -> tuple[list[int], str]:
            print(json.dumps([str(folder), words]), file=asked, flush=True)
            codes = json.loads(answers.readline())
            return codes, (folder / LOG).read_text(encoding="utf-8")

        try:
            yield launch
        finally:
            asked.close()


def _child(rank: int, folder: str, words: list[str]) -> int:
    from dllm2rec.cli import main

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    os.chdir(folder)
    with open(LOG, "a", encoding="utf-8") as file:  # noqa: PTH123 - its number is needed
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        return main(words)


def _serve() -> None:
    import dllm2rec

    for name in dllm2rec.__all__:  # all that the commands will import, before the fork
        getattr(dllm2rec, name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        folder, words = json.loads(line)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        os.environ.update(WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
        children = []
        for rank in range(2):
            child = os.fork()
            if child == 0:
                os._exit(_child(rank, folder, words))
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
