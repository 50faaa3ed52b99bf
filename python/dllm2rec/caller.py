"""Who called, and what with: a message names what can be typed where the call came from.

A hint for Python names a parameter, one for the command line an option. Whoever raises says both;
the command line says once that it is the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")

_from_command_line: ContextVar[bool] = ContextVar("from_command_line", default=False)


@contextmanager
def command_line() -> Iterator[None]:
    """Within the block messages name options instead of parameters."""
    before = _from_command_line.set(True)
    try:
        yield
    finally:
        _from_command_line.reset(before)


def words(*, python: str, option: str) -> str:
    """How the caller spells something: `dataset=` in Python, `--dataset` on the command line."""
    return option if _from_command_line.get() else python


def one_or_more(values: Value | Iterable[Value], kind: type[Value]) -> tuple[Value, ...]:
    """Take a single value for a list of one, so that "sasrec" is never read letter by letter."""
    return (values,) if isinstance(values, kind) else tuple(values)  # type: ignore[arg-type]
