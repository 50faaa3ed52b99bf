"""The small sequential models, one signature.

Names are imported when first used: the pair memory, which stands here too, is served without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dllm2rec.students.authors_state import load_authors_state as load_authors_state
    from dllm2rec.students.build import build_student as build_student
    from dllm2rec.students.item_scores import score_items as score_items
    from dllm2rec.students.student import Student as Student
    from dllm2rec.students.window_offset import add_window_offset_ as add_window_offset_
    from dllm2rec.students.window_offset import in_window as in_window

_HOMES = {
    "Student": "student",
    "add_window_offset_": "window_offset",
    "build_student": "build",
    "in_window": "window_offset",
    "load_authors_state": "authors_state",
    "score_items": "item_scores",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
