"""How often the test rows of a run were scored: a line per time, in `test-rows.jsonl` of the run.

Each line carries its own sha256, and is spelled in one way: a changed bit shows.

A choice that looked at the test rows is no longer fair to them. The log forbids nothing; it says
how often it could have happened.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from dllm2rec.errors import ArtifactError, ResourceError
from dllm2rec.runs.read_json import checked
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.storage.sealed_json import KEY, digest

HELD_OUT_LOG = "test-rows.jsonl"

_EXPECTED = "a line for each time that the test rows were scored"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opening:
    """One time that the test rows were scored.

    Attributes:
        at: when, in UTC.
        by: `train` or `evaluate`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    at: str
    by: str


_ADAPTER = TypeAdapter(Opening)


def log_opening(folder: Path, by: str) -> None:
    """Add a line to the log of a run; a folder that cannot be written to is named in a warning.

    Raises:
        ArtifactError: the log cannot be read, or a line is not what was written there.
    """
    opening = Opening(datetime.now(UTC).isoformat(timespec="seconds"), by)
    lines = "".join(map(_line, [*read_openings(folder), opening]))
    try:
        replace_text(folder / HELD_OUT_LOG, lines)
    except ResourceError as err:
        _log.warning("that the test rows were scored is not noted: %s", err)


def read_openings(folder: Path) -> list[Opening]:
    """Read the log of a run; empty where a version trained it that kept none.

    Raises:
        ArtifactError: the file cannot be read, or a line is not what was written there.
    """
    file = folder / HELD_OUT_LOG
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as err:
        raise ArtifactError(f"{file}: {err}, expected {_EXPECTED}") from err
    found = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise ArtifactError(f"{file}:{number}: no JSON, expected {_EXPECTED}") from err
        if isinstance(content, dict):
            content.pop(KEY, None)
        opening = checked(file, content, _ADAPTER, _EXPECTED)
        if line != _line(opening):
            raise ArtifactError(f"{file}:{number}: changed since it was written")
        found.append(opening)
    return found


def _line(opening: Opening) -> str:
    content = asdict(opening)
    return json.dumps({**content, KEY: digest(content)}) + "\n"


def openings_text(openings: Sequence[Opening]) -> str:
    """The log in one sentence without its full stop; "" where it is empty."""
    if not openings:
        return ""
    times = Counter(one.by for one in openings)
    parts = ", ".join(f"by {by} {_times(n)}" for by, n in times.items())
    return f"the test rows of this run have been scored {_times(len(openings))}: {parts}"


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")
