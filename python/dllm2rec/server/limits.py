"""What a client may ask for at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and of all that wait.

    Attributes:
        body: bytes of a body.
        head: bytes of path and headers.
        history: items of a history.
        k: places of a list.
        candidates: ids of `candidates`, and of `filter`.
        seconds: for the headers; from the first byte of a body until the answer is there; and for
            the client to take it.
        connections: open ones; most systems let a process have 1,024 files.
        waiting: requests that wait for an answer at a time.
        batch: requests that are answered together.
    """

    body: int = 1 << 20
    head: int = 1 << 16
    history: int = 2000
    k: int = 1000
    candidates: int = 10_000
    seconds: float = 10.0
    connections: int = 900
    waiting: int = 2000
    batch: int = 256
