"""Who called, and what with: a message names what can be typed where the call came from.

A hint for Python names a parameter, one for the command line an option. Whoever raises says both;
the command line says once that it is the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")

# What reads logs and titles spells most of its options differently in Python: the argument, and the
# field of it.
_PYTHON = {
    "--format": "file_format=",
    "--delimiter": "delimiter=",
    "--id-type": "id_type=",
    "--strip": "strip=True",
    "--user-column": "columns=Columns(user=",
    "--item-column": "columns=Columns(item=",
    "--time-column": "columns=Columns(time=",
    "--rating-column": "columns=Columns(rating=",
    "--split-column": "columns=Columns(split=",
    "--file-order": "columns=Columns(time=None",
    "--no-header": "form=LogForm(header=False",
    "--encoding": "form=LogForm(encoding=",
    "--quotes": "form=LogForm(quotes=",
    "--time-format": "form=LogForm(time_format=",
    "--time-zone": "form=LogForm(time_zone=",
    "--titles": "titles=",
    "--titles-no-header": "form=TitlesForm(header=False",
    "--titles-id-column": "form=TitlesForm(id_column=",
    "--titles-title-column": "form=TitlesForm(title_column=",
    "--titles-delimiter": "form=TitlesForm(delimiter=",
    "--titles-encoding": "form=TitlesForm(encoding=",
    "--titles-quotes": "form=TitlesForm(quotes=",
}
_VALUE = r"'[^']*'|(?!away\b)[^\s,;:()'-][^\s,;:()']*"
_ONE = "|".join(
    rf"{option}(?![\w-])" + (rf"(?: (?:{_VALUE}))?" if argument.endswith("=") else "")
    for option, argument in _PYTHON.items()
)
_SOME = re.compile(rf"(?<![\w-])(?:{_ONE})(?: (?:{_ONE}))*")
_EACH = re.compile(rf"(--[a-z-]+)(?: ({_VALUE}))?")

# Of the process and not of a context: readers raise in threads of their own.
_commands_under_way = 0
_command: tuple[str, ...] = ()


@contextmanager
def command_line(arguments: Sequence[str] = ()) -> Iterator[None]:
    """Within the block messages name options instead of parameters.

    Args:
        arguments: the words after `dllm2rec`.
    """
    global _commands_under_way, _command
    before, _command = _command, ("dllm2rec", *arguments)
    _commands_under_way += 1
    try:
        yield
    finally:
        _commands_under_way -= 1
        _command = before


def command_words() -> list[str]:
    """The command under way, a word each; empty in Python."""
    return list(_command)


def words(*, python: str, option: str) -> str:
    """How the caller spells something: `dataset=` in Python, `--dataset` on the command line."""
    return option if _commands_under_way else python


def in_words_of_caller(hint: str) -> str:
    """Spell the options of the command line that a hint names as the caller spells them.

    A hint that shows a whole command is left as it is: it is typed into a shell.
    """
    if _commands_under_way or "dllm2rec " in hint:
        return hint
    return _SOME.sub(_as_arguments, hint)


def _as_arguments(options: re.Match[str]) -> str:
    arguments: dict[str, str] = {}
    for option, value in _EACH.findall(options.group()):
        form, _, field = _PYTHON[option].rpartition("(")
        if field.endswith("="):
            bare = value[:1] == "'" or value.isupper()
            field += (value if bare else repr(value)) if value else "..." * bool(form)
        arguments[form] = ", ".join(filter(None, (arguments.get(form), field)))
    each = (f"{form}({fields})" if form else fields for form, fields in arguments.items())
    return ", ".join(argument.removesuffix("=") for argument in each)


def one_or_more(values: Value | Iterable[Value], kind: type[Value]) -> tuple[Value, ...]:
    """Take a single value for a list of one, so that "sasrec" is never read letter by letter."""
    return (values,) if isinstance(values, kind) else tuple(values)  # type: ignore[arg-type]
