"""`metrics.jsonl` of a student: a line per epoch, and beside it what proves the lines whole.

`metrics.sha256` holds the length of the lines in bytes and their sha256. It is written after a line
is appended and before all lines are replaced, so a reader that takes it first always finds as many
bytes; what stands behind them is being written, or was cut by a kill.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_file import replace_bytes

METRICS_FILE = "metrics.jsonl"
SEAL_FILE = "metrics.sha256"

_EXPECTED = "what dllm2rec train writes there"
_RECORD = TypeAdapter(dict[str, Annotated[float, Field(allow_inf_nan=False)]])


def rewrite_epochs(folder: Path, records: Sequence[Mapping[str, float]]) -> None:
    """Replace all lines of a student's folder."""
    lines = "".join(map(_line, records)).encode()
    _write_seal(folder, lines)
    replace_bytes(folder / METRICS_FILE, lines)


def append_epoch(folder: Path, record: Mapping[str, float]) -> None:
    """Add the line of an epoch."""
    file = folder / METRICS_FILE
    with file.open("ab") as log:
        log.write(_line(record).encode())
    _write_seal(folder, file.read_bytes())


def read_epochs(folder: Path, *, sealed: bool = True) -> list[dict[str, float]]:
    """Read the epochs of a student.

    Args:
        folder: the student's.
        sealed: whether its run is one whose lines are proved; runs of format 1 were not.

    Returns:
        One mapping per epoch; each has `epoch`.

    Raises:
        ArtifactError: the lines cannot be read, changed, or are not what a training writes.
    """
    file = folder / METRICS_FILE
    length = _sealed_length(folder / SEAL_FILE) if sealed else None
    try:
        raw = file.read_bytes()
    except OSError as err:
        raise ArtifactError(f"{file}: {err.strerror or err}, expected {_EXPECTED}") from err
    if length is None:
        lines = raw[: raw.rfind(b"\n") + 1]  # a last line without its end is being written
    else:
        n_bytes, sha256 = length
        lines = raw[:n_bytes]
        if len(lines) != n_bytes or hashlib.sha256(lines).hexdigest() != sha256:
            raise ArtifactError(
                f"{file}: changed since it was written, expected what {SEAL_FILE} beside it says; "
                "copy the folder again"
            )
    return [_record(file, number, line) for number, line in enumerate(lines.splitlines(), start=1)]


def _record(file: Path, number: int, line: bytes) -> dict[str, float]:
    try:
        record = _RECORD.validate_json(line, strict=True)
    except ValidationError as err:
        finding = err.errors(include_url=False)[0]["msg"]
        raise ArtifactError(f"{file}:{number}: {finding}, expected {_EXPECTED}") from err
    if "epoch" not in record:
        raise ArtifactError(f"{file}:{number}: no epoch, expected {_EXPECTED}")
    return {"epoch": record["epoch"], **record}


def _sealed_length(file: Path) -> tuple[int, str]:
    try:
        with file.open("rb") as stream:
            found = re.fullmatch(rb"(\d{1,15}) ([0-9a-f]{64})\n", stream.read(100))
    except OSError as err:
        raise ArtifactError(f"{file}: {err.strerror or err}, expected {_EXPECTED}") from err
    if found is None:
        raise ArtifactError(f"{file}: changed since it was written, expected {_EXPECTED}")
    return int(found[1]), found[2].decode()


def _write_seal(folder: Path, lines: bytes) -> None:
    text = f"{len(lines)} {hashlib.sha256(lines).hexdigest()}\n"
    replace_bytes(folder / SEAL_FILE, text.encode())


def _line(record: Mapping[str, float]) -> str:
    return json.dumps(record) + "\n"
