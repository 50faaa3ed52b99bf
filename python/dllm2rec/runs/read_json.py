"""The JSON files of a run, read into dataclasses: what does not fit is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dllm2rec.config.messages import shown
from dllm2rec.errors import ArtifactError
from dllm2rec.storage.sealed_json import Lacks, read_sealed

Value = TypeVar("Value")


def read_json(
    file: Path, adapter: TypeAdapter[Value], what: str, *, may_lack_it: Lacks = lambda _: True
) -> Value:
    """Read a sealed file of a run; no value is converted.

    Args:
        file: a JSON file.
        adapter: of the dataclass that it holds.
        what: how a message calls what was expected.
        may_lack_it: whether what has no sha256 of its own is of an older version; by default yes.

    Raises:
        ArtifactError: it cannot be read, changed since it was written, or a key is missing, unknown
            or of another type.
    """
    return checked(file, read_sealed(file, what, may_lack_it=may_lack_it), adapter, what)


def checked(file: Path, content: object, adapter: TypeAdapter[Value], what: str) -> Value:
    """Make a dataclass of plain JSON values; no value is converted.

    Args:
        file: where they are from, for the message.
        content: what JSON gave.
        adapter: of the dataclass.
        what: how a message calls what was expected.

    Raises:
        ArtifactError: a key is missing, unknown or of another type, or values are nested too deep.
    """
    try:
        return adapter.validate_json(json.dumps(content), strict=True)
    except RecursionError as err:
        raise ArtifactError(f"{file}: nested too deep, expected {what}") from err
    except ValidationError as err:
        finding = err.errors(include_url=False)[0]
        raise ArtifactError(f"{file}: {_found(finding)}, expected {what}") from err


def _found(finding: ErrorDetails) -> str:
    key = ".".join(map(str, finding["loc"]))
    if finding["type"] == "missing":
        return f"no {key}"
    if finding["type"] == "unexpected_keyword_argument":
        return f"unknown key {key}"
    if not key:
        return finding["msg"]
    rule = finding["msg"].removeprefix("Input should be ")
    return f"{key} = {shown(finding['input'])}, which should be {rule}"
