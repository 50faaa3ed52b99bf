"""What can go wrong, and the exit code each kind ends a command with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from dllm2rec.caller import in_words_of_caller


class Dllm2RecError(Exception):
    """Anything a user can act on; the message says where, what was found and what was expected."""

    exit_code: ClassVar[int] = 1


class ConfigError(Dllm2RecError, ValueError):
    """A command line or a configuration that cannot be meant."""

    exit_code = 2


class InputError(Dllm2RecError, ValueError):
    """Input data that breaks a rule.

    Attributes:
        code: a short stable name of the rule, such as `E-RANK-RANGE`; empty for arrays.
        path: the file, where there is one.
        line: line of the file, from 1.
        column: byte column in the line, from 1.
        byte_offset: offset in the (decompressed) file, from 0.
        token: the text at fault, escaped, at most 40 characters.
        hint: what to do about it, in the words of the caller; it is given in those of the command
            line.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
        column: int | None = None,
        byte_offset: int | None = None,
        token: str | None = None,
        hint: str = "",
    ) -> None:
        self.code = code
        self.path = None if path is None else os.fspath(path)
        self.line = line
        self.column = column
        self.byte_offset = byte_offset
        self.token = token
        self.hint = hint = in_words_of_caller(hint)
        place = ":".join(str(part) for part in (self.path, line, column) if part is not None)
        head = " ".join(part for part in (code, place) if part)
        text = f"{head}: {message}" if head else message
        super().__init__(f"{text}. hint: {hint}" if hint else text)


class ArtifactError(Dllm2RecError, RuntimeError):
    """A checkpoint, teacher folder or binary file that is corrupt, unsafe or does not fit."""

    exit_code = 4


class NonFiniteError(Dllm2RecError, ArithmeticError):
    """A NaN or infinity where a number is needed."""

    exit_code = 5


class ResourceError(Dllm2RecError, OSError):
    """Disk, memory or time ran out."""

    exit_code = 6


class InternalError(Dllm2RecError, RuntimeError):
    """A bug of this package, such as a panic in a kernel."""

    exit_code = 1


def all_at_once(faults: Sequence[Dllm2RecError]) -> Dllm2RecError:
    """One error that says all of several; the first gives its class, so the exit code, and code."""
    first = faults[0]
    if len(faults) == 1:
        return first
    text = "".join(f"\n{number}. {fault}" for number, fault in enumerate(faults, start=1))
    together = type(first)(f"{len(faults)} things stand in the way:{text}")
    if isinstance(first, InputError) and isinstance(together, InputError):
        together.code, together.path, together.hint = first.code, first.path, first.hint
    return together
