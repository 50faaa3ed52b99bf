"""The JSON files of a run, read into dataclasses: what does not fit is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dllm2rec.config.messages import shown
from dllm2rec.errors import ArtifactError

Value = TypeVar("Value")


def read_json(file: Path, adapter: TypeAdapter[Value], what: str) -> Value:
    """Read a file of a run; no value is converted.

    Args:
        file: a JSON file.
        adapter: of the dataclass that it holds.
        what: how a message calls what was expected.

    Raises:
        ArtifactError: it cannot be read, or a key is missing, unknown or of another type.
    """
    try:
        return adapter.validate_json(file.read_bytes(), strict=True)
    except OSError as err:
        raise ArtifactError(f"{file}: {err.strerror or err}, expected {what}") from err
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
