"""A teacher's own files given to `train` or `plan`: the command that reads them in another way."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dllm2rec.errors import InputError

# An option with its value; one without a value in the hint may need one that only the user knows.
_OPTION = re.compile(r"--(?:[a-z-]+ (?:\d+|last|similarity|skip)\b|short-lists)")


@contextmanager
def naming_import(teacher: Path | None, dataset: Path | None) -> Iterator[None]:
    """Within the block a refusal that names options of `teacher import` shows how to type them."""
    try:
        yield
    except InputError as err:
        if teacher is None or dataset is None or not _is_about(err, teacher):
            raise
        more = _import_hint(err.hint, teacher, dataset)
        err.hint = f"{err.hint}; {more}"
        err.args = (f"{err}; {more}",)
        raise


def _is_about(err: InputError, teacher: Path) -> bool:
    if err.path is None or "--" not in err.hint:
        return False
    return Path(err.path).resolve().is_relative_to(teacher.resolve())


def _import_hint(hint: str, teacher: Path, dataset: Path) -> str:
    out = Path("teachers") / (teacher.resolve().name or "teacher")
    words = ["dllm2rec", "teacher", "import", str(teacher), "--dataset", str(dataset)]
    command = shlex.join([*words, "--out", str(out)])
    options = _OPTION.findall(hint)
    if len(options) == 1 and hint.count("--") == 1:
        return f"run: {command} {options[0]}; {shlex.quote(str(out))} is the teacher then"
    return f"with such an option, run: {command}; {shlex.quote(str(out))} is the teacher then"
