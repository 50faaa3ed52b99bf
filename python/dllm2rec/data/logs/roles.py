"""Which column of a log is which: the user, the item, the time, the rating, the split."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from dllm2rec.caller import in_words_of_caller
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.errors import ConfigError, InputError

REQUIRED = ("user", "item")


_COMPARED = 1000  # names that a misspelt one is compared with, some 20 microseconds each
_SHOWN = 40


def roles_of(
    header: Sequence[str], columns: Columns, path: str | Path, *, line: int | None
) -> dict[str, str]:
    """Find the column of each role: role -> name.

    Raises:
        InputError: a name is empty or there twice, or one that is needed or was asked for is
            missing; the message names the nearest one.
    """
    names: set[str] = set()
    for place, name in enumerate(header):
        if not name.strip():
            message = f"column {place + 1} has no name, expected names for all"
            raise InputError(message, code="E-HEADER", path=path, line=line)
        if name in names:
            message = f"two columns {name[:_SHOWN]!r}, expected distinct names"
            raise InputError(message, code="E-HEADER", path=path, line=line)
        names.add(name)
    default = Columns()
    found = {}
    for field in fields(columns):
        role, name = field.name, getattr(columns, field.name)
        if name is None:
            continue
        if name in names:
            found[role] = name
            continue
        like = [other for other in header if _bare(other) == _bare(name)]
        if role in REQUIRED or name != getattr(default, role) or like:
            near = like or difflib.get_close_matches(name, header[:_COMPARED], n=1)
            raise InputError(
                f"no column {name!r} for the {role} among {', '.join(header[:_SHOWN])[:120]!r}",
                code="E-HEADER",
                path=path,
                line=line,
                hint=f"{near[0]!r} is near: rename it, or name it with --{role}-column"
                if near
                else f"name it with --{role}-column",
            )
    return found


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def check_numbers(columns: Columns) -> None:
    """Refuse names of columns where a file has no header to have them in.

    Raises:
        ConfigError: a column other than those that may be missing is not a number from 1.
    """
    default = Columns()
    for field in fields(columns):
        name = getattr(columns, field.name)
        is_asked_for = field.name in REQUIRED or name != getattr(default, field.name)
        if name is not None and is_asked_for and not re.fullmatch("[1-9][0-9]{0,5}", name):
            such = in_words_of_caller("--no-header --user-column 1 --item-column 2")
            raise ConfigError(
                f"the {field.name} column is {name!r} in a log without a header, expected its "
                f"number from 1, such as {such}"
            )
