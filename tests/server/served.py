"""A server as its own process, on a free port."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What the server must not load cannot be loaded in its process.
_ALONE = (
    "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(','))); del sys.argv[1];"
    "from dllm2rec.cli import run; run()"
)


@dataclass
class Served:
    """A process that answers.

    Attributes:
        process: of the command.
        url: where, with a slash at the end.
        port: of it.
    """

    process: subprocess.Popen[str]
    url: str
    port: int

    def line(self) -> str:
        """The next line that it tells."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()


@contextmanager
def served(
    export: Path,
    *options: str,
    without: tuple[str, ...] = ("torch", "pandas"),
    first: str = "",
) -> Iterator[Served]:
    """Serve an export within the block, by a process that cannot import some packages.

    It runs `first`, statements of Python, before anything else.
    """
    words = ["serve", str(export), "--port", "0", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", first + _ALONE, ",".join(without), *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/$", line.strip())
        if found is None:
            raise RuntimeError(line + process.stderr.read())
        yield Served(process, found[0], int(found[1]))
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
