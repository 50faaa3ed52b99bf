"""The cells of answers: the items that a text or a list holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dllm2rec.teacher.answers.model_text import list_in_text

_ARTICLE = re.compile(r"^(?:the|a|an|le|la|les|l'|el|los|las|der|die|das|il|lo)\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:\d{1,3}\s*[.):]|[-*\u2022])\s+\S")


def split_items(cell: object, is_id: Callable[[str], bool]) -> list[Any]:
    """The items of a cell: a list as it is, a text by its lines or the signs between its titles.

    A text may hold a JSON list, also in a fence or an object. Else what separates is, in this
    order, the line end, `|`, `;`, a tab and the comma; also a blank, where most words are ids or
    all are numbers. Lines without number or bullet beside ones that have them are a model's own
    words and are left out.
    """
    if cell is None:
        return []
    if not isinstance(cell, str):
        return list(cell) if isinstance(cell, (list, tuple)) else [cell]
    text = list_in_text(cell)
    if not isinstance(text, str):
        return text
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    words = [one for one in re.split(r"[\s,;|]+", text) if one]
    if re.fullmatch(r"[\d\s,;|-]*", text) or 2 * sum(map(is_id, words)) > len(words):
        return words
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1:
        marked = [line for line in lines if _BULLET.match(line)]
        return marked if len(marked) > 1 else lines
    for sign in ("|", ";", "\t"):
        if sign in text:
            return [one.strip() for one in text.split(sign) if one.strip()]
    return _by_commas(text)


def _by_commas(text: str) -> list[str]:
    """Titles between commas; an article behind one belongs to the title before it."""
    parts: list[str] = []
    for part in re.split(r",\s+", text):
        rest = _ARTICLE.sub("", part).strip()
        if parts and _ARTICLE.match(part) and (not rest or re.match(r"[(\[:]", rest)):
            parts[-1] += f", {part}"
        elif part.strip():
            parts.append(part.strip())
    return parts


def always(_: str) -> bool:
    """What stands in a column of ids is one."""
    return True


def id_text(value: object) -> str:
    """An id as text; -1 and nothing are no item."""
    text = "" if value is None else str(value).strip()
    return "" if text in ("-1", "nan", "None", "null") else text.removesuffix(".0")
