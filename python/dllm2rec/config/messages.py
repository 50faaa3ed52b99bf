"""What to say about a value that cannot be meant: the findings of pydantic, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def shown(value: object, limit: int = 40) -> str:
    """Return `value` as an error shows it: escaped, as TOML would spell it, not too long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def spelled(text: str, limit: int = 80) -> str:
    """Return `text` on one line, escaped, not too long."""
    line = text.encode("unicode_escape").decode()
    return line if len(line) <= limit else f"{line[:limit]}..."


def first_error(err: ValidationError, origins: Mapping[tuple[str, ...], str]) -> str:
    """Return the first finding in one line, with where its value came from, and how many follow.

    Args:
        err: what pydantic found.
        origins: for each value's path, such as ("train", "seed"), the file or option it is from.
    """
    findings = err.errors(include_url=False)
    paths = list(dict.fromkeys(_path(finding) for finding in findings))
    path = paths[0]
    same = [finding for finding in findings if _path(finding) == path]
    text = _line(same, path, origins)
    return text if len(paths) == 1 else f"{text} (and {len(paths) - 1} more)"


def _path(finding: ErrorDetails) -> tuple[str, ...]:
    return tuple(str(part) for part in finding["loc"][:2])


def _line(
    findings: list[ErrorDetails], path: tuple[str, ...], origins: Mapping[tuple[str, ...], str]
) -> str:
    first = findings[0]
    if first["type"] == "value_error":  # a rule between fields, which names them itself
        return f"configuration{f' [{path[0]}]' if path else ''}: {first['ctx']['error']}"
    origin = origins.get(path, "configuration")
    if origin.startswith("--set"):
        where = f"{origin}:"
    elif len(path) > 1:
        where = f"{origin} [{path[0]}] {path[1]}:"
    else:
        where = f"{origin} {'.'.join(path)}:"
    found = _most_telling(findings)
    expected = " or ".join(dict.fromkeys(map(_expected, found)))
    return f"{where} {shown(found[0]['input'])}, expected {expected}"


def _most_telling(findings: list[ErrorDetails]) -> list[ErrorDetails]:
    """Where a number or a list of them is right, keep what speaks of the kind that was given."""
    value = findings[0]["input"]
    if isinstance(value, (list, tuple)):
        return [max(reversed(findings), key=lambda finding: len(finding["loc"]))]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return findings[:1]
    return findings


def _expected(finding: ErrorDetails) -> str:
    kind, context = finding["type"], _context(finding)
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        bound = context[key]
        return f"a number {word} {f'{bound:g}' if isinstance(bound, float) else bound}"
    if kind == "literal_error":
        return f"one of {context['expected']}"
    if kind == "too_short":
        return "at least one value"
    return _EXPECTED.get(kind, finding["msg"])


def _context(finding: ErrorDetails) -> dict[str, Any]:
    return finding.get("ctx", {})
