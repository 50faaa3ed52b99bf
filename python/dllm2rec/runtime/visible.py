"""Text of files and folders as a terminal may have it: what would control it is spelt out."""

from __future__ import annotations

import re

# C0 and C1 controls, line and paragraph separators, what turns the direction of the text around it
# (Trojan Source), and halves of characters, which file names that are no UTF-8 bring.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BUT_LINES = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def visible(text: str) -> str:
    r"""Spell out every control character: one line stays one, and a terminal obeys none of it.

    >>> visible("\x1b[31mred\n")
    '\\x1b[31mred\\x0a'
    """
    return _CONTROL.sub(_spelt, text)


def visible_lines(text: str) -> str:
    """The same for text of several lines: line feeds and tabs stay."""
    return _BUT_LINES.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
