"""Which of several processes this is, told without importing torch: who has it, has joined them."""

from __future__ import annotations

import sys
from typing import Any


def rank() -> int:
    """This process's number, from 0."""
    group = _group()
    return 0 if group is None else int(group.get_rank())


def size() -> int:
    """How many processes there are."""
    group = _group()
    return 1 if group is None else int(group.get_world_size())


def _group() -> Any:  # noqa: ANN401 - torch's module, where there is a group
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_available() and dist.is_initialized() else None
