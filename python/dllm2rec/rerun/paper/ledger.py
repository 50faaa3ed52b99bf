"""The folder of a table: what it is of, and a line of JSON for each training that ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dllm2rec.errors import ArtifactError
from dllm2rec.storage.atomic_file import fsync, out_of_resources, replace_bytes
from dllm2rec.storage.output_folder import check_output, check_writable, locked
from dllm2rec.storage.sealed_json import read_sealed, seal

SETTINGS_FILE, LOG_FILE = "settings.json", "trainings.jsonl"
SCRATCH = "unfinished"

Facts = Mapping[str, str]


class Ledger:
    """The trainings of a table that are done.

    Attributes:
        folder: the table's.
        done: what the log has of each, by its key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[str, dict[str, Any]] = _read_log(folder / LOG_FILE)

    def add(self, record: dict[str, Any]) -> None:
        """Append a training that ended: its line is on the disk when this returns.

        Raises:
            ResourceError: the disk is full; the line is not there, or not whole.
        """
        path = self.folder / LOG_FILE
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(json.dumps(record, allow_nan=False) + "\n")
            fsync(path)
        except OSError as err:
            raise out_of_resources(path, err.strerror or str(err)) from err
        self.done[record["key"]] = record


@contextmanager
def open_ledger(folder: Path, facts: Facts) -> Iterator[Ledger]:
    """Open a table's folder, or make it, and keep it from other processes within the block.

    Args:
        folder: new, empty, or of a table of the same data and settings. Datasets may be added.
        facts: hashes of what must be the same, by what a message calls it.

    Raises:
        ArtifactError: the table in the folder is of something else, is corrupt, or another process
            writes to it.
        ConfigError: the folder holds something that is no table.
        ResourceError: the place cannot be written to.
    """
    if not (folder / SETTINGS_FILE).is_file():
        check_output(folder, overwrite=False)
    check_writable(folder)
    with locked(folder):
        _agree(folder, facts)
        yield Ledger(folder)


def _agree(folder: Path, facts: Facts) -> None:
    """Note what the table is of, or see that it is what was noted."""
    file = folder / SETTINGS_FILE
    known: dict[str, Any] = {}
    if file.is_file():
        known = read_sealed(file, "what a table is of")
    for name, value in facts.items():
        before = known.get(name, value)
        if before != value:
            raise ArtifactError(
                f"{folder}: begun with another {name} (sha256 {before[:12]}, now {value[:12]}), "
                "expected the same; give what it was begun with, or another --out"
            )
    now = {**known, **facts}
    if now != known:
        replace_bytes(file, seal(now))


def _read_log(path: Path) -> dict[str, dict[str, Any]]:
    """The lines of a log; one that a kill cut off is removed.

    Raises:
        ArtifactError: a line is no training's.
    """
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    done = {}
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            record = json.loads(line)
            done[record["key"]] = record
        except (ValueError, TypeError, KeyError) as err:
            raise ArtifactError(
                f"{path}:{number}: no training, expected a line of JSON with its key; remove the "
                "line to train it again"
            ) from err
    return done
