"""Every history of a file, read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dllm2rec.cli.recommend_inputs import User, unread_histories


def read_histories(path: Path) -> Iterator[User]:
    """Read the histories that a shard may pass over."""
    return (read() for read in unread_histories(path))
