"""What a row of the corpus is: bad or odd input, what is done with it and what must happen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """One input of a row. It is either given to a command, or to a function of the package.

    Attributes:
        name: the row's id and what is special here, such as `R05-one-value-of-10`.
        words: writes the input into a folder and gives the command line that reads it.
        call: writes the input into a folder and calls a function; it may assert what comes out.
        exit: the exit code of the command, or the one that the function's error stands for.
        code: the error's code; empty where it has none, or where the input is accepted.
        line: the line that the error names, from 1.
        column: the column that the error names, from 1.
        says: what the error must say; of a command that ends well, what it must print.
        check: looks at the folder after a command that ended well.
        raises: the error of a call where it is no error of this package, such as TypeError.
        unmade: a name that must not be in the folder afterwards, as the payload would make it.
        during: what holds while it happens, such as a full disk.
        begun: a run had begun, so that its folder stays; else a refusal writes nothing.
        instead: why this is not, to the letter, what the row asks for.
        slow: takes more than a few seconds.
    """

    name: str
    words: Callable[[Path], list[str]] | None = None
    call: Callable[[Path], object] | None = None
    exit: int = 0
    code: str = ""
    line: int | None = None
    column: int | None = None
    says: tuple[str, ...] = ()
    check: Callable[[Path], None] | None = None
    raises: type[Exception] | None = None
    unmade: str = ""
    during: Callable[[Path], AbstractContextManager[object]] = field(default=nullcontext)
    begun: bool = False
    instead: str = ""
    slow: bool = False

    @property
    def row(self) -> str:
        """The row's id: a letter and two digits; empty for an input that is beside the rows."""
        found = re.match(r"[A-Z]\d\d(?=-)", self.name)
        return found[0] if found else ""


def refused(name: str, words: Callable[[Path], list[str]], status: int, *says: str, code: str = "",
            line: int | None = None, column: int | None = None, **more: Any) -> Case:  # fmt: skip
    """Input that a command must refuse."""
    return Case(name=name, words=words, exit=status, code=code, line=line, column=column, says=says,
                **more)  # fmt: skip


def accepted(name: str, words: Callable[[Path], list[str]], *says: str, **more: Any) -> Case:
    """Input that a command must take, printing `says`."""
    return Case(name=name, words=words, says=says, **more)


def files(folder: Path, contents: dict[str, bytes | str]) -> Path:
    """Write files, by their paths inside a folder."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def settings(values: Iterable[str]) -> list[str]:
    """The words that set each of `section.field=value`."""
    return [word for value in values for word in ("--set", value)]
