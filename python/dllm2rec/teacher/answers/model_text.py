"""The list in what a model wrote: JSON, bare, in a fence or in an object; else a title per line."""

from __future__ import annotations

import json
import re
from contextlib import suppress

_FENCE = re.compile(r"```[a-z]*\s*\n(.*?)(?:\n\s*```|\Z)", re.DOTALL | re.IGNORECASE)


def list_in_text(text: str, *, is_cut: bool = False) -> list[object] | str:
    """Find the list in a model's text; where it is no JSON, the text itself, a title per line.

    Of a text that broke off the last line is left out, unless it is the only one. Of JSON that
    cannot be parsed, for it broke off, the lines that hold one whole text each are left.

    Args:
        text: what the model wrote.
        is_cut: whether it broke off at the limit of its length.
    """
    fenced = _FENCE.search(text)
    text = (fenced.group(1) if fenced else text).strip()
    if text.startswith(("[", "{")):
        with suppress(ValueError, RecursionError):
            found = _only_list(json.loads(text))
            if found is not None:
                return found
    lines = text.splitlines()
    if is_cut and len(lines) > 1:
        lines.pop()
    if lines and lines[0].strip() in ("[", "{"):
        lines = [line.strip().rstrip(",") for line in lines[1:]]
        lines = [line for line in lines if len(line) > 1 and line[0] == line[-1] == '"']
    return "\n".join(lines)


def _only_list(value: object) -> list[object] | None:
    """The value if it is a list, or the one list among an object's values."""
    values = list(value.values()) if isinstance(value, dict) else [value]
    lists = [one for one in values if isinstance(one, list)]
    return lists[0] if len(lists) == 1 else None
