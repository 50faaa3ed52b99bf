"""What a client may ask for at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and of all that wait.

    Attributes:
        body: bytes of a body.
        history: items of a history.
        k: places of a list.
        candidates: ids of `candidates`, and of `filter`.
        seconds: from the first byte of a body until the answer is there.
        waiting: requests that wait for an answer at a time.
        batch: requests that are answered together.
    """

    body: int = 1 << 20
    history: int = 2000
    k: int = 1000
    candidates: int = 10_000
    seconds: float = 10.0
    waiting: int = 2000
    batch: int = 256
