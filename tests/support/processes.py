"""A server that runs functions in several joined processes: it imports torch once, then forks."""

from __future__ import annotations

import importlib
import json
import os
import select
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What the works import by and by; once before the fork it costs each process nothing. No kernel
# runs there: its threads would be missing in the children.
LAZY = ("torch._dynamo", "pandas", "matplotlib.backends.backend_svg", "matplotlib.tri")
ANSWER_S = 100.0


@dataclass(frozen=True)
class Ended:
    """How each process ended: what its functions gave, by name; None if it was killed."""

    results: list[dict[str, Any] | None]
    signals: list[int]


RunJoined = Callable[..., Ended]


@contextmanager
def fork_server() -> Iterator[RunJoined]:
    """Start the server; it runs `tests.support.joined_work.<work>(folder)` in n processes."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        asked, answers = server.stdin, server.stdout

        def run_joined(
            n: int, works: Sequence[str], folder: Path, *, timeout_s: float = 60.0
        ) -> Ended:
            """Call the works one after the other; a process waits `timeout_s` for the others."""
            folder.mkdir(parents=True, exist_ok=True)
            print(json.dumps([n, list(works), str(folder), timeout_s]), file=asked, flush=True)
            ready, _, _ = select.select([answers], [], [], ANSWER_S)
            assert ready, f"{works} in {n} processes: no end within {ANSWER_S:g} s"
            signals = json.loads(answers.readline())
            files = [folder / f"result-{rank}.json" for rank in range(n)]
            results = [json.loads(file.read_text()) if file.is_file() else None for file in files]
            bugs = [result["bug"] for result in results if result is not None and "bug" in result]
            assert not bugs, bugs[0]
            return Ended(results, signals)

        try:
            yield run_joined
        finally:
            asked.close()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


def _child(rank: int, n: int, works: list[str], folder: Path, timeout_s: float) -> None:
    from dllm2rec.errors import Dllm2RecError
    from dllm2rec.runtime.distributed import process_group
    from tests.support import joined_work

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    results: dict[str, Any] = {}
    try:
        if works[0] in joined_work.COMMANDS:  # they join by themselves
            results = {work: getattr(joined_work, work)(folder) for work in works}
        else:
            with process_group("cpu", timeout_s=timeout_s):
                for work in works:
                    try:
                        results[work] = getattr(joined_work, work)(folder)
                    except Dllm2RecError as err:
                        results[work] = {"error": type(err).__name__, "message": str(err)}
    except BaseException:  # noqa: BLE001 - told to the test
        results["bug"] = traceback.format_exc()
    (folder / f"result-{rank}.json").write_text(json.dumps(results))


def _fork(n: int, works: list[str], folder: Path, timeout_s: float) -> list[int]:
    """Run the works in n children and give the signal that ended each, or 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE=str(n))
    children = []
    for rank in range(n):
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # standard output is the server's answers
            _child(rank, n, works, folder, timeout_s)
            os._exit(0)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    return [os.WTERMSIG(s) if os.WIFSIGNALED(s) else 0 for s in statuses]


def _serve() -> None:
    import torch

    importlib.import_module("tests.support.joined_work")
    for module in LAZY:
        importlib.import_module(module)
    torch.set_num_threads(1)
    for line in sys.stdin:
        n, works, folder, timeout_s = json.loads(line)
        sys.stdout.write(json.dumps(_fork(n, works, Path(folder), timeout_s)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
